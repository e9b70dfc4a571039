"""`edge-export build --feedback`: small, but through every step and by the installed command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.feedback_sets import FeedbackWriter

from edge_app.bundle.archive import read_bundle
from export.cli.main import main
from export.feedback_build.contradictions import ODD_GOOD
from export.feedback_build.outcome import LOST
from export.feedback_build.report import report_folder
from export.feedback_build.selection import KEPT_BACK, TRAINED

pytestmark = [pytest.mark.timeout(1800), pytest.mark.needs("the extra train")]

COUNT = 40


def tile(seed: int) -> np.ndarray:
    """Return a textured tile with a bright bar: the whole frame is the product."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0, 30, (80, 96, 3)), (0, 0), 2.0)
    pixels = 110 + 4 * noise
    pixels[30:50, 20:76] += 50
    return pixels.clip(0, 255).astype(np.uint8)


def stamped(seed: int) -> np.ndarray:
    """Return a good tile with what training has not seen: a white stamp in a corner."""
    pixels = tile(seed)
    pixels[6:18, 70:88] = 245
    return pixels


def blotted(seed: int) -> np.ndarray:
    """Return a tile with a black blot at a place of its own."""
    rng = np.random.default_rng(seed + 10_000)
    pixels = tile(seed)
    y, x = int(rng.integers(4, 50)), int(rng.integers(4, 60))
    pixels[y : y + 22, x : x + 26] = 5
    return pixels


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles") / "tiles"
    (folder / "train/good").mkdir(parents=True)
    for i in range(COUNT):
        cv2.imwrite(str(folder / "train/good" / f"{i:03d}.png"), tile(i))
    return folder


def command(tiles: Path, feedback: Path, out: Path, *more: str) -> int:
    return main(
        ["build", "--data", str(tiles), "--feedback", str(feedback), "--out", str(out),
         "--detector", "none", "--false-alarm-rate", "0.05", "--accept-weak", *more]
    )  # fmt: skip


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report_folder(out).joinpath("report.json").read_text())
    return found


@pytest.fixture
def judges_whole_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph cannot pass over places, so that false alarms join the good parts."""
    monkeypatch.setattr("export.feedback_build.ways.can_teach", lambda _trained: False)


@pytest.mark.slow
def test_marks_that_no_other_mark_vouches_for_are_refused_by_name(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blot that somebody calls good stands alone; with more than a fifth alone no bundle."""
    writer = FeedbackWriter(tmp_path / "feedback")
    for seed in range(100, 114):
        writer.add(stamped(seed), hour=seed % 5)
    wrong = writer.add(blotted(200), who="mallory")
    writer.add(blotted(201), "defect", defect_class="blot")
    writer.add(tile(202), "defect", defect_class="blot")
    out = tmp_path / "tiles.bundle"
    assert command(tiles, tmp_path / "feedback", out) == 2
    said = capsys.readouterr().err
    assert "of 15 false alarms that are marked good would be alarmed all the same" in said
    assert f"{wrong.file} (part {wrong.part_id}, marked by mallory)" in said
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("judges_whole_crops")
def test_marks_join_a_build_and_the_report_says_what_changed(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stamped tiles become good, a blot called good is named and not learnt from, and a part that
    was caught and would now pass makes the exit code 1 unless it is accepted; the bundle is
    written all the same, and the same command again gives the same bytes."""
    writer = FeedbackWriter(tmp_path / "feedback")
    for seed in range(100, 114):
        writer.add(stamped(seed), hour=seed % 5)
    wrong = writer.add(blotted(200), who="mallory")
    caught = writer.add(blotted(201), "defect", defect_class="blot")
    lost = writer.add(tile(202), "defect", defect_class="blot")
    out = tmp_path / "tiles.bundle"
    assert command(tiles, tmp_path / "feedback", out) == 1
    said = capsys.readouterr()
    assert "--accept accepts it" in said.err
    assert f"not learnt from: {wrong.file} (part {wrong.part_id}, marked by mallory)" in said.err
    assert f"{lost.file} (part {lost.part_id})" in said.out
    found = report_of(out)
    assert [(c["part_id"], c["why"]) for c in found["contradictions"]] == [
        (wrong.part_id, ODD_GOOD)
    ]
    parts = {p["part_id"]: p for p in found["parts"]}
    assert wrong.part_id not in parts
    assert parts[lost.part_id]["outcome"] == LOST
    assert parts[caught.part_id]["outcome"] == "defect_caught"
    goods = [p for p in found["parts"] if p["mark"] == "good"]
    assert {p["role"] for p in goods} == {TRAINED, KEPT_BACK}
    gone = found["false_alarms_gone"]
    assert gone["kept_back"]["of"] + gone["learnt_from"]["of"] == 14
    assert gone["kept_back"]["gone"] == gone["kept_back"]["of"] > 0
    bundle = read_bundle(out)
    trained = {p["sha256"] for p in goods if p["role"] == TRAINED}
    kept_back = {p["sha256"] for p in goods if p["role"] == KEPT_BACK}
    seen = set(bundle.manifest.provenance.training_sha256)
    assert trained <= seen
    assert not kept_back & seen
    assert wrong.sha256 not in seen
    assert caught.sha256 in seen  # named to the defect classifier, so no evaluation counts it
    page = report_folder(out) / "report.html"
    text = page.read_text()
    assert "mallory" in text
    assert text.count("<img") >= 4
    assert all((page.parent / f"{n:03d}-new.jpg").is_file() for n in (1, 2))
    before = out.read_bytes()
    assert command(tiles, tmp_path / "feedback", out, "--accept") == 0
    assert out.read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("judges_whole_crops")
def test_a_third_of_wrong_marks_is_refused_and_each_is_named(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blots that one person calls good, three of ten marks: no bundle, exit code 2, all named."""
    writer = FeedbackWriter(tmp_path / "feedback")
    for seed in range(300, 307):
        writer.add(stamped(seed), hour=seed % 5)
    wrong = [writer.add(blotted(seed), who="mallory") for seed in range(400, 403)]
    out = tmp_path / "tiles.bundle"
    assert command(tiles, tmp_path / "feedback", out) == 2
    said = capsys.readouterr().err
    assert "3 of 10 marks contradict" in said
    for record in wrong:
        assert f"{record.file} (part {record.part_id}, marked by mallory)" in said
    assert not out.exists()


def test_wrong_use_is_one_sentence(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options without --feedback, a folder that is no set, and label files of one's own."""
    out = str(tmp_path / "x.bundle")
    assert main(["build", "--data", str(tiles), "--out", out, "--accept"]) == 2
    assert "belong to --feedback" in capsys.readouterr().err
    assert command(tiles, tiles, tmp_path / "x.bundle") == 2
    assert "edge-export pull made" in capsys.readouterr().err
    labelled = tmp_path / "labelled" / "train" / "good"
    labelled.mkdir(parents=True)
    for i in range(25):
        cv2.imwrite(str(labelled / f"{i:03d}.png"), tile(i))
    (labelled / "000.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n")
    FeedbackWriter(tmp_path / "feedback", "labelled").add(stamped(1))
    assert command(tmp_path / "labelled", tmp_path / "feedback", tmp_path / "x.bundle") == 2
    assert "--detector DETECTOR.onnx" in capsys.readouterr().err
