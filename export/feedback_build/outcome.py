"""What a new bundle says of the very parts that people marked, beside what was said before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edge_app.records import VerdictState
from edge_app.replay.comparison import Pair, change_of
from edge_app.replay.judging import Judgement, cut_round
from edge_app.replay.kept_parts import KeptPart
from export.feedback_build.marked_parts import MarkedPart

LOST, GOOD_ALARMED, UNINSPECTED = "defect_lost", "good_alarmed", "not_inspected"
STAYS, STILL_MISSED = "false_alarm_stays", "defect_still_missed"
GONE, FOUND = "false_alarm_gone", "defect_found"
INSPECTED, CAUGHT, PASSES = "inspected", "defect_caught", "good_passes"

OUTCOMES: dict[str, str] = {
    LOST: "defects that were caught before and would now pass",
    GOOD_ALARMED: "good parts that passed before and would now be alarmed",
    UNINSPECTED: "parts that could not be inspected now",
    STAYS: "false alarms that remain",
    STILL_MISSED: "defects that were missed before and still are",
    GONE: "false alarms that are gone",
    FOUND: "defects that were missed before and would now be caught",
    INSPECTED: "good parts that only the new model can inspect",
    CAUGHT: "defects that are caught as before",
    PASSES: "good parts that pass as before",
}
"""In the order in which they matter; the first is an error."""

_UNCHANGED = {
    ("good", VerdictState.NG): STAYS,
    ("good", VerdictState.OK): PASSES,
    ("defect", VerdictState.NG): CAUGHT,
    ("defect", VerdictState.OK): STILL_MISSED,
}


class Judges(Protocol):
    """Says what a model thinks, or thought, of a part."""

    def judge(self, part: KeptPart) -> Judgement:
        """Return the verdict on a part."""


class AsRecorded:
    """What the device said of each part when it was on the line.

    Args:
        parts: those that will be asked about.
    """

    name = "as judged on the device"

    def __init__(self, parts: Iterable[MarkedPart]) -> None:
        self._marked = {shown_name(part): part for part in parts}

    def judge(self, part: KeptPart) -> Judgement:
        """Return the record's verdict, with the picture as it was kept."""
        record = self._marked[part.part_id].record
        return Judgement(
            VerdictState(part.state),
            "as recorded",
            record.score,
            record.threshold if record.threshold is not None else 0.0,
            record.is_suspect,
            cut_round(part.pixels_hwc, part.corners_xy),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PartOutcome:
    """One marked part before and after.

    Attributes:
        outcome: a key of OUTCOMES.
        pair: both verdicts with their pictures.
    """

    part: MarkedPart
    outcome: str
    pair: Pair


def outcomes(
    parts: Iterable[MarkedPart],
    before: Judges,
    after: Judges,
    on_part: Callable[[int], None] = lambda _count: None,
) -> Iterator[PartOutcome]:
    """Yield what both say of every part, judged from the device's own picture of it."""
    for number, marked in enumerate(parts, start=1):
        kept = kept_part(number, marked)
        old, new = before.judge(kept), after.judge(kept)
        outcome = outcome_of(marked.record.use, old.state, new.state)
        on_part(number)
        yield PartOutcome(marked, outcome, Pair(kept, old, new, outcome))


def outcome_of(use: str, old: VerdictState, new: VerdictState) -> str:
    """Return what two verdicts mean beside a mark: a key of OUTCOMES."""
    change = change_of(use, old, new)
    if new is VerdictState.NOT_INSPECTED:
        return LOST if change == LOST else UNINSPECTED
    is_change_between_blind_and_missed = use == "defect" and change == UNINSPECTED
    return STILL_MISSED if is_change_between_blind_and_missed else change or _UNCHANGED[use, new]


def kept_part(row: int, marked: MarkedPart) -> KeptPart:
    """Return a marked part as the replay of kept parts takes it."""
    record = marked.record
    return KeptPart(
        row,
        shown_name(marked),
        record.camera,
        record.captured_at,
        record.verdict,
        record.kept_for,
        record.use,
        record.corners,
        marked.read(),
    )


def shown_name(marked: MarkedPart) -> str:
    """Return a name for people that no part of another device shares."""
    return f"{marked.record.device} {marked.record.part_id}"
