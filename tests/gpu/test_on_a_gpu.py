"""What only a GPU can show: `make test-gpu` runs this and prints one table.

Engines are built here, for this GPU, by the product's own builder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from edge_app.backends.choice import BackendChoice, GraphOpener, key_here
from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.tensorrt import TensorRtRunner
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.bundle import Bundle, read_bundle
from edge_app.certified import load_safest
from edge_app.crop import letterbox, upright_crop
from edge_app.engine_build import build_into
from edge_app.engine_cache import EngineCache

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(3600),  # a first build takes minutes on a Jetson
    pytest.mark.skipif(find_gpu() is None, reason="needs an NVIDIA GPU and its driver"),
]

FRAMES = int(os.environ.get("CROPLIQ_GPU_FRAMES", "10000"))
SWITCHES = 50
FLAT_MB = 4
"""Device memory may differ by this between the first and the last tenth of the frames."""

ROWS: list[tuple[str, str]] = []


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Return the shipped bundle."""
    return read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle"))))


@pytest.fixture(scope="module")
def plan(bundle: Bundle) -> bytes:
    """Return the inspector's engine for this GPU."""
    started = time.monotonic()
    built = build_engine(bundle.files[bundle.variant().inspector], EngineOptions())
    ROWS.append(("inspector: build", f"{time.monotonic() - started:.1f} s"))
    return built.plan


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print one table when all is done."""
    yield
    from rich.console import Console
    from rich.table import Table

    gpu = find_gpu()
    shown = Table(title=f"{gpu.name} ({gpu.compute_capability})" if gpu else "no GPU")
    shown.add_column("What")
    shown.add_column("Figure", justify="right")
    for row in ROWS:
        shown.add_row(*row)
    Console(force_terminal=False, width=100).print("", shown)


def _crops(bundle: Bundle, count: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, 255, (count, *bundle.manifest.crop.crop_hw, 3), np.uint8)


def _used_mb() -> float:
    import pycuda.driver as driver

    free, total = driver.mem_get_info()
    return float((total - free) / (1 << 20))


@pytest.mark.parametrize("use_cuda_graphs", [False, True], ids=["plain", "CUDA graph"])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_scores_are_onnx_runtimes(
    bundle: Bundle, plan: bytes, count: int, use_cuda_graphs: bool
) -> None:
    """Scores and maps equal ONNX Runtime's to 0.1 % for every batch, recorded or not."""
    crops = {"crops": _crops(bundle, count)}
    expected = OnnxRunner(bundle.files[bundle.variant().inspector]).run(crops)
    runner = TensorRtRunner(plan, "inspector", use_cuda_graphs)
    times = []
    for _ in range(60):
        started = time.perf_counter()
        outputs = runner.run(crops)
        times.append((time.perf_counter() - started) * 1e3)
    runner.close()
    np.testing.assert_allclose(outputs["score"], expected["score"], rtol=1e-3)
    np.testing.assert_allclose(outputs["map"], expected["map"], rtol=1e-2, atol=1e-2)
    how = "CUDA graph" if use_cuda_graphs else "plain"
    ROWS.append((f"inspector, {count} crops, {how}", f"{np.median(times[10:]):.2f} ms"))


def test_memory_stays_flat(bundle: Bundle, plan: bytes) -> None:
    """Over 10,000 calls of changing batches the GPU's memory does not grow."""
    runner = TensorRtRunner(plan, "inspector")
    batches = [{"crops": _crops(bundle, n)} for n in (1, 1, 1, 1, 2, 1, 3, 8)]
    used = []
    for index in range(FRAMES):
        runner.run(batches[index % len(batches)])
        if index % (FRAMES // 20) == 0:
            with runner._cuda.current("counting"):
                used.append(_used_mb())
    runner.close()
    assert abs(used[-1] - used[1]) < FLAT_MB
    ROWS.append((f"memory over {FRAMES} calls", f"{used[1]:.0f} → {used[-1]:.0f} MB"))


def test_models_are_switched_without_a_leak(bundle: Bundle, plan: bytes) -> None:
    """Fifty times open, run, close leaves the GPU's memory where it was."""
    used = []
    for _ in range(SWITCHES):
        runner = TensorRtRunner(plan, "inspector")
        runner.run({"crops": _crops(bundle, 2)})
        with runner._cuda.current("counting"):
            runner.close()
            used.append(_used_mb())
    assert used[-1] - used[1] < FLAT_MB
    ROWS.append((f"{SWITCHES} model switches", f"{used[1]:.0f} → {used[-1]:.0f} MB"))


def test_golden_set_is_certified(bundle: Bundle, tmp_path: Path) -> None:
    """With engines for both graphs the device's parity certificate is passed."""
    cache, variant = EngineCache(tmp_path), bundle.variant()
    for graph, file in (("detector", variant.detector), ("inspector", variant.inspector)):
        assert file is not None
        model = bundle.files[file]
        key = key_here(model, variant.precision, 8)
        build_into(cache, key, graph, model, progress=lambda *_: None, timeout_s=1800)
    opener = GraphOpener(BackendChoice("tensorrt", 0, tmp_path))
    (certificate,) = load_safest(bundle, opener).certificates
    assert certificate.is_passed, certificate.reason
    ROWS.append(
        (
            "golden set",
            f"IoU ≥ {certificate.worst_iou:.3f}, score ± {certificate.worst_score_difference:.2%}, "
            f"{certificate.latency_ms:.1f} ms",
        )
    )


def test_kernels_sample_as_opencv_does(bundle: Bundle) -> None:
    """Letterbox and crops from the GPU differ from OpenCV's by under one grey level."""
    from edge_app.backends.gpu_sampler import GpuSampler

    how, spec = bundle.manifest.detector, bundle.manifest.crop.to_spec()
    assert how is not None
    rng = np.random.default_rng(3)
    frame = rng.integers(0, 255, (768, 1024, 3), np.uint8)
    boxes = [(300.0 + 50 * i, 400.0, 300.0, 90.0, 0.4 * i) for i in range(6)]
    sampler = GpuSampler((768, 1024), how.input_hw, spec, 8)
    sampler.take(frame)
    fitted, fit = sampler.letterbox()
    expected, expected_fit = letterbox(frame, how.input_hw)
    assert fit == expected_fit
    assert np.abs(fitted.astype(int) - expected).mean() < 1.0
    for crop, box in zip(sampler.crops(boxes), boxes, strict=True):
        assert np.abs(crop.astype(int) - upright_crop(frame, box, spec)).mean() < 1.0
    started = time.perf_counter()
    for _ in range(100):
        sampler.take(frame)
        sampler.letterbox()
        sampler.crops(boxes)
    ROWS.append(("frame up, letterbox, 6 crops", f"{(time.perf_counter() - started) * 10:.2f} ms"))
    sampler.close()
