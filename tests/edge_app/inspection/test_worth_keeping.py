"""Which parts' pictures are worth keeping: near misses, what was not inspected, a random sample."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from support.format_2 import suspect_manifest
from support.small_bundles import bright_files, grey_picture

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.inspection.judge import Limits
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.inspection.worth_keeping import KeepRule
from edge_app.model.loaded_model import load_model, make_line
from edge_app.records import Detection, Frame, FrameReport, U8Array, VerdictState
from edge_app.runtime.unseen_parts import PAUSED, without_alerts

NONE, ALL = KeepRule(), KeepRule(sample_share=1.0)


@pytest.mark.parametrize(
    ("score", "lower", "is_one"),
    [(107.9, 120.0, False), (108.0, 120.0, True), (119.9, 120.0, True), (120.0, 120.0, False),
     (134.9, None, False), (135.0, None, True), (150.0, None, False), (math.nan, None, False)],
)  # fmt: skip
def test_close_below_the_lower_limit(score: float, lower: float | None, is_one: bool) -> None:
    """From nine tenths of the lower limit on: the suspect threshold, or the limit without one."""
    limits = Limits(150.0, 140.0, "t", lower)
    assert KeepRule(near_miss_share=0.9).is_near_miss(score, limits) is is_one
    assert not NONE.is_near_miss(score, limits)


def test_limits_that_are_not_above_zero_have_no_near_misses() -> None:
    """A share of a negative limit lies above it."""
    for limit in (0.0, -3.0):
        assert not KeepRule(0.9).is_near_miss(limit - 0.01, Limits(limit, 1.0, "t"))


def test_the_sample_depends_on_the_id_alone_and_has_its_size() -> None:
    """10,000 ids: 1 % within five standard deviations; the same ones again; none, and all."""
    ids = [f"cam1-18f3a2-{n:06d}" for n in range(10_000)]
    rule = KeepRule(sample_share=0.01)
    drawn = [i for i in ids if rule.is_drawn(i)]
    assert abs(len(drawn) - 100) < 50
    assert drawn == [i for i in ids if KeepRule(0.5, 0.01).is_drawn(i)]
    assert set(drawn) <= {i for i in ids if KeepRule(sample_share=0.02).is_drawn(i)}
    assert not any(NONE.is_drawn(i) for i in ids)
    assert all(ALL.is_drawn(i) for i in ids)


def line_of(folder: Path, keep: KeepRule, tracker: Tracker | None = None) -> InspectionLine:
    """Return a line over the brightness product: limit 150, suspect from 120."""
    write_bundle(folder / "a.bundle", suspect_manifest(), bright_files())
    model = load_model(read_bundle(folder / "a.bundle"))
    numbers = itertools.count(1)
    tracker = tracker or OnePartPerFrame("p", whole_frame=True)
    return make_line(model, "cam", tracker, lambda: f"alarm-{next(numbers)}", keep=keep)


def bright(level: int, number: int = 1) -> Frame:
    pixels = grey_picture()
    pixels[32:48, 32:64] = level
    return Frame("cam", number, pixels, 1_000, None, number, f"{number}.png")


@pytest.mark.parametrize(
    ("level", "keep", "reasons"),
    [
        (100, KeepRule(0.9), None),
        (115, KeepRule(0.9), ("near_miss",)),
        (115, NONE, None),
        (130, KeepRule(0.9), ("suspect",)),
        (100, ALL, ("random",)),
        (130, ALL, ("suspect", "random")),
        (115, KeepRule(0.9, 1.0), ("near_miss", "random")),
        (200, ALL, None),  # its alert has it
    ],
)
def test_a_good_part_is_kept_for(
    level: int, keep: KeepRule, reasons: tuple[str, ...] | None, tmp_path: Path
) -> None:
    """Each reason that holds; the frame and the crop that was judged come with it."""
    frame = bright(level)
    report = line_of(tmp_path, keep).inspect(frame)
    assert [part.reasons for part in report.kept] == ([] if reasons is None else [reasons])
    for part in report.kept:
        assert part.frame is frame
        assert part.verdict is report.finished[0]
        assert part.crop is not None
        assert part.crop.pixels_hwc.max() == level
        assert len(part.crop.corners_xy) == 4


def test_a_bad_parts_picture_says_that_it_was_drawn(tmp_path: Path) -> None:
    """The sample is of all parts; whoever counts good ones among it must find the bad ones too."""
    for keep, reasons in ((NONE, ("ng",)), (ALL, ("ng", "random"))):
        new, end = line_of(tmp_path, keep).inspect(bright(200)).events
        assert new.reasons == reasons
        assert new.crop is not None
        assert end.crop is None
        assert end.frame is None
        assert new.without_pixels().frame is None
        assert new.without_pixels().crop is None


class Nothing:
    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        return []


def without_detections(line: InspectionLine) -> InspectionLine:
    s = line._stages
    line._stages = type(s)(Nothing(), s.pose, s.spec, s.inspector)
    return line


def test_a_part_that_was_not_inspected_shows_what_came(tmp_path: Path) -> None:
    """Nothing found: the picture in which it should be. Never read: there is no picture."""
    frame = bright(100)
    line = without_detections(line_of(tmp_path, NONE))
    (part,) = line.inspect(frame).kept
    assert (part.reasons, part.frame, part.crop) == (("not_inspected",), frame, None)
    assert part.verdict.state is VerdictState.NOT_INSPECTED
    (part,) = line.miss(frame, "internal_error").kept
    assert part.frame is frame
    unread = Frame("cam", 2, np.zeros((48, 64, 0), np.uint8), 1_000, None, 2)
    assert line.miss(unread, "overload").kept == ()


def test_a_pause_keeps_no_picture(tmp_path: Path) -> None:
    """People work at the line: neither as not inspected nor as one of the sample."""
    line = line_of(tmp_path, ALL)
    assert line.miss(bright(100), PAUSED).kept
    assert without_alerts(line.miss(bright(100, 2), PAUSED)).kept == ()
    judged = line.inspect(bright(130, 3))
    assert without_alerts(judged).kept == judged.kept != ()


class MovingBox:
    """A product that never fits: its box reaches over a border in every picture."""

    def __init__(self) -> None:
        self.boxes = iter([(10.0, 0), (30.0, 0), (60.0, 0), (85.0, 0)])

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        h, w = pixels_hwc.shape[:2]
        x, _ = next(self.boxes)
        return [Detection((x, (h - 1) / 2, w + 40.0, h - 20.0, 0.0), 1.0)]


def test_of_a_part_that_is_never_whole_the_view_nearest_to_the_middle(tmp_path: Path) -> None:
    """On a belt many pictures show it, cut off; the fullest one is kept."""
    line = line_of(tmp_path, NONE, BeltTracker("b"))
    s = line._stages
    line._stages = type(s)(MovingBox(), s.pose, s.spec, s.inspector)
    frames = [Frame("cam", i, grey_picture(), i * 10**8) for i in range(4)]
    reports: list[FrameReport] = [line.inspect(frame) for frame in frames]
    reports.append(line.finish(frames[-1]))
    (part,) = [part for report in reports for part in report.kept]
    assert part.verdict.reason == "never_whole"
    middle = (grey_picture().shape[1] - 1) / 2
    nearest = min(range(4), key=lambda i: abs([10.0, 30.0, 60.0, 85.0][i] - middle))
    assert frames.index(part.frame) == nearest
