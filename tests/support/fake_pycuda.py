"""The part of `pycuda.driver` that the device uses, on the stand-in of NVIDIA's driver.

pycuda has no wheels and needs a GPU's driver, so the ordinary tests run on this. It keeps pycuda's
rules: memory belongs to the context that was current, and is released in the thread that opened the
GPU or while that context is current; elsewhere it leaks with a warning (cuda.hpp,
`scoped_context_activation`).
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


class Error(Exception):
    """Any refusal of the driver."""


class MemoryError(Error):  # pycuda's name
    """Out of memory."""


OUT_OF_MEMORY = 2


def pycuda_driver(library: ctypes.CDLL) -> Any:
    """Return what `import pycuda.driver` would give."""
    stacks = threading.local()

    def call(name: str, *arguments: Any) -> None:
        code = getattr(library, name)(*arguments)
        if code:
            raise (MemoryError if code == OUT_OF_MEMORY else Error)(f"{name} failed: {code}")

    def stack() -> list[Context]:
        contexts: list[Context] = stacks.__dict__.setdefault("contexts", [])
        return contexts

    class Context:
        def __init__(self, handle: ctypes.c_void_p) -> None:
            self.handle, self.thread = handle, threading.get_ident()

        def push(self) -> None:
            call("cuCtxPushCurrent_v2", self.handle)
            stack().append(self)

        @staticmethod
        def pop() -> None:
            call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
            stack().pop()

        @staticmethod
        def synchronize() -> None:
            call("cuCtxSynchronize")

        def detach(self) -> None:
            """Release the primary context."""

    class Owned:
        """Something that belongs to the context which is current now."""

        _context: Context | None = None  # until the driver has given it

        def __init__(self, release: Callable[[], None]) -> None:
            self._context = stack()[-1]
            self._release = release

        def free(self) -> None:
            context, self._context = self._context, None
            if context is None:
                raise Error("freed twice")
            if context in stack():
                self._release()
            elif context.thread == threading.get_ident():
                context.push()
                self._release()
                Context.pop()
            else:
                warnings.warn("out-of-thread context could not be cleaned up", stacklevel=2)

        def __del__(self) -> None:
            if self._context is not None:
                self.free()

    class Stream(Owned):
        def __init__(self, flags: int = 0) -> None:
            stream = ctypes.c_void_p()
            call("cuStreamCreate", ctypes.byref(stream), flags)
            self.handle = int(stream.value or 0)
            super().__init__(lambda: call("cuStreamDestroy_v2", stream))

        def synchronize(self) -> None:
            call("cuStreamSynchronize", ctypes.c_void_p(self.handle))

    class DeviceAllocation(Owned):
        def __init__(self, size: int) -> None:
            self.at = ctypes.c_void_p()
            call("cuMemAlloc_v2", ctypes.byref(self.at), ctypes.c_size_t(size))
            super().__init__(lambda: call("cuMemFree_v2", self.at))

        def __int__(self) -> int:
            return int(self.at.value or 0)

    class HostAllocation(Owned):
        def __init__(self, size: int, flags: int) -> None:
            self.at = ctypes.c_void_p()
            call("cuMemHostAlloc", ctypes.byref(self.at), ctypes.c_size_t(size), flags)
            super().__init__(lambda: call("cuMemFreeHost", self.at))

        def get_device_pointer(self) -> int:
            device = ctypes.c_void_p()
            call("cuMemHostGetDevicePointer_v2", ctypes.byref(device), self.at, 0)
            return int(device.value or 0)

    class PinnedArray(np.ndarray[Any, Any]):
        """An array whose `base` is its allocation, as pycuda makes them."""

        allocation: HostAllocation

        @property
        def base(self) -> HostAllocation:  # type: ignore[override]
            return self.allocation

    def pagelocked_empty(count: int, dtype: Any, mem_flags: int = 0) -> PinnedArray:
        allocation = HostAllocation(count * np.dtype(dtype).itemsize, mem_flags)
        raw = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(
            int(allocation.at.value or 0)
        )
        array = np.frombuffer(raw, dtype).view(PinnedArray)
        array.allocation = allocation
        return array

    def copied(name: str) -> Callable[[Any, Any, Stream], None]:
        def at(place: Any) -> ctypes.c_void_p:
            is_array = isinstance(place, np.ndarray)
            return ctypes.c_void_p(place.ctypes.data if is_array else int(place))

        def copy(to: Any, source: Any, stream: Stream) -> None:
            array = to if isinstance(to, np.ndarray) else source
            size = ctypes.c_size_t(array.nbytes)
            call(name, at(to), at(source), size, ctypes.c_void_p(stream.handle))

        return copy

    class Device:
        def __init__(self, _number: int) -> None:
            pass

        def retain_primary_context(self) -> Context:
            handle = ctypes.c_void_p()
            call("cuDevicePrimaryCtxRetain", ctypes.byref(handle), 0)
            return Context(handle)

    def mem_get_info() -> tuple[int, int]:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    return SimpleNamespace(
        Error=Error,
        MemoryError=MemoryError,
        Context=Context,
        Device=Device,
        Stream=Stream,
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        get_version=lambda: (13, 0, 0),
        init=lambda: call("cuInit", 0),
        mem_alloc=DeviceAllocation,
        mem_get_info=mem_get_info,
        pagelocked_empty=pagelocked_empty,
        memcpy_htod_async=copied("cuMemcpyHtoDAsync_v2"),
        memcpy_dtoh_async=copied("cuMemcpyDtoHAsync_v2"),
    )
