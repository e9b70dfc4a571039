"""The data set of a build with feedback, and what verdicts beside marks mean: without a model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.feedback_sets import FeedbackWriter

from edge_app.cameras.picture_listing import why_folder_is_left_out
from edge_app.errors import DataError
from edge_app.records import VerdictState
from export.bundle_build.records import BuildOptions
from export.data.dataset import scan_good_pictures
from export.data.name_meanings import file_is_no_good
from export.data.review import read_decisions
from export.defects.pictures import scan_defects
from export.feedback_build.data_set import alone, compose, stage
from export.feedback_build.marked_parts import read_marked_parts
from export.feedback_build.outcome import OUTCOMES, outcome_of
from export.feedback_build.report import ReportFolder, check_replaceable, report_folder

OK, NG, BLIND = VerdictState.OK, VerdictState.NG, VerdictState.NOT_INSPECTED


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC), np.uint8)


def data_of(folder: Path) -> Path:
    (folder / "train/good/a").mkdir(parents=True)
    for number in range(20):
        cv2.imwrite(str(folder / "train/good/a" / f"{number}.png"), picture(500 + number))
    return folder


def test_the_set_joins_both_and_leaves_what_it_was_made_of_alone(tmp_path: Path) -> None:
    """Own names stay, marked parts carry device and part, masks lie beside their defects, an
    unnamed defect teaches no class, and a part that is gone next time goes."""
    data = data_of(tmp_path / "tiles")
    writer = FeedbackWriter(tmp_path / "feedback")
    writer.add(picture(1))
    writer.add(picture(2), "defect", defect_class="burr", mask_hw=np.full((60, 80), 255, np.uint8))
    writer.add(picture(3), "defect")
    marked = read_marked_parts(tmp_path / "feedback", "tiles")
    staged = stage(marked.parts, tmp_path / "work/marked", takes_out=False)
    goods = [s for s in staged if s.part.is_good]
    defects = [s for s in staged if not s.part.is_good]
    good, known = scan_good_pictures(data), scan_defects(None)
    options = BuildOptions(data=data, out=tmp_path / "x.bundle", product="tiles")
    made = compose(tmp_path / "work", good, known, goods, defects, options)
    names = {p.name for p in scan_good_pictures(made.data).pictures}
    assert {f"a/{n}.png" for n in range(20)} < names
    (own,) = (n for n in names if n.startswith("marked/"))
    assert own.startswith("marked/press-3-belt-1-000001")
    found = scan_defects(made.known_defects)
    assert sorted(found.classes) == ["", "burr"]
    assert len(list((tmp_path / "work/known/burr").glob("*_mask.png"))) == 1
    assert (made.out, made.product) == (options.out, "tiles")
    before = {p.name: p.sha256 for p in good.pictures}
    compose(tmp_path / "work", good, known, [], [], options)
    assert {p.name for p in scan_good_pictures(made.data).pictures} == set(before)
    assert {p.name: p.sha256 for p in scan_good_pictures(data).pictures} == before


def test_known_defects_of_ones_own_keep_classes_and_masks(tmp_path: Path) -> None:
    """What --known-defects names is joined by confirmed ones, not replaced."""
    data = data_of(tmp_path / "tiles")
    (tmp_path / "own/crack").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "own/crack/1.png"), picture(7))
    cv2.imwrite(str(tmp_path / "own/crack/1_mask.png"), np.full((60, 80), 255, np.uint8))
    FeedbackWriter(tmp_path / "feedback").add(picture(8), "defect", defect_class="crack")
    marked = read_marked_parts(tmp_path / "feedback", "tiles")
    staged = stage(marked.parts, tmp_path / "work/marked", takes_out=False)
    options = BuildOptions(data=data, out=tmp_path / "x.bundle", product="tiles")
    good, known = scan_good_pictures(data), scan_defects(tmp_path / "own")
    made = compose(tmp_path / "work", good, known, [], staged, options)
    assert scan_defects(made.known_defects).classes == ("crack", "crack")
    assert (tmp_path / "work/known/crack/1_mask.png").is_file()


def test_decisions_on_odd_parts_are_taken_over_and_kept(tmp_path: Path) -> None:
    """review.json of --data counts, and what was decided on the joined set does too."""
    data = data_of(tmp_path / "tiles")
    options = BuildOptions(data=data, out=tmp_path / "x.bundle", product="tiles")
    good, none = scan_good_pictures(data), scan_defects(None)
    digest = good.pictures[0].sha256
    decision = f'{{"sha256": "{digest}", "name": "a/0.png", "choice": "harmless"}}'
    text = f'{{"format": "cropliq-review/1", "decisions": [{decision}]}}'
    (data / "review.json").write_text(text)
    made = compose(tmp_path / "work", good, none, [], [], options)
    assert set(read_decisions(made.data)) == {digest}
    (data / "review.json").unlink()
    made = compose(tmp_path / "work", good, none, [], [], options)
    assert set(read_decisions(made.data)) == {digest}


def test_a_belt_s_frame_shows_the_marked_part_alone(tmp_path: Path) -> None:
    """The mark says nothing of the neighbour: it is painted over, in a frame of the same size."""
    frame = np.full((100, 200, 3), 40, np.uint8)
    frame[30:60, 20:60] = 200
    frame[30:60, 140:180] = 255
    corners = ((20.0, 30.0), (60.0, 30.0), (60.0, 60.0), (20.0, 60.0))
    shown = alone(frame, corners)
    assert shown.shape == frame.shape
    assert (shown[30:60, 20:60] == 200).all()
    assert not (shown == 255).any()
    writer = FeedbackWriter(tmp_path / "feedback")
    writer.add(frame, corners=corners)
    writer.add(frame[:, ::-1])
    parts = read_marked_parts(tmp_path / "feedback", "tiles").parts
    with_corners = {p.record.sha256: bool(p.record.corners) for p in parts}
    for staged in stage(parts, tmp_path / "marked", takes_out=True):
        is_own = staged.sha256 == staged.part.record.sha256
        assert is_own is not with_corners[staged.part.record.sha256]


def test_a_name_that_reads_as_bad_does_not_stop_the_build(tmp_path: Path) -> None:
    """A device called scrap-line is no folder of scrap."""
    FeedbackWriter(tmp_path / "feedback").add(picture(1), device="scrap-line")
    (part,) = read_marked_parts(tmp_path / "feedback", "tiles").parts
    (staged,) = stage([part], tmp_path / "marked", takes_out=False)
    assert file_is_no_good(Path(part.record.file).stem)
    assert not file_is_no_good(staged.path.name)


@pytest.mark.parametrize(
    ("use", "old", "new", "expected"),
    [
        ("defect", NG, OK, "defect_lost"),
        ("defect", NG, BLIND, "defect_lost"),
        ("defect", NG, NG, "defect_caught"),
        ("defect", OK, OK, "defect_still_missed"),
        ("defect", BLIND, OK, "defect_still_missed"),
        ("defect", OK, NG, "defect_found"),
        ("defect", OK, BLIND, "not_inspected"),
        ("good", NG, OK, "false_alarm_gone"),
        ("good", NG, NG, "false_alarm_stays"),
        ("good", NG, BLIND, "not_inspected"),
        ("good", OK, NG, "good_alarmed"),
        ("good", OK, OK, "good_passes"),
        ("good", BLIND, OK, "inspected"),
        ("good", BLIND, BLIND, "not_inspected"),
    ],
)
def test_two_verdicts_beside_a_mark(
    use: str, old: VerdictState, new: VerdictState, expected: str
) -> None:
    """A defect that was caught is lost also where nothing inspects it any more."""
    assert outcome_of(use, old, new) == expected
    assert expected in OUTCOMES


def test_a_folder_of_a_person_s_own_is_not_replaced_by_the_report(tmp_path: Path) -> None:
    """Only an earlier report gives way; anything else is named before the build begins."""
    folder = report_folder(tmp_path / "x.bundle")
    folder.mkdir()
    check_replaceable(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is in the way"):
        ReportFolder(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    ReportFolder(folder)
    ReportFolder(folder)
    assert why_folder_is_left_out(folder.name) is not None
