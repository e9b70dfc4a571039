"""The runner's CUDA calls, their order and what is left, on a stand-in of NVIDIA's driver.

Started with CROPLIQ_FAKE_CUDA (tests/support/fake_cuda.py) these run on the real pycuda. What an
engine computes only a GPU can show: tests/gpu.
"""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.fake_cuda import GIVEN, FakeDriver, compile_driver
from support.fake_engine import Engine, crops, expected_score, tensorrt_on
from support.fake_pycuda import pycuda_driver
from support.needs import needing

from edge_app.backends import cuda_driver, cuda_memory, tensorrt, tensorrt_library
from edge_app.backends.tensorrt import TensorRtRunner
from edge_app.errors import ModelError


@pytest.fixture(scope="module")
@needing("gcc")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled stand-in of the driver."""
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def driver(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """Have the runner find the stand-ins of driver, pycuda and TensorRT."""
    fake = FakeDriver(library)
    fake.reset()
    _forget()
    monkeypatch.setattr(cuda_driver, "DRIVER", str(library))
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: tensorrt_on(fake.library))
    if not GIVEN:
        monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
        monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda_driver(fake.library))
    yield fake
    gc.collect()
    if cuda_memory._opened.cache_info().currsize:
        atexit.unregister(cuda_memory._opened().context.detach)
    _forget()


def _forget() -> None:
    for cached in (cuda_driver._driver, cuda_driver.find_gpu, cuda_memory._opened):
        cached.cache_clear()


@pytest.fixture(params=["Jetson", "card"])
def either(request: pytest.FixtureRequest, driver: FakeDriver) -> FakeDriver:
    """Be a GPU that shares the CPU's memory, and one with its own."""
    if request.param == "card":
        driver.be_discrete()
    return driver


