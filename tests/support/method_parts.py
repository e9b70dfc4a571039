"""Tiny good parts, a planted defect, and the contract that every method's graph keeps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch

from calibration.graphs.operators import problems_for_tensorrt
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.records import F32Array, JsonObject, U8Array
from export.methods.onnx_file import write_graph
from export.methods.protocol import Method, Trained, TrainingSet, TrainSettings
from support.engine_compiler import AHEAD_OF_TIME

CROP_HW = (64, 96)
DEFECT_YX = (32, 68)


def part(seed: int) -> U8Array:
    """A bright bar with a hole on a noisy belt, shifted by up to a pixel."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, 2)
    bar = np.zeros(CROP_HW, np.float32)
    cv2.rectangle(bar, (10, 16), (85, 47), 1.0, -1)
    cv2.circle(bar, (26, 32), 7, 0.4, -1)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    moved = np.asarray(cv2.warpAffine(bar, matrix, CROP_HW[::-1]), dtype=np.float32)
    grey = 60 * (moved == 0) + 170 * moved + rng.normal(0, 4, CROP_HW)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


def damaged(seed: int) -> U8Array:
    """The same part with a dark spot round DEFECT_YX."""
    crop = part(seed)
    cv2.circle(crop, DEFECT_YX[::-1], 7, (20, 20, 20), -1)
    return crop


def product_mask() -> U8Array:
    """The bar and a pixel or two of belt round it."""
    mask = np.zeros(CROP_HW, np.uint8)
    mask[14:50, 8:88] = 255
    return mask


def parts(count: int = 16, with_mask: bool = True) -> TrainingSet:
    """Some good parts."""
    crops = np.stack([part(i) for i in range(count)])
    return TrainingSet(crops, product_mask() if with_mask else None)


def train(method: Method, work: Path, steps: int = 4, data: TrainingSet | None = None) -> Trained:
    """Train on one thread, silently."""
    torch.set_num_threads(1)
    settings = TrainSettings(seed=3, steps=steps, device="cpu", work=work)
    return method.train(data or parts(), settings, lambda _step, _done: None)


def run_torch(trained: Trained, crops: U8Array) -> tuple[F32Array, F32Array]:
    """Return score and map from torch."""
    with torch.no_grad():
        score, map_nhw = trained.graph(torch.from_numpy(crops))
    return score.numpy(), map_nhw.numpy()


def run_onnx(path: Path, crops: U8Array) -> tuple[F32Array, F32Array]:
    """Return score and map from ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    score, map_nhw = session.run(["score", "map"], {"crops": crops})
    return score, map_nhw


def assert_keeps_the_contract(trained: Trained, folder: Path) -> JsonObject:
    """Export; shapes, dtypes, any n, parity to 1e-3, independent crops, cast first; the meta."""
    path = folder / "inspector.onnx"
    about = write_graph(trained, CROP_HW, path).as_json()
    crops = np.stack([part(100), damaged(101), part(102)])
    expected_score, expected_map = run_torch(trained, crops)
    for count in (1, 3):
        score, map_nhw = run_onnx(path, crops[:count])
        assert score.shape == (count,)
        assert map_nhw.shape == (count, CROP_HW[0] // 4, CROP_HW[1] // 4)
        assert score.dtype == map_nhw.dtype == np.float32
        assert (map_nhw >= 0).all()
        np.testing.assert_allclose(score, expected_score[:count], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(map_nhw, expected_map[:count], rtol=1e-3, atol=1e-4)
    graph = onnx.load(str(path)).graph
    readers = {node.op_type for node in graph.node if "crops" in node.input}
    assert "Cast" in readers
    assert readers <= {"Cast", "Shape"}
    return about


def assert_sees_the_defect(trained: Trained, within_px: int = 12) -> None:
    """Every damaged part scores above every good one; the map's peak is at the defect."""
    good, _ = run_torch(trained, np.stack([part(i) for i in range(200, 208)]))
    bad, maps = run_torch(trained, np.stack([damaged(i) for i in range(200, 208)]))
    assert bad.min() > good.max()
    for map_hw in maps:
        y, x = np.unravel_index(int(map_hw.argmax()), map_hw.shape)
        assert abs(int(y) * 4 + 2 - DEFECT_YX[0]) <= within_px
        assert abs(int(x) * 4 + 2 - DEFECT_YX[1]) <= within_px


def assert_compiles(trained: Trained, folder: Path) -> None:
    """Check that a graph becomes an engine for an Ampere GPU and that TensorRT 10.3 lists every
    operator of it."""
    path = folder / "inspector.onnx"
    write_graph(trained, CROP_HW, path)
    graph = path.read_bytes()
    assert problems_for_tensorrt(graph) == ()
    assert build_engine(graph, EngineOptions(compute_capability=AHEAD_OF_TIME)).plan
