"""What only a GPU can show: `make test-gpu` runs this and prints one table (conftest.py).

Engines are built here, for this GPU, by the product's own builder.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.backends.choice import BackendChoice, GraphOpener, key_here
from edge_app.backends.engine_build import build_into
from edge_app.backends.engine_cache import EngineCache
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.tensorrt import TensorRtRunner
from edge_app.backends.tensorrt_build import BuiltEngine, EngineOptions, build_engine
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.errors import ModelError
from edge_app.model.variant_selection import load_safest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(3600),  # a first build takes minutes on a Jetson
    pytest.mark.needs("a GPU"),
]

FRAMES = int(os.environ.get("CROPLIQ_GPU_FRAMES", "10000"))
SWITCHES = 50
MB = 1 << 20

Arrays = dict[str, "np.ndarray[Any, Any]"]
Figure = Any
"""pytest's `record_property`: what it gets as "figure" stands in the table."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Return the shipped bundle."""
    return read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle"))))


@pytest.fixture(scope="module")
def built(bundle: Bundle) -> tuple[BuiltEngine, float]:
    """Return the inspector's engine for this GPU, and how long it took, s."""
    started = time.monotonic()
    engine = build_engine(bundle.files[bundle.variant().inspector], EngineOptions())
    return engine, time.monotonic() - started


@pytest.fixture(scope="module")
def plan(built: tuple[BuiltEngine, float]) -> bytes:
    """Return the inspector's engine."""
    return built[0].plan


def _crops(bundle: Bundle, count: int) -> Arrays:
    rng = np.random.default_rng(7)
    return {"crops": rng.integers(0, 255, (count, *bundle.manifest.crop.crop_hw, 3), np.uint8)}


def _used_mb(runner: TensorRtRunner) -> float:
    """Return the GPU's memory in use; on a Jetson that is the whole machine's."""
    with runner._cuda.current("asking for the free memory"):
        free, total = runner._cuda.driver.mem_get_info()
    return float((total - free) / MB)


def test_engine_is_built(
    bundle: Bundle, built: tuple[BuiltEngine, float], record_property: Figure
) -> None:
    """The inspector becomes an engine, once more with the timings of the first build."""
    engine, took_s = built
    started = time.monotonic()
    model = bundle.files[bundle.variant().inspector]
    again = build_engine(model, EngineOptions(), engine.timing_cache)
    again_s = time.monotonic() - started
    record_property("figure", f"{took_s:.1f} s, with its timings {again_s:.1f} s")
    assert len(again.plan) > len(model) // 8


@pytest.mark.parametrize("use_cuda_graphs", [False, True], ids=["plain", "CUDA graph"])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_scores_are_onnx_runtimes(
    bundle: Bundle, plan: bytes, count: int, use_cuda_graphs: bool, record_property: Figure
) -> None:
    """Scores and maps equal ONNX Runtime's to 0.1 % for every batch, recorded or not."""
    crops = _crops(bundle, count)
    expected = OnnxRunner(bundle.files[bundle.variant().inspector]).run(crops)
    runner = TensorRtRunner(plan, "inspector", use_cuda_graphs)
    times = []
    for _ in range(60):
        started = time.perf_counter()
        outputs = runner.run(crops)
        times.append((time.perf_counter() - started) * 1e3)
    runner.close()
    worst = np.abs(outputs["score"] / expected["score"] - 1).max()
    record_property("figure", f"{np.median(times[10:]):.2f} ms, score ± {worst:.5%}")
    np.testing.assert_allclose(outputs["score"], expected["score"], rtol=1e-3)
    np.testing.assert_allclose(outputs["map"], expected["map"], rtol=1e-2, atol=1e-2)


def test_graph_is_really_recorded(bundle: Bundle, plan: bytes, record_property: Figure) -> None:
    """The repeated shape was recorded, not run plainly after a refusal."""
    runner = TensorRtRunner(plan, "inspector")
    for _ in range(5):
        runner.run(_crops(bundle, 2))
    by_itself = runner._held.config is not None
    record_property("figure", "TensorRT-RTX records by itself" if by_itself else "recorded by us")
    assert by_itself or runner._held.graph is not None


