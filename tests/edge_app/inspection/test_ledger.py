"""Stories of one part's views, and the events people get to see."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from edge_app.inspection.part_ledger import PartLedger, ViewResult
from edge_app.records import AlarmEvent, EventKind, Frame, VerdictState

FRAME = Frame("cam", 1, np.zeros((10, 20, 3), np.uint8), 1_000_000)
NEXT_FRAME = Frame("cam", 2, np.zeros((10, 20, 3), np.uint8), 2_000_000)


class Story:
    """One part's life, told view by view."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.ledger = PartLedger(
            "cam", None, 3.0, "t-1", lambda: f"a{next(numbers)}", lambda: 6_000_000
        )
        self.events: list[AlarmEvent] = []

    def sees(self, score: float, part: str = "p") -> Story:
        self.ledger.sight(part, FRAME, ())
        state = VerdictState.NG if score >= 3.0 else VerdictState.OK
        kind = self.ledger.record(ViewResult(part, state, "", score, (), ()), FRAME)
        if kind:
            self.events.append(self.ledger.publish(part, kind, FRAME))
        return self

    def fails(self, reason: str, part: str = "p", frame: Frame = NEXT_FRAME) -> Story:
        self.ledger.sight(part, frame, ())
        state = VerdictState.NOT_INSPECTED
        assert self.ledger.record(ViewResult(part, state, reason, None, (), ()), frame) is None
        return self

    def leaves(self, part: str = "p") -> VerdictState:
        verdict, events = self.ledger.leave(part, FRAME)
        self.events += events
        return verdict.state

    @property
    def told(self) -> list[str]:
        return [e.kind.value for e in self.events]


def test_a_good_part_passes_in_silence() -> None:
    """Three good views: OK, nothing to tell."""
    story = Story().sees(1.0).sees(2.0).sees(0.5)
    assert story.leaves() is VerdictState.OK
    assert story.told == []


def test_the_worst_view_decides() -> None:
    """One bad view among good ones makes the part NG, whatever comes after."""
    story = Story().sees(1.0).sees(4.0).sees(1.0)
    assert story.leaves() is VerdictState.NG
    assert story.told == ["new", "end"]


def test_a_clearly_worse_view_is_an_update() -> None:
    """A score that grows by more than 5 % of the threshold is news; jitter is not."""
    story = Story().sees(4.0).sees(4.1).sees(5.0)
    story.leaves()
    assert story.told == ["new", "update", "end"]
    assert {e.alarm_id for e in story.events} == {"a1"}
    assert [e.verdict.score for e in story.events if e.verdict] == [4.0, 5.0, 5.0]


def test_a_failed_view_after_a_good_one_changes_nothing() -> None:
    """A part with one judged view is judged, even if another view failed."""
    story = Story().sees(1.0).fails("not_finite")
    assert story.leaves() is VerdictState.OK


def test_a_failure_beside_a_good_box_in_one_picture_is_not_good() -> None:
    """Of two boxes in one picture one is good and one could not be judged: NOT_INSPECTED."""
    story = Story().sees(1.0).fails("not_finite", frame=FRAME)
    assert story.leaves() is VerdictState.NOT_INSPECTED
    assert story.told == ["new", "end"]


def test_only_failed_views_is_not_inspected() -> None:
    """A part whose every view failed is NOT_INSPECTED, announced and ended."""
    story = Story().fails("not_finite").fails("model_error")
    assert story.leaves() is VerdictState.NOT_INSPECTED
    assert story.told == ["new", "end"]
    assert story.events[0].verdict is not None
    assert story.events[0].verdict.reason == "model_error"


def test_two_bad_parts_at_once_are_two_alarms() -> None:
    """Alarms are never merged: each part has its own id."""
    story = Story().sees(4.0, "p").sees(4.0, "q")
    assert len({e.alarm_id for e in story.events}) == 2


def test_the_latency_runs_from_capture_to_verdict() -> None:
    """Captured at 1 ms, judged at 6 ms: 5 ms."""
    story = Story().sees(4.0)
    assert story.ledger.verdict("p").latency_ms == pytest.approx(5.0)


@pytest.mark.parametrize("jump_ns", [3600 * 10**9, -3600 * 10**9])
def test_a_clock_set_meanwhile_does_not_change_the_latency(jump_ns: int) -> None:
    """Captured 5 ms ago by the clock nobody sets; the wall clock jumped by an hour since."""
    ledger = PartLedger(
        "cam", None, 3.0, "t-1", lambda: "a", lambda: 1_000_000 + jump_ns, lambda: 9_000_000
    )
    frame = replace(FRAME, monotonic_ns=4_000_000)
    ledger.sight("p", frame, ())
    ledger.record(ViewResult("p", VerdictState.OK, "", 1.0, (), ()), frame)
    assert ledger.verdict("p").latency_ms == pytest.approx(5.0)


def test_a_gap_counts_both_ends() -> None:
    """Numbers 5 to 9 lost are five parts."""
    event = Story().ledger.gap(5, 9, "restart")
    assert event.kind is EventKind.GAP
    assert event.gap is not None
    assert event.gap.count == 5