def _in_a_thread(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_results_are_right_plain_recorded_and_across_shapes(either: FakeDriver) -> None:
    """Whatever the batch and however often it repeats, the newest input's result comes back."""
    runner = TensorRtRunner(b"plan")
    for seed, count in enumerate((1, 1, 1, 1, 1, 2, 2, 2, 2, 8, 1)):
        inputs = crops(count)
        inputs["crops"] += seed
        assert (runner.run(inputs)["score"] == expected_score(inputs)).all()
    assert either.calls().count("cuGraphInstantiateWithFlags") == 2  # for 1 and for 2
    assert either.calls().count("cuGraphLaunch") == 3 + 2
    runner.close()
    assert either.live() == 0


def test_nothing_is_allocated_once_the_engine_is_loaded(either: FakeDriver) -> None:
    """Frames bring no allocation, whatever their number of crops."""
    runner = TensorRtRunner(b"plan", use_cuda_graphs=False)
    either.reset()
    for count in (1, 8, 3, 3, 3, 3):
        runner.run(crops(count))
    assert not {"cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate"} & set(either.calls())
    assert "cuGraphLaunch" not in either.calls()


def test_jetsons_memory_is_used_in_place(driver: FakeDriver) -> None:
    """Where GPU and CPU share the memory, it is mapped (flag 2) and nothing is copied."""
    runner = TensorRtRunner(b"plan")
    runner.run(crops(1))
    assert "cuMemHostAlloc 144 2" in driver.lines()
    assert not [c for c in driver.calls() if "HtoD" in c or "DtoH" in c or c == "cuMemAlloc"]


def test_stream_does_not_wait_for_the_default_one(driver: FakeDriver) -> None:
    """A recording is not broken by another thread that loads an engine on the default stream; what
    loading put there has arrived before the first run."""
    TensorRtRunner(b"plan")
    assert "cuStreamCreate 1" in driver.lines()
    assert driver.calls().index("cuCtxSynchronize") > driver.calls().index("cuStreamCreate")


def test_runner_dropped_in_another_thread_leaves_nothing(either: FakeDriver) -> None:
    """A model that the switching thread lets go of gives its memory back, closed or not."""
    runners = [TensorRtRunner(b"plan")]
    for _ in range(4):
        runners[0].run(crops(2))
    assert either.live() > 0
    _in_a_thread(runners.clear)
    assert either.live() == 0


def test_switches_leave_nothing(either: FakeDriver) -> None:
    """Fifty times open, run, drop: no allocation more than before."""
    for _ in range(50):
        TensorRtRunner(b"plan").run(crops(2))
    assert either.live() == 0


def test_context_is_current_only_meanwhile(driver: FakeDriver) -> None:
    """Neither a result nor a refusal leaves the context on the thread's stack."""
    runner = TensorRtRunner(b"plan")
    runner.run(crops(1))
    driver.fail_next("cuStreamSynchronize", 700)
    with pytest.raises(ModelError, match="failed on the GPU"):
        runner.run(crops(1))
    assert driver.library.fake_depth() == 0


def test_any_thread_may_run_and_close(driver: FakeDriver) -> None:
    """Loaded in one thread, run and closed in another."""
    runner = TensorRtRunner(b"plan")
    results = []

    def work() -> None:
        results.append(runner.run(crops(3))["score"])
        runner.close()

    _in_a_thread(work)
    assert (results[0] == expected_score(crops(3))).all()
    assert driver.live() == 0


@pytest.mark.parametrize("call", ["cuMemHostAlloc", "cuStreamCreate"])
def test_too_little_memory_is_told_and_leaves_nothing(either: FakeDriver, call: str) -> None:
    """Error 2 of the driver becomes a sentence with the way out; half a runner frees its half."""
    either.fail_next(call, 2)
    with pytest.raises(ModelError, match=r"inspector.*too little GPU memory.*max_batch"):
        TensorRtRunner(b"plan", "inspector")
    gc.collect()
    assert either.live() == 0


def test_half_a_buffer_is_freed(driver: FakeDriver) -> None:
    """Pinned memory that the GPU cannot map is given back."""
    driver.fail_next("cuMemHostGetDevicePointer", 1)
    with pytest.raises(ModelError, match="failed on the GPU"):
        TensorRtRunner(b"plan")
    gc.collect()
    assert driver.live() == 0


@pytest.mark.parametrize("call", ["cuStreamBeginCapture", "cuStreamEndCapture"])
def test_graph_that_cannot_be_recorded_is_done_without(either: FakeDriver, call: str) -> None:
    """The warning names CUDA's error; results stay right, and it is not tried again."""
    runner = TensorRtRunner(b"plan")
    either.fail_next(call, 900)
    for seed in range(6):
        inputs = crops(2)
        inputs["crops"] += seed
        assert (runner.run(inputs)["score"] == expected_score(inputs)).all()
    assert either.calls().count("cuStreamBeginCapture") == 1
    assert "cuGraphLaunch" not in either.calls()


@pytest.mark.parametrize("count", [0, 9])
def test_batch_beyond_the_profile_is_refused(driver: FakeDriver, count: int) -> None:
    """None or too many crops are refused in words, and the next good batch is judged."""
    runner = TensorRtRunner(b"plan")
    runner.run(crops(2))
    with pytest.raises(ModelError, match=rf"for 1 to 8 in one call, got {count}"):
        runner.run(crops(count))
    assert (runner.run(crops(2))["score"] == expected_score(crops(2))).all()


def test_shape_that_tensorrt_refuses_is_not_run(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT's `False` is an error: the shape before it would give another batch's result."""
    runner = TensorRtRunner(b"plan")
    runner.run(crops(2))
    with monkeypatch.context() as patch:
        patch.setattr(type(runner._held.context), "set_input_shape", lambda *_: False)
        with pytest.raises(ModelError, match=r"refused \(3, 2, 3, 3\)"):
            runner.run(crops(3))
    assert len(runner.run(crops(3))["score"]) == 3


def test_whatever_tensorrt_raises_is_a_model_error(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of TensorRT's Python leaves the part unjudged and the line running."""
    runner = TensorRtRunner(b"plan")

    def refuse(*_: object) -> bool:
        raise RuntimeError("an internal one")

    with monkeypatch.context() as patch:
        patch.setattr(type(runner._held.context), "execute_async_v3", refuse)
        with pytest.raises(ModelError, match="RuntimeError: an internal one"):
            runner.run(crops(2))
    assert (runner.run(crops(2))["score"] == expected_score(crops(2))).all()


def test_closed_runner_says_so(driver: FakeDriver) -> None:
    """Closing twice is harmless, running afterwards is refused."""
    runner = TensorRtRunner(b"plan")
    runner.close()
    runner.close()
    with pytest.raises(ModelError, match="was closed"):
        runner.run(crops(1))


def test_engine_that_cannot_be_loaded_says_how_to_build_it_again(driver: FakeDriver) -> None:
    """TensorRT gives no engine for a foreign plan; the message names the command that helps."""
    with pytest.raises(ModelError, match="engine build --again"):
        TensorRtRunner(b"")


def test_no_room_for_the_context_is_told(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT gives no context where memory is short."""
    monkeypatch.setattr(Engine, "create_execution_context", lambda _: None)
    with pytest.raises(ModelError, match=r"memory is full.*max_batch"):
        TensorRtRunner(b"plan")


def test_tensorrt_that_cannot_start_is_a_model_error(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old driver makes TensorRT's Python raise TypeError; inspection must be able to go on."""
    trt = tensorrt_on(driver.library)

    def refuse(_log: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt.module, "Runtime", refuse)
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: trt)
    with pytest.raises(ModelError, match=r"cannot use the GPU.*driver is older"):
        TensorRtRunner(b"plan")


def test_rtx_records_graphs_itself(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT-RTX compiles kernels behind the first runs: it is told to record, we do not."""
    trt = tensorrt_on(driver.library, is_rtx=True)
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: trt)
    runner = TensorRtRunner(b"plan")
    for _ in range(5):
        runner.run(crops(2))
    assert runner._held.engine.strategy == "WHOLE_GRAPH_CAPTURE"
    assert runner._held.config is not None, "NVIDIA: it must outlive the context"
    assert "cuStreamBeginCapture" not in driver.calls()
    runner = TensorRtRunner(b"plan", use_cuda_graphs=False)
    assert runner._held.engine.strategy == ""


def test_driver_that_refuses_to_start_is_told(driver: FakeDriver) -> None:
    """pycuda's own error at the start becomes a sentence, not a crash of inspection."""
    cuda_driver.find_gpu()
    driver.fail_next("cuDevicePrimaryCtxRetain", 2)
    with pytest.raises(ModelError, match="CUDA cannot be started"):
        cuda_memory.open_cuda()


def test_old_tensorrt_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """JetPack 6.0's 8.6 is not taken; the message says which version is needed."""
    old = ModuleType("tensorrt")
    old.__version__ = "8.6.2"  # type: ignore[attr-defined]
    monkeypatch.setattr(tensorrt_library, "MODULES", ("tensorrt",))
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    tensorrt_library.load_tensorrt.cache_clear()
    try:
        with pytest.raises(ModelError, match=r"tensorrt 8\.6\.2: 10\.0 or newer.*JetPack 6\.1"):
            tensorrt_library.load_tensorrt()
    finally:
        tensorrt_library.load_tensorrt.cache_clear()
