"""What runs a graph: ONNX Runtime on the CPU, or TensorRT on an NVIDIA GPU."""
