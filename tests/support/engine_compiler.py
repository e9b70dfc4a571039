"""Engines compiled ahead of time: for a GPU that is not here, without any GPU."""

from __future__ import annotations

from edge_app.backends.tensorrt_library import TensorRt, load_tensorrt

AHEAD_OF_TIME = "SM86"
"""Ampere, the generation of the Jetson Orin (8.7); the nearest that TensorRT-RTX builds for."""


def tensorrt_rtx() -> TensorRt:
    """Return TensorRT-RTX; whoever calls this `needs("TensorRT-RTX")`."""
    trt = load_tensorrt()
    assert trt.is_rtx, f"{trt.name} builds for the GPU that is here, not ahead of time"
    return trt