def test_memory_stays_flat(bundle: Bundle, plan: bytes, record_property: Figure) -> None:
    """Over 10,000 calls of changing batches the GPU's memory does not grow.

    Allowed is a tenth of what one crop lost in every call would come to.
    """
    runner = TensorRtRunner(plan, "inspector")
    batches = [_crops(bundle, n) for n in (1, 1, 1, 1, 2, 1, 3, 8)]
    used = []
    for index in range(FRAMES):
        runner.run(batches[index % len(batches)])
        if index % max(1, FRAMES // 20) == 0:
            used.append(_used_mb(runner))
    allowed = FRAMES * batches[0]["crops"].nbytes / MB / 10
    record_property("figure", f"{used[1]:.0f} → {used[-1]:.0f} MB, allowed + {allowed:.0f}")
    assert used[-1] - used[1] < allowed


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped by another thread"])
def test_models_are_switched_without_a_leak(
    bundle: Bundle, plan: bytes, is_closed: bool, record_property: Figure
) -> None:
    """Fifty times open, run, let go leaves the GPU's memory where it was.

    Allowed is half of what fifty lost engines would come to.
    """
    watching, used = TensorRtRunner(plan, "inspector"), []
    for _ in range(SWITCHES):
        runners = [TensorRtRunner(plan, "inspector")]
        runners[0].run(_crops(bundle, 2))
        if is_closed:
            runners[0].close()
        else:
            thread = threading.Thread(target=runners.clear)
            thread.start()
            thread.join()
            gc.collect()
        used.append(_used_mb(watching))
    allowed = SWITCHES * len(plan) / MB / 2
    record_property("figure", f"{used[1]:.0f} → {used[-1]:.0f} MB, allowed + {allowed:.0f}")
    assert used[-1] - used[1] < allowed


def test_engines_load_while_others_record(
    bundle: Bundle, plan: bytes, record_property: Figure
) -> None:
    """One thread opens engines while another judges and records: neither disturbs the other."""
    runner = TensorRtRunner(plan, "inspector")
    expected = {n: runner.run(_crops(bundle, n))["score"] for n in (1, 2)}
    failures: list[BaseException] = []

    def load() -> None:
        try:
            for _ in range(10):
                TensorRtRunner(plan, "inspector").run(_crops(bundle, 1))
        except BaseException as error:
            failures.append(error)

    loader, calls = threading.Thread(target=load), 0
    loader.start()
    while loader.is_alive():
        for count in (1, 1, 1, 1, 2, 2, 2, 2):
            score = runner.run(_crops(bundle, count))["score"]
            np.testing.assert_allclose(score, expected[count], rtol=1e-5)
            calls += 1
    record_property("figure", f"{calls} calls beside 10 loads")
    assert not failures
    assert runner._held.graph is not None or runner._held.config is not None


def test_foreign_plan_is_refused(plan: bytes) -> None:
    """A damaged engine is refused in words, and the next good one loads."""
    with pytest.raises(ModelError, match="engine build --again"):
        TensorRtRunner(b"no plan" + plan[7:], "inspector")
    TensorRtRunner(plan, "inspector").close()


def test_golden_set_is_certified(bundle: Bundle, tmp_path: Path, record_property: Figure) -> None:
    """With engines for both graphs the device's parity certificate is passed."""
    cache, variant = EngineCache(tmp_path), bundle.variant()
    for graph, file in (("detector", variant.detector), ("inspector", variant.inspector)):
        assert file is not None
        model = bundle.files[file]
        key = key_here(model, variant.precision, 8)
        build_into(cache, key, graph, model, progress=lambda *_: None, timeout_s=1800)
    opener = GraphOpener(BackendChoice("tensorrt", 0, tmp_path))
    (certificate,) = load_safest(bundle, opener).certificates
    record_property(
        "figure",
        f"IoU ≥ {certificate.worst_iou:.3f}, score ± {certificate.worst_score_difference:.2%}, "
        f"{certificate.latency_ms:.1f} ms",
    )
    assert certificate.is_passed, certificate.reason


@pytest.mark.needs("the extra calibrate")
def test_half_precision_is_onnx_runtimes(bundle: Bundle, record_property: Figure) -> None:
    """The inspector in fp16 scores as its fp32 self to 1 %; ONNX Runtime's differs by 0.04 %."""
    from calibration.precision.fp16 import to_fp16
    from calibration.precision.rewritten import fp32_nodes

    model = bundle.files[bundle.variant().inspector]
    plan = build_engine(to_fp16(model, fp32_nodes(bundle.manifest)), EngineOptions()).plan
    crops = _crops(bundle, 8)
    expected = OnnxRunner(model).run(crops)["score"]
    runner, times = TensorRtRunner(plan, "inspector, fp16"), []
    for _ in range(60):
        started = time.perf_counter()
        score = runner.run(crops)["score"]
        times.append((time.perf_counter() - started) * 1e3)
    worst = np.abs(score / expected - 1).max()
    record_property("figure", f"8 crops {np.median(times[10:]):.2f} ms, score ± {worst:.2%}")
    np.testing.assert_allclose(score, expected, rtol=1e-2)
