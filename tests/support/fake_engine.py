"""A TensorRT whose one engine copies crops to scores, on the stand-in of NVIDIA's driver.

It has the calls of `tensorrt` 10.3 to 11 and `tensorrt_rtx` that the runner makes, no more.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge_app.backends.tensorrt_library import TensorRt

CROP = (2, 3, 3)
MAX_BATCH = 8


def crops(count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return an input of the engine."""
    rng = np.random.default_rng(count)
    return {"crops": rng.integers(0, 255, (count, *CROP), np.uint8)}


def expected_score(inputs: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return what the engine makes of it: the first bytes, taken as float32."""
    count = len(inputs["crops"])
    scores: np.ndarray[Any, Any] = inputs["crops"].reshape(-1)[: 4 * count].copy().view(np.float32)
    return scores


class Context:
    """Its shapes and addresses are the ones set last; what is beyond the profile is refused."""

    def __init__(self, driver: ctypes.CDLL) -> None:
        self._driver = driver
        self._count = -1
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if name != "crops" or shape[1:] != CROP or not 1 <= shape[0] <= MAX_BATCH:
            return False
        self._count = shape[0]
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._count, *CROP) if name == "crops" else (self._count,)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        """Queue the copy that stands for the kernels."""
        to, source = (ctypes.c_void_p(self._addresses[n]) for n in ("score", "crops"))
        size = ctypes.c_size_t(4 * self._count)
        code = self._driver.cuMemcpyDtoDAsync_v2(to, source, size, ctypes.c_void_p(stream))
        return bool(code == 0)


class Engine:
    """Inputs `crops` uint8 (n, 2, 3, 3), output `score` float32 (n,), n from 1 to 8."""

    num_io_tensors = 2

    def __init__(self, driver: ctypes.CDLL) -> None:
        self._driver = driver
        self.strategy = ""

    def create_execution_context(self, config: Any = None) -> Context | None:
        self.strategy = "" if config is None else config.cuda_graph_strategy
        return Context(self._driver)

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(cuda_graph_strategy="DISABLED")

    def get_tensor_name(self, index: int) -> str:
        return ("crops", "score")[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, *CROP) if name == "crops" else (-1,)

    def get_tensor_dtype(self, name: str) -> Any:
        return np.uint8 if name == "crops" else np.float32

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name == "crops" else "OUTPUT"

    def get_tensor_profile_shape(self, _name: str, _profile: int) -> list[tuple[int, ...]]:
        return [(n, *CROP) for n in (1, 2, MAX_BATCH)]


def tensorrt_on(driver: ctypes.CDLL, is_rtx: bool = False) -> TensorRt:
    """Return a TensorRT whose runtime loads that engine from any bytes but none."""

    class Runtime:
        def __init__(self, _log: object) -> None:
            pass

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            return Engine(driver) if plan else None

    module = SimpleNamespace(
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT="INPUT"),
        nptype=lambda dtype: dtype,
    )
    if is_rtx:
        module.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE_GRAPH_CAPTURE")
    return TensorRt(module, "tensorrt_rtx" if is_rtx else "tensorrt", "10.3.0", is_rtx, None)
