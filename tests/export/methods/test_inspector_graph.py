"""The fitted inspector as a graph: contract, parity, choices."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_app.errors import DataError, ShapeError
from edge_app.records import F32Array, JsonObject, U8Array
from export.augment import pseudo_anomaly
from export.methods.cropliq.graph import TERM_NAMES, TrainedInspector
from export.methods.cropliq.pretext_train import PretextSettings, train_inspector
from export.methods.cropliq.term_selection import auroc
from export.methods.onnx_file import write_graph
from export.networks.feature_grid import grid_weight
from export.pose.silhouette import product_silhouette

pytestmark = pytest.mark.needs("the extra train")

CROP_HW = (64, 128)


def part(seed: int) -> U8Array:
    """A bright bar with a hole on a dark belt that differs each time."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(50, 30, CROP_HW).astype(np.float32), (0, 0), 3)
    x, y = rng.uniform(-1, 1, 2)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    bar: F32Array = np.zeros(CROP_HW, np.float32)
    cv2.rectangle(bar, (12, 16), (115, 47), 1.0, -1)
    cv2.circle(bar, (30, 32), 7, 0.4, -1)
    bar = np.asarray(cv2.warpAffine(bar, matrix, CROP_HW[::-1]), np.float32)
    grey = grey * (bar == 0) + 170 * bar + rng.normal(0, 4, CROP_HW)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


def box_mask() -> U8Array:
    """The product's box with a few pixels of belt round it."""
    mask = np.zeros(CROP_HW, np.uint8)
    mask[8:56, 6:122] = 255
    return mask


