"""fp16 and int8 variants of a bundle, and how near they stay to fp32."""
