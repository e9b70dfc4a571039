"""Whether this machine can compile engines ahead of time; in CI it must."""

from __future__ import annotations

import os

import pytest
from system_packages import REQUIRED

from edge_app.backends.tensorrt_library import TensorRt, load_tensorrt
from edge_app.errors import ModelError

AHEAD_OF_TIME = "SM86"
"""Ampere, the generation of the Jetson Orin (8.7); the nearest that TensorRT-RTX builds for."""


def tensorrt_rtx() -> TensorRt:
    """Return TensorRT-RTX, which builds for a GPU that is not here; skip the test without it."""
    try:
        trt = load_tensorrt()
    except ModelError as error:
        return _missing(str(error))
    return trt if trt.is_rtx else _missing(f"{trt.name} cannot build ahead of time")


def _missing(why: str) -> TensorRt:
    text = f"needs the extra tensorrt-rtx: {why}"
    if os.environ.get(REQUIRED):
        pytest.fail(text)
    pytest.skip(text)