def train(out: Path, steps: int = 2) -> TrainedInspector:
    """Train on 24 parts with a small batch."""
    torch.set_num_threads(1)
    return train_inspector(
        [part(i) for i in range(24)],
        box_mask(),
        out,
        seed=3,
        steps=steps,
        progress=lambda _step, _done: None,
        pretext=PretextSettings(batch=8),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedInspector:
    """One small inspector for the whole file."""
    return train(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def exported(trained: TrainedInspector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its graph."""
    path = tmp_path_factory.mktemp("onnx") / "inspector.onnx"
    write(trained, path)
    return path


def write(trained: TrainedInspector, path: Path) -> JsonObject:
    """Write the graph; return its metadata."""
    return write_graph(trained.as_trained(), trained.crop_hw, path).as_json()


def run(path: Path, crops: U8Array) -> tuple[np.ndarray, np.ndarray]:
    """Run a graph on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    score, map_nhw = session.run(["score", "map"], {"crops": crops})
    return score, map_nhw


@pytest.mark.parametrize("count", [1, 3])
def test_graph_keeps_the_contract_for_any_number_of_crops(exported: Path, count: int) -> None:
    """uint8 (n, h, w, 3) in; float32 (n,) and a non-negative (n, h/4, w/4) out."""
    score, map_nhw = run(exported, np.stack([part(100 + i) for i in range(count)]))
    assert score.shape == (count,)
    assert map_nhw.shape == (count, 16, 32)
    assert score.dtype == map_nhw.dtype == np.float32
    assert (map_nhw >= 0).all()


def test_every_term_and_map_agrees_between_torch_and_onnx(
    trained: TrainedInspector, tmp_path: Path
) -> None:
    """Scores agree to 1e-3 relative whichever terms and map the product ended up with."""
    inspector = trained.inspector
    kept, kind = inspector.weight.clone(), inspector.map_kind
    crops = np.stack([part(200), pseudo_anomaly(np.random.default_rng(0), part(201), None)[0]])
    inspector.weight[:3] = 1.0
    for inspector.map_kind in ("detail_energy", "context_energy", "statistics_cam", "logit_cam"):
        write(trained, tmp_path / "all.onnx")
        with torch.no_grad():
            expected, expected_map = inspector(torch.from_numpy(crops))
        score, map_nhw = run(tmp_path / "all.onnx", crops)
        np.testing.assert_allclose(score, expected.numpy(), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(map_nhw, expected_map.numpy(), rtol=1e-3, atol=1e-4)
    inspector.weight.copy_(kept)
    inspector.map_kind = kind


def test_painted_parts_score_above_unseen_good_ones(exported: Path) -> None:
    """On parts never seen the AUROC of painted against good is at least 0.9."""
    rng = np.random.default_rng(5)
    good = [part(300 + i) for i in range(12)]
    bad = [pseudo_anomaly(rng, crop, box_mask()).crop_hwc for crop in good]
    good_scores, bad_scores = (run(exported, np.stack(c))[0].astype(float) for c in (good, bad))
    assert auroc(good_scores, bad_scores) >= 0.9


def test_map_does_not_depend_on_the_other_crops_or_its_own_extremes(exported: Path) -> None:
    """A crop's map is the same alone and beside a defective one: the scale is absolute."""
    crop = part(400)
    damaged = crop.copy()
    damaged[28:36, 80:90] = 20
    alone = run(exported, crop[None])[1][0]
    beside = run(exported, np.stack([damaged, crop]))[1]
    np.testing.assert_allclose(beside[1], alone, rtol=1e-4, atol=1e-5)
    peak_y, peak_x = np.unravel_index(beside[0].argmax(), beside[0].shape)
    assert abs(peak_y * 4 - 32) <= 12
    assert abs(peak_x * 4 - 85) <= 12


def test_pixels_are_cast_before_they_are_permuted(exported: Path) -> None:
    """TensorRT refuses a Transpose on uint8, so the input's only reader is a Cast."""
    graph = onnx.load(str(exported)).graph
    readers = [node.op_type for node in graph.node if "crops" in node.input]
    assert set(readers) <= {"Cast", "Shape"}
    assert "Cast" in readers


def test_unused_terms_leave_the_graph(trained: TrainedInspector, tmp_path: Path) -> None:
    """With the detail term alone the late blocks cost no bytes."""
    kept, kind = trained.inspector.weight.clone(), trained.inspector.map_kind
    trained.inspector.map_kind = "detail_energy"
    trained.inspector.weight[:3] = 1.0
    everything = write(trained, tmp_path / "all.onnx")["onnx_bytes"]
    trained.inspector.weight.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    alone = write(trained, tmp_path / "one.onnx")["onnx_bytes"]
    trained.inspector.weight.copy_(kept)
    trained.inspector.map_kind = kind
    assert alone < everything / 4


def test_the_report_is_plain_json_and_names_the_fp32_nodes(
    trained: TrainedInspector, tmp_path: Path
) -> None:
    """The metadata can go into a manifest as it is; densities are listed, the backbone is not."""
    meta = write(trained, tmp_path / "i.onnx")
    assert json.loads(json.dumps(meta))["method"] == "cropliq"
    assert set(meta["term_weights"]) == set(TERM_NAMES)
    assert meta["fp32_nodes"]
    assert not any(name.startswith("/backbone/") for name in meta["fp32_nodes"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_resumes(tmp_path: Path) -> None:
    """A second run, and one that starts from the first one's checkpoint, end in equal files."""
    paths = []
    for number, folder in enumerate(("a", "b", "a")):
        path = tmp_path / f"{number}.onnx"
        write(train(tmp_path / folder, steps=1), path)
        paths.append(path.read_bytes())
    assert paths[0] == paths[1] == paths[2]


def test_too_few_mixed_or_odd_crops_are_refused(tmp_path: Path) -> None:
    """Nine crops, two sizes, sides not divisible by 32: each a clear message."""

    def attempt(crops: list[U8Array]) -> None:
        train_inspector(crops, None, tmp_path, seed=0, steps=0, progress=lambda _s, _d: None)

    with pytest.raises(DataError, match="at least 10 good crops"):
        attempt([part(0)] * 9)
    with pytest.raises(ShapeError, match="of one size"):
        attempt([part(0)] * 9 + [part(0)[:32]])
    with pytest.raises(ShapeError, match="divisible by 32"):
        attempt([part(0)[:40]] * 10)


def test_silhouette_finds_the_part_inside_its_box() -> None:
    """The outline is found to 2 pixels and its hole is filled."""
    crops = np.stack([part(i) for i in range(12)])
    outline = product_silhouette(crops, box_mask())
    assert outline[32, 30] == 255
    true = np.zeros(CROP_HW, bool)
    true[16:48, 12:116] = True
    assert np.count_nonzero((outline > 0) != true) < 0.08 * true.sum()


def test_silhouette_keeps_the_mask_when_unsure() -> None:
    """Noise has no outline: the given mask comes back."""
    noise = np.random.default_rng(0).integers(0, 256, (10, *CROP_HW, 3), dtype=np.uint8)
    assert (product_silhouette(noise, box_mask()) == box_mask()).all()


def test_grid_weight_is_one_where_half_the_block_is_product() -> None:
    """By hand on a 4 × 8 mask with stride 4: 8 of 16 pixels count, 7 do not."""
    mask = np.zeros((4, 8), np.uint8)
    mask[:2, :4] = 1
    mask[0, 4:] = 1
    mask[1, 4:7] = 1
    assert grid_weight(mask, (4, 8), 4).tolist() == [[1.0, 0.0]]
    assert grid_weight(None, (4, 8), 4).tolist() == [[1.0, 1.0]]


def test_a_thin_product_keeps_its_fullest_positions() -> None:
    """One row of pixels never fills half a block: the row's blocks count all the same."""
    mask = np.zeros((8, 8), np.uint8)
    mask[5] = 1
    assert grid_weight(mask, (8, 8), 4).tolist() == [[0.0, 0.0], [1.0, 1.0]]
