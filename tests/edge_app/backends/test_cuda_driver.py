"""The driver's functions through ctypes: their C prototypes, and in which order they are called."""

from __future__ import annotations

import ctypes
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_cuda import FakeDriver, compile_driver
from support.needs import needing

from edge_app.backends import cuda_driver
from edge_app.backends.cuda_driver import PROTOTYPES, CudaGraph, Gpu, find_gpu
from edge_app.errors import ModelError

HEADERS = (
    *sorted(Path("/usr/local").glob("cuda*/include/cuda.h")),
    *sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/include/cuda.h")),
)
"""Of a CUDA toolkit, and of the packages that torch brings."""


@pytest.fixture(scope="module")
@needing("gcc")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled stand-in of the driver."""
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def driver(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """Have the product's code call the stand-in."""
    _forget()
    monkeypatch.setattr(cuda_driver, "DRIVER", str(library))
    fake = FakeDriver(library)
    fake.reset()
    yield fake
    _forget()


def _forget() -> None:
    cuda_driver._driver.cache_clear()
    find_gpu.cache_clear()


def _c_types(text: str) -> list[str]:
    """Return the argument types of a C prototype, without names."""
    return [re.sub(r"\w+$", "", part.strip()).replace(" ", "") for part in text.split(",")]


C_NAMES = {
    ctypes.c_int: {"int", "CUdevice", "CUdevice_attribute", "CUresult", "CUstreamCaptureMode"},
    ctypes.c_uint: {"unsignedint"},
    ctypes.c_ulonglong: {"unsignedlonglong"},
    ctypes.c_char_p: {"char*"},
    ctypes.c_void_p: {"CUstream", "CUgraph", "CUgraphExec"},
    ctypes.POINTER(ctypes.c_int): {"int*", "CUdevice*"},
    ctypes.POINTER(ctypes.c_void_p): {"CUgraph*", "CUgraphExec*"},
    ctypes.POINTER(ctypes.c_char_p): {"constchar**"},
}


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_prototypes_are_those_of_the_header(header: Path) -> None:
    """Every function has the exported name, the argument count and types of NVIDIA's cuda.h."""
    text = header.read_text(errors="replace")
    renamed = dict(
        re.findall(r"#define (cu\w+)\s+(?:__CUDA_API_PTSZ\()?(cu\w+)\)?\s*$", text, re.M)
    )
    public = {exported: name for name, exported in reversed(renamed.items())}
    for exported, arguments in PROTOTYPES.items():
        name = public.get(exported, exported)
        found = re.findall(rf"^CUresult CUDAAPI {name}\(([^)]*)\);", text, re.M)
        assert found, f"{name} is not in {header}"
        wanted = _c_types(found[0])
        assert len(wanted) == len(arguments), name
        for c_type, ours in zip(wanted, arguments, strict=True):
            assert c_type in C_NAMES[ours], (name, c_type, ours)


def test_gpu_is_found(driver: FakeDriver) -> None:
    """Name, compute capability and whether memory is shared come from the driver."""
    assert find_gpu() == Gpu("Orin (stand-in)", "8.7", True)


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet"])
def test_driver_without_a_gpu_means_no_gpu(driver: FakeDriver, call: str) -> None:
    """Error 100 (no device) of the driver is no crash: there is no GPU."""
    driver.fail_next(call, 100)
    assert find_gpu() is None


def test_graph_is_recorded_launched_and_released(driver: FakeDriver) -> None:
    """Begin, end, instantiate, launch, destroy: in this order, relaxed, nothing left."""
    stream = driver.stream()
    before = driver.live()
    driver.reset()
    graph = CudaGraph(stream)
    graph.begin()
    graph.end()
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    assert driver.lines() == [
        "cuStreamBeginCapture 2",
        "cuStreamEndCapture 0",
        "cuGraphInstantiateWithFlags 0",
        "cuGraphLaunch",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
        "cuGraphDestroy",
    ]
    assert driver.live() == before


def test_half_recorded_graph_ends_the_capture(driver: FakeDriver) -> None:
    """Closing in the middle of a recording gives the stream back to ordinary work."""
    stream = driver.stream()
    graph = CudaGraph(stream)
    graph.begin()
    graph.close()
    assert driver.library.cuStreamSynchronize(ctypes.c_void_p(stream)) == 0


def test_refusal_names_the_error_as_people_look_it_up(driver: FakeDriver) -> None:
    """What the driver refuses is told with CUDA's own name, and how to go on without graphs."""
    graph = CudaGraph(driver.stream())
    graph.begin()
    driver.fail_next("cuStreamEndCapture", 900)
    with pytest.raises(
        ModelError, match=r"STREAM_CAPTURE_UNSUPPORTED \(900\).*cuda_graphs = false"
    ):
        graph.end()
    graph.close()


def test_driver_that_is_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that lacks a function counts as no GPU; the message says what is needed."""
    _forget()
    monkeypatch.setattr(cuda_driver, "DRIVER", "libc.so.6")
    try:
        assert find_gpu() is None
        with pytest.raises(ModelError, match=r"cuInit.*CUDA 11\.4"):
            CudaGraph(1)
    finally:
        _forget()
