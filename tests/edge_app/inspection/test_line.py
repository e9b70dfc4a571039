"""One frame through the whole path, with a real graph in ONNX Runtime."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_bundles import grey_picture, write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.errors import ModelError
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.model.loaded_model import load_model, make_line
from edge_app.records import Anomaly, Detection, EventKind, Frame, VerdictState


def make(
    tmp_path: Path, graph: str = "bright_inspector", tracker: Tracker | None = None
) -> InspectionLine:
    """Return a line over the brightness bundle."""
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle", graph)))
    numbers = itertools.count(1)
    return make_line(
        model,
        "cam",
        tracker or OnePartPerFrame("p", whole_frame=True),
        lambda: f"alarm-{next(numbers)}",
    )


def shot(number: int = 1, spot: bool = False, hw: tuple[int, int] = (64, 128)) -> Frame:
    pixels = grey_picture(hw, spot)
    return Frame("cam", number, pixels, 1_000, f"T{number}", number, f"{number}.png")


def test_a_good_part_is_ok_and_silent(tmp_path: Path) -> None:
    """A good part gets a verdict and causes no event."""
    line = make(tmp_path)
    report = line.inspect(shot())
    (verdict,) = report.finished
    assert verdict.state is VerdictState.OK
    assert (verdict.trigger_id, verdict.source_number) == ("T1", 1)
    assert report.events == ()


def test_a_bad_part_is_announced_and_ended_with_one_alarm_id(tmp_path: Path) -> None:
    """An NG part causes `new` and, as it is over with its frame, `end`, both with its defect."""
    line = make(tmp_path)
    frame = shot(spot=True)
    report = line.inspect(frame)
    new, end = report.events
    assert (new.kind, end.kind) == (EventKind.NEW, EventKind.END)
    assert new.alarm_id == end.alarm_id
    assert new.verdict is not None
    assert new.verdict.score == pytest.approx(250)
    (defect,) = new.verdict.defects
    x0, y0, x1, y1 = defect.box_xyxy  # the spot lies at x 32..64, y 32..48 of 128 × 64
    assert (x0, y0, x1, y1) == pytest.approx((32, 32, 64, 48), abs=4)
    assert new.frame is frame, "the picture is made of it, once the alert is safe"
    assert (new.evidence, end.evidence, end.frame) == (None, None, None)


def test_the_map_is_placed_in_the_frame(tmp_path: Path) -> None:
    """The report says where the crop lay, so that the page can draw the map over it."""
    line = make(tmp_path)
    report = line.inspect(shot(spot=True))
    ((_, corners),) = report.crop_corners_xy.items()
    assert np.allclose(corners, [(-0.5, -0.5), (127.5, -0.5), (127.5, 63.5), (-0.5, 63.5)])


def test_a_nan_is_not_inspected_and_published(tmp_path: Path) -> None:
    """A graph that returns NaN never makes a part good: NOT_INSPECTED, with an event."""
    line = make(tmp_path, "nan_inspector")
    report = line.inspect(shot(spot=True))
    (verdict,) = report.finished
    assert verdict.state is VerdictState.NOT_INSPECTED
    assert verdict.reason == "not_finite"
    assert verdict.score is None
    assert [e.kind for e in report.events] == [EventKind.NEW, EventKind.END]


class NoFinder:
    """A finder that sees nothing, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def find(self, pixels_hwc: object) -> list[Detection]:
        if self.fails:
            raise ModelError("the graph failed")
        return []


@pytest.mark.parametrize(("fails", "reason"), [(False, "no_product"), (True, "model_error")])
def test_no_product_where_one_was_triggered(
    tmp_path: Path, fails: bool, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A trigger without a product, or with a failing detector, is NOT_INSPECTED and says why."""
    line = make(tmp_path)
    line._stages = replace(line._stages, finder=NoFinder(fails))
    caplog.set_level(logging.CRITICAL)
    (verdict,) = line.inspect(shot()).finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, reason)


class FailingScorer:
    def score(self, crops: object) -> list[Anomaly]:
        raise ModelError("out of memory")


def test_a_failing_inspector_ends_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the inspector graph fails the part is NOT_INSPECTED and the next one is judged."""
    line = make(tmp_path)
    caplog.set_level(logging.CRITICAL)
    good = line._stages
    line._stages = replace(good, inspector=FailingScorer())
    assert line.inspect(shot(1)).finished[0].state is VerdictState.NOT_INSPECTED
    line._stages = good
    assert line.inspect(shot(2)).finished[0].state is VerdictState.OK


def test_a_missed_part_gets_its_verdict(tmp_path: Path) -> None:
    """A part nobody could look at still comes out: NOT_INSPECTED, with its trigger's id."""
    line = make(tmp_path)
    unseen = Frame("cam", 0, np.zeros((0, 0, 0), np.uint8), 5, "T9", 9)
    report = line.miss(unseen, "overload")
    (verdict,) = report.finished
    assert (verdict.reason, verdict.trigger_id, verdict.source_number) == ("overload", "T9", 9)
    assert [e.kind for e in report.events] == [EventKind.NEW, EventKind.END]


class OneBox:
    """A finder that reports what it is told: boxes per call."""

    def __init__(self, *calls: list[float]) -> None:
        self._calls = iter(calls)

    def find(self, pixels_hwc: object) -> list[Detection]:
        return [Detection((x, 32.0, 64.0, 32.0, 0.0), 0.9) for x in next(self._calls)]


def belt_line(tmp_path: Path, *calls: list[float]) -> InspectionLine:
    line = make(tmp_path, tracker=BeltTracker("b", (500.0, 0.0)))
    line._stages = replace(line._stages, finder=OneBox(*calls))
    return line


def belt_frame(i: int, value: int = 100) -> Frame:
    pixels = np.full((64, 400, 3), value, np.uint8)
    return Frame("cam", i, pixels, i * 200_000_000)


def test_a_part_on_a_belt_is_judged_as_it_comes_and_ended_as_it_leaves(tmp_path: Path) -> None:
    """A defect seen in the second view alarms then; the end comes when the part has left."""
    line = belt_line(tmp_path, [100], [200], [300], [])
    reports = [line.inspect(belt_frame(i, 200 if i == 1 else 100)) for i in range(4)]
    assert [[e.kind.value for e in r.events] for r in reports] == [[], ["new"], [], ["end"]]
    (verdict,) = reports[3].finished
    assert verdict.state is VerdictState.NG
    assert verdict.frame_id == 1


def test_a_part_never_seen_whole_is_not_inspected(tmp_path: Path) -> None:
    """A part that only ever touched the border leaves as NOT_INSPECTED, not as good."""
    line = belt_line(tmp_path, [20], [])
    line.inspect(belt_frame(0))
    line.inspect(belt_frame(1))
    (verdict,) = line.finish(belt_frame(1)).finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "never_whole")


def test_at_most_max_views_are_judged(tmp_path: Path) -> None:
    """After `max_views` whole views (here 3) a part costs no further inspection."""
    line = belt_line(tmp_path, [60], [160], [260], [350])
    judged = [len(line.inspect(belt_frame(i)).anomalies) for i in range(4)]
    assert judged == [1, 1, 1, 0]
