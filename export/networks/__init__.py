"""Networks, densities and maps that several methods share, and the way to ONNX."""
