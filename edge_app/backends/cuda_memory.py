"""CUDA through pycuda: one primary context, pinned buffers, no allocation once a graph is loaded.

pycuda is compiled on the device (extra `jetson`) and imported here only, when first needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.protocol import AnyArray
from edge_app.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Cuda:
    """pycuda and the device's primary context.

    Attributes:
        driver: the module pycuda.driver.
        context: retained; made current only while work is queued, so any thread may queue it.
        is_integrated: the GPU uses the CPU's memory: pinned memory is read in place.
    """

    driver: Any
    context: Any
    is_integrated: bool

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current for this thread."""
        self.context.push()
        try:
            yield
        finally:
            self.driver.Context.pop()


@lru_cache(maxsize=1)
def open_cuda() -> Cuda:
    """Return CUDA on the first GPU.

    Raises:
        ModelError: no GPU, no driver or no pycuda.
    """
    gpu = find_gpu()
    if gpu is None:
        raise ModelError(
            "No NVIDIA GPU can be used here: the driver is missing or shows no device. "
            "`edge-app doctor` shows what there is; inspection runs on ONNX Runtime without one."
        )
    try:
        driver: Any = importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise ModelError(
            f"pycuda cannot be imported ({error}). On the device: pip install "
            "'cropliq-edge[jetson]'; it is compiled against the installed CUDA."
        ) from error
    driver.init()
    context = driver.Device(0).retain_primary_context()
    return Cuda(driver, context, gpu.is_integrated)


class Buffer:
    """One tensor's place in pinned host memory and on the GPU.

    On an integrated GPU (Jetson) both are the same memory and nothing is copied.

    Args:
        cuda: its context must be current.
        shape: the largest the tensor can have.
    """

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: str) -> None:
        flags = cuda.driver.host_alloc_flags.DEVICEMAP if cuda.is_integrated else 0
        count = max(1, int(np.prod(shape)))
        self._driver = cuda.driver
        self._host: Any = cuda.driver.pagelocked_empty(count, np.dtype(dtype), mem_flags=flags)
        self._device: Any = None
        if cuda.is_integrated:
            self.address = int(self._host.base.get_device_pointer())
        else:
            self._device = cuda.driver.mem_alloc(self._host.nbytes)
            self.address = int(self._device)

    def fill(self, array: AnyArray) -> None:
        """Copy an array into pinned memory."""
        np.copyto(self._host[: array.size], array.reshape(-1))

    def upload(self, count: int, stream: Any) -> None:
        """Queue the first `count` values' way to the GPU."""
        if self._device is not None:
            self._driver.memcpy_htod_async(self._device, self._host[:count], stream)

    def download(self, count: int, stream: Any) -> None:
        """Queue the first `count` values' way back."""
        if self._device is not None:
            self._driver.memcpy_dtoh_async(self._host[:count], self._device, stream)

    def taken(self, shape: tuple[int, ...]) -> AnyArray:
        """Return a copy of the values in pinned memory: the next run overwrites them there."""
        return np.array(self._host[: int(np.prod(shape))].reshape(shape))

    def close(self) -> None:
        """Release both places; may be called twice."""
        if self._device is not None:
            self._device.free()
        if self._host is not None:
            self._host.base.free()
        self._host = self._device = None
