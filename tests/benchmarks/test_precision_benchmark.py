"""The precision benchmark on a real bundle with an fp16 variant, a few parts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra train")  # the benchmark's AUROC comes from export

from benchmarks import precision_parts
from benchmarks.precision import summary
from benchmarks.precision_parts import judged_parts
from benchmarks.precision_pictures import picture_scores
from benchmarks.precision_pictures import summary as summary_of_pictures
from calibration.precision.rewritten import fp16_graphs
from edge_app.bundle.archive import Bundle, read_bundle, write_bundle
from edge_app.errors import DataError
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine
from export.evaluation.data import scan_test_pictures

pytestmark = pytest.mark.needs("the extra train")


@pytest.fixture(scope="module")
def plain() -> Bundle:
    return read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle"))))


@pytest.fixture(scope="module")
def with_half(plain: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the demo bundle with its graphs in fp16 beside them, thresholds as they are."""
    names = {name: f"{name}-fp16.onnx" for name in ("inspector", "detector")}
    variant = plain.variant("fp32").model_copy(update={"precision": "fp16", **names})
    variants = (*plain.manifest.variants, variant)
    manifest = plain.manifest.model_copy(update={"variants": variants})
    halved = {names[name]: graph for name, graph in fp16_graphs(plain).graphs.items()}
    path = tmp_path_factory.mktemp("precision") / "both.bundle"
    write_bundle(path, manifest, {**plain.files, **halved})
    return read_bundle(path)


def test_a_stopped_run_goes_on_where_it_was(
    with_half: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks on disk are read, missing ones judged, and the outcome is that of one run."""
    monkeypatch.setattr(precision_parts, "BLOCK", 2)
    names, half_way = judged_parts(with_half, "tapered", 44, 2, 2, tmp_path, 1)
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    _, all_of_it = judged_parts(with_half, "tapered", 44, 4, 2, tmp_path, 1)
    assert names == ["fp32", "fp16"]
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps
    assert np.array_equal(all_of_it.scores[:, :2], half_way.scores)
    assert all_of_it.scores.shape == (2, 4)
    assert all_of_it.whole.shape == all_of_it.ious.shape == (2, 2)


def test_fp32_beside_itself_is_the_same(with_half: Bundle, tmp_path: Path) -> None:
    """The reference's own boxes overlap wholly, and its whole way gives the crops' scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision_parts, "BLOCK", 3)
        _, judged = judged_parts(with_half, "tapered", 45, 3, 3, tmp_path, 1)
    assert judged.ious[0] == pytest.approx(1.0, abs=1e-5)
    assert judged.whole[0] == pytest.approx(judged.scores[0], abs=1e-4)
    assert (judged.ious[1] > 0.9).all()


def test_every_flip_is_told_with_its_distances(with_half: Bundle) -> None:
    """One good part just over the variant's threshold is one flip, named, with both distances."""
    limit = with_half.variant("fp32").thresholds.score_threshold
    scores = np.array([[0.5, 0.99, 1.5, np.nan], [0.5, 1.02, 1.5, 0.4]]) * limit
    nothing = np.zeros((2, 0))
    is_bad = np.array([False, False, True, False])
    text = summary(with_half, "fp16", 1, precision_parts.Judged(is_bad, scores, nothing, nothing))
    assert "1 of 3 parts flip (33.333%" in text
    assert "1 found by one only" in text
    assert "part 2: -1.00% in fp32, +2.00% here" in text
    assert "image AUROC 100.000% in fp32, 100.000% here" in text


def test_a_bundle_with_one_precision_is_refused(plain: Bundle, tmp_path: Path) -> None:
    """There is nothing to compare, and the message says what to run first."""
    with pytest.raises(DataError, match="edge-calibrate"):
        judged_parts(plain, "tapered", 44, 1, 0, tmp_path, 1)


def test_pictures_on_disk_are_judged_in_both_precisions(with_half: Bundle, tmp_path: Path) -> None:
    """Two good parts and a defective one from a folder: no flip, AUROC of both, a blank is told."""
    line = SimulatedLine(SimulatorConfig("tapered", 44, 0.5))
    kept = {"good": 0, "defect": 0}
    for number in range(1, 40):
        pixels, truth = line.single(number)
        kind = "good" if truth.parts[0].defect is None else "defect"
        if kept[kind] < 2:
            folder = tmp_path / "test" / kind
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{number:03d}.png"), pixels)
            kept[kind] += 1
    blank = np.full((768, 1024, 3), 40, np.uint8)
    cv2.imwrite(str(tmp_path / "test/good/999.png"), blank)
    pictures = scan_test_pictures(tmp_path, ()).kept
    scores = [picture_scores(with_half, p, pictures, 1) for p in ("fp32", "fp16")]
    assert int(np.isnan(scores[0]).sum()) == 1
    text = summary_of_pictures(with_half, "fp16", pictures, np.stack(scores))
    assert "0 of 4 parts flip" in text
    assert "image AUROC" in text
