"""What runs a graph: ONNX Runtime here, TensorRT beside it."""
