"""CUDA through pycuda: one primary context, pinned buffers, no allocation once a graph is loaded.

pycuda is compiled on the device (extra `jetson`) and imported only here, when first needed.
"""

from __future__ import annotations

import atexit
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.protocol import AnyArray
from edge_app.errors import ModelError

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: a recording on this stream and another thread's work on the default one,
as when TensorRT loads an engine, do not break each other (CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)."""

_opening = threading.Lock()


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
    def current(self, what: str) -> Iterator[None]:
        """Make the context current for this thread.

        Args:
            what: the work in progress, for messages.

        Raises:
            ModelError: anything the driver refused in between.
        """
        try:
            self.context.push()
            try:
                yield
            finally:
                self.driver.Context.pop()
        except self.driver.MemoryError as error:
            raise ModelError(
                f"{what}: too little GPU memory ({error}). Stop what else uses the GPU, or lower "
                "runtime.max_batch and build the engines again."
            ) from error
        except self.driver.Error as error:
            raise ModelError(
                f"{what} failed on the GPU: {error}. `edge-app doctor` shows the driver; "
                'runtime.backend = "onnxruntime" works without the GPU.'
            ) from error

    def new_stream(self) -> Any:
        """Return a stream of its own; the context must be current."""
        return self.driver.Stream(NON_BLOCKING)


def open_cuda() -> Cuda:
    """Return CUDA on the first GPU, the same for every caller.

    Raises:
        ModelError: no GPU, no driver, no pycuda, or the driver refuses.
    """
    with _opening:  # two threads at once would each get a context object of their own
        return _opened()


@lru_cache(maxsize=1)
def _opened() -> Cuda:
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
    try:
        driver.init()
        context = driver.Device(0).retain_primary_context()
    except driver.Error as error:
        raise ModelError(
            f"CUDA cannot be started: {error}. `edge-app doctor` shows the driver; was pycuda "
            "compiled before CUDA was updated? pip install --force-reinstall --no-cache-dir pycuda"
        ) from error
    # By default pycuda releases a primary context as if it had made it, and complains.
    atexit.register(context.detach)
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
        try:
            self.address = self._on_gpu(cuda)
        except cuda.driver.Error:
            self.close()  # else half a buffer would be released where the context is not current
            raise

    def _on_gpu(self, cuda: Cuda) -> int:
        if cuda.is_integrated:
            return int(self._host.base.get_device_pointer())
        self._device = cuda.driver.mem_alloc(self._host.nbytes)
        return int(self._device)

    def fill(self, array: AnyArray) -> None:
        """Copy an array into pinned memory."""
        np.copyto(self._host[: array.size], array.reshape(-1))

    def upload(self, count: int, stream: Any) -> None:
        """Queue the copy of the first `count` values to the GPU."""
        if self._device is not None:
            self._driver.memcpy_htod_async(self._device, self._host[:count], stream)

    def download(self, count: int, stream: Any) -> None:
        """Queue the copy of the first `count` values back to the host."""
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
