"""The little that is needed of NVIDIA's driver library directly: which GPU, and CUDA graphs.

pycuda wraps neither before a context exists nor graphs at all. libcuda comes with the driver, so
nothing has to be installed; without a driver everything here reports "no GPU".
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edge_app.errors import ModelError

DRIVER = "libcuda.so.1"
"""Beside the driver everywhere; on a Jetson JetPack's ld.so.conf knows the folder."""

_INT, _HANDLE = ctypes.c_int, ctypes.c_void_p
_INTS, _HANDLES = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_void_p)

PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (_INTS, _INT),
    "cuDeviceGetName": (ctypes.c_char_p, _INT, _INT),
    "cuDeviceGetAttribute": (_INTS, _INT, _INT),
    "cuGetErrorName": (_INT, ctypes.POINTER(ctypes.c_char_p)),
    "cuStreamBeginCapture_v2": (_HANDLE, _INT),
    "cuStreamEndCapture": (_HANDLE, _HANDLES),
    "cuGraphInstantiateWithFlags": (_HANDLES, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
}
"""Exported name → arguments, as in cuda.h; all return a CUresult. The names are the libraries' own:
the header's `cuStreamBeginCapture` is `_v2` since CUDA 10.1 and its `cuGraphInstantiate` is
`WithFlags` since CUDA 12, which has that name since 11.4. CUDA 12 and 13 export every one."""

_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
"""CUdevice_attribute: compute capability major and minor; GPU shares the CPU's memory."""

_CAPTURE_RELAXED = 2
"""CUstreamCaptureMode: calls of other threads do not break a capture."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        compute_capability: e.g. "8.7" (Jetson Orin).
        is_integrated: it uses the CPU's own memory, as on every Jetson.
    """

    name: str
    compute_capability: str
    is_integrated: bool


@lru_cache(maxsize=1)
def find_gpu() -> Gpu | None:
    """Return the first GPU, or None where there is no driver or no GPU."""
    try:
        cuda = _driver()
    except ModelError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if cuda.cuDeviceGetName(name, len(name), device):
        return None
    major, minor, integrated = (_attribute(cuda, n, device) for n in (_MAJOR, _MINOR, _INTEGRATED))
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}", bool(integrated))


@lru_cache(maxsize=1)
def _driver() -> ctypes.CDLL:
    """Return the driver's library, every function's arguments declared.

    Raises:
        ModelError: it is missing, or older than CUDA 11.4.
    """
    try:
        cuda = ctypes.CDLL(DRIVER)
        for name, arguments in PROTOTYPES.items():
            function = getattr(cuda, name)
            function.argtypes, function.restype = arguments, _INT
    except (OSError, AttributeError) as error:
        raise ModelError(
            f"NVIDIA's driver library {DRIVER} cannot be used: {error}. Install the driver; one of "
            "CUDA 11.4 or newer is needed (any JetPack 6 or 7 has it)."
        ) from error
    return cuda


def _attribute(cuda: ctypes.CDLL, number: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _check(cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device), "cuDeviceGetAttribute")
    return value.value


class CudaGraph:
    """Work recorded on a stream once and launched again as one call.

    Between `begin` and `end` nothing is executed; every address must stay valid until `close`.

    Args:
        stream: the CUstream's address (pycuda: `stream.handle`), not the default stream.
    """

    def __init__(self, stream: int) -> None:
        self._cuda = _driver()
        self._stream = ctypes.c_void_p(stream)
        self._graph, self._executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._is_recording = False

    def begin(self) -> None:
        """Start recording.

        Raises:
            ModelError: the driver refuses.
        """
        _check(
            self._cuda.cuStreamBeginCapture_v2(self._stream, _CAPTURE_RELAXED), "begin of capture"
        )
        self._is_recording = True

    def end(self) -> None:
        """Stop recording and make the graph ready to launch.

        Raises:
            ModelError: something recorded cannot be part of a graph.
        """
        _check(self._end_capture(), "end of capture")
        _check(
            self._cuda.cuGraphInstantiateWithFlags(ctypes.byref(self._executable), self._graph, 0),
            "cuGraphInstantiate",
        )

    def launch(self) -> None:
        """Put the whole graph on the stream.

        Raises:
            ModelError: the driver refuses.
        """
        _check(self._cuda.cuGraphLaunch(self._executable, self._stream), "cuGraphLaunch")

    def close(self) -> None:
        """Release the graph, a half recorded one too; may be called twice."""
        if self._is_recording:
            self._end_capture()
        if self._executable:
            self._cuda.cuGraphExecDestroy(self._executable)
        if self._graph:
            self._cuda.cuGraphDestroy(self._graph)
        self._graph, self._executable = ctypes.c_void_p(), ctypes.c_void_p()

    def _end_capture(self) -> int:
        self._is_recording = False
        return int(self._cuda.cuStreamEndCapture(self._stream, ctypes.byref(self._graph)))


def _check(code: int, what: str) -> None:
    if code:
        raise ModelError(
            f"NVIDIA's driver refused {what} with {_name_of(code)}. `edge-app doctor` shows the "
            "driver; without CUDA graphs: runtime.cuda_graphs = false."
        )


def _name_of(code: int) -> str:
    """Return a CUresult with its name and number, e.g. "CUDA_ERROR_INVALID_HANDLE (400)"."""
    name = ctypes.c_char_p()
    if _driver().cuGetErrorName(code, ctypes.byref(name)) or name.value is None:
        return f"error {code}"
    return f"{name.value.decode()} ({code})"
