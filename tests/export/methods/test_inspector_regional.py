"""Products that fill the crop: whole-crop statistics and regions, in the graph too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from support.engine_compiler import AHEAD_OF_TIME

from calibration.graphs.operators import problems_for_tensorrt
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.errors import ShapeError
from edge_app.records import U8Array
from export.methods.cropliq.graph import TrainedInspector
from export.methods.cropliq.pretext_train import PretextSettings, train_inspector
from export.methods.onnx_file import write_graph
from export.networks.regional_term import RegionalEmbedding, windows
from export.networks.terms import statistics_embedding

pytestmark = pytest.mark.needs("the extra train")

CROP_HW = (64, 96)


def plate(seed: int) -> U8Array:
    """A brushed plate: lines along it, a light that differs from plate to plate."""
    rng = np.random.default_rng(seed)
    lines = np.repeat(rng.normal(0, 12, (1, CROP_HW[1])), CROP_HW[0], 0)
    grain = cv2.GaussianBlur(rng.normal(0, 8, CROP_HW), (0, 0), 1)
    grey = rng.uniform(90, 150) + lines + grain
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedInspector:
    """An inspector of 40 plates."""
    torch.set_num_threads(1)
    return train_inspector(
        [plate(i) for i in range(40)],
        None,
        tmp_path_factory.mktemp("plates"),
        seed=1,
        steps=0,
        progress=lambda _step, _done: None,
        pretext=PretextSettings(batch=8),
    )


def test_densities_that_judge_are_fitted_to_every_good_crop(trained: TrainedInspector) -> None:
    """Statistics and regions are of all good crops, not of the four fifths that fixed scales."""
    inspector, regional = trained.inspector, trained.inspector.regional
    assert regional is not None
    assert inspector.weight[2:].tolist() == [0.5, 1]
    with torch.no_grad():
        taps = inspector.taps(torch.from_numpy(np.stack([plate(i) for i in range(40)])))
        tapped = [taps[b] for b in inspector.global_taps]
        seen = statistics_embedding(tapped)
        regions = regional.projection(regional.embedding(tapped))
    np.testing.assert_allclose(inspector.statistics.mean, seen.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(regional.position.mean, regions.mean(0), rtol=1e-3, atol=1e-3)
    assert (trained.report["fitted_crops"], trained.report["statistics_crops"]) == (32, 40)


def test_score_and_map_agree_between_torch_and_onnx(
    trained: TrainedInspector, tmp_path: Path
) -> None:
    """The graph with the regional term and its map: scores to 1e-3, maps to 1e-3."""
    assert trained.inspector.map_kind in ("statistics_cam", "regional_energy")
    trained.inspector.map_kind = "regional_energy"
    write_graph(trained.as_trained(), CROP_HW, tmp_path / "inspector.onnx")
    crops = np.stack([plate(100), plate(101)])
    with torch.no_grad():
        expected, expected_map = trained.inspector(torch.from_numpy(crops))
    session = onnxruntime.InferenceSession(
        str(tmp_path / "inspector.onnx"), providers=["CPUExecutionProvider"]
    )
    score, map_nhw = session.run(["score", "map"], {"crops": crops})
    np.testing.assert_allclose(score, expected.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(map_nhw, expected_map.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.needs("TensorRT-RTX")
def test_the_graph_compiles_ahead_of_time(trained: TrainedInspector, tmp_path: Path) -> None:
    """Regions, statistics and their map become an engine; TensorRT 10.3 lists every operator."""
    trained.inspector.map_kind = "regional_energy"
    write_graph(trained.as_trained(), CROP_HW, tmp_path / "inspector.onnx")
    model = (tmp_path / "inspector.onnx").read_bytes()
    assert problems_for_tensorrt(model) == ()
    options = EngineOptions(max_batch=4, compute_capability=AHEAD_OF_TIME)
    assert build_engine(model, options).plan


def test_a_band_ground_differently_stands_out_where_it_lies(trained: TrainedInspector) -> None:
    """A brighter band over a third of the plate: a higher score, the map's peak in that half."""
    good = plate(200)
    bad = good.copy()
    bad[:20] = np.clip(bad[:20].astype(int) + 35, 0, 255).astype(np.uint8)
    trained.inspector.map_kind = "regional_energy"
    with torch.no_grad():
        scores, maps = trained.inspector(torch.from_numpy(np.stack([good, bad])))
    assert scores[1] > scores[0] + 1
    assert int(maps[1].amax(1).argmax()) < 8


def test_one_light_for_the_whole_crop_is_no_difference_between_regions() -> None:
    """By hand: adding a constant to every position and scaling all of them changes nothing."""
    embedding = RegionalEmbedding((64, 96))
    tap = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 5, 4, 6))).float()
    np.testing.assert_allclose(embedding([3 * tap + 7]), embedding([tap]), atol=1e-4)


def test_windows_cover_the_grid_evenly() -> None:
    """Fourteen positions, four to a window: four windows, the last one ends with the grid."""
    matrix = windows(14, 4)
    assert matrix.shape == (4, 14)
    assert [int(row.argmax()) for row in matrix] == [0, 3, 7, 10]
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)
    assert (matrix.sum(0) > 0).all()
    assert windows(3, 3).tolist() == [pytest.approx([1 / 3] * 3)]


def test_a_crop_of_odd_size_is_refused() -> None:
    """40 is not divisible by 16."""
    with pytest.raises(ShapeError, match="divisible by 16"):
        RegionalEmbedding((40, 64))
