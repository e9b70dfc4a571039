"""Engines compiled ahead of time: for a GPU that is not here, without any GPU."""

from __future__ import annotations

from edge_app.backends.cuda_driver import Gpu
from edge_app.backends.engine_cache import EngineKey, engine_key
from edge_app.backends.tensorrt_library import TensorRt, load_tensorrt

AHEAD_OF_TIME = "SM86"
"""Ampere, the generation of the Jetson Orin (8.7); the nearest that TensorRT-RTX builds for."""


def tensorrt_rtx() -> TensorRt:
    """Return TensorRT-RTX; whoever calls this `needs("TensorRT-RTX")`."""
    trt = load_tensorrt()
    assert trt.is_rtx, f"{trt.name} builds for the GPU that is here, not ahead of time"
    return trt


AMPERE = Gpu(AHEAD_OF_TIME, "8.6", False)


def key_of(model: bytes, precision: str, max_batch: int) -> EngineKey:
    """Return the key on a machine with an Ampere GPU and this machine's TensorRT-RTX."""
    trt = tensorrt_rtx()
    return engine_key(model, trt.name, trt.version, AMPERE, precision, max_batch)
