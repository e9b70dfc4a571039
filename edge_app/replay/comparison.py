"""What changes between two models over the same kept parts: counted, and what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge_app.binomial import exact_interval
from edge_app.records import VerdictState
from edge_app.replay.judging import Judge, Judgement
from edge_app.replay.kept_parts import KeptPart

RANDOM = "random"

Change = str
"""A key of CHANGES."""

CHANGES: dict[Change, str] = {
    "defect_lost": "confirmed defects that the new model would let pass",
    "good_alarmed": "parts confirmed good that the new model would alarm",
    "now_passes": "alarms of today that the new model would let pass; nobody marked them",
    "now_alarms": "parts that pass today and the new model would alarm; nobody marked them",
    "not_inspected": "parts that the new model could not inspect",
    "defect_found": "confirmed defects that the new model finds and today's does not",
    "false_alarm_gone": "false alarms that the new model would not give",
    "inspected": "parts that only the new model can inspect",
}
"""In the order in which they matter."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One part as both models judge it."""

    part: KeptPart
    old: Judgement
    new: Judgement
    change: Change


@dataclass(slots=True)
class Sample:
    """Parts that were drawn at random: only they say something of all parts.

    Attributes:
        parts: of them; old, new: those that each model alarms.
    """

    parts: int = 0
    old: int = 0
    new: int = 0

    def words(self) -> str:
        """Return the rates with their exact 95 % intervals."""
        if not self.parts:
            return "No part was drawn at random: these parts say nothing of how often it alarms."
        return (
            f"Of {self.parts} parts that were drawn at random, whatever their score, the old model "
            f"alarms {_rate(self.old, self.parts)}, the new one {_rate(self.new, self.parts)}."
        )


@dataclass(slots=True)
class Comparison:
    """Two models over the same parts.

    Attributes:
        parts: judged by both.
        same: with the same verdict of both.
        counts: change → parts.
        marked: what people said → parts.
        pairs: those that change, those that matter most first, `most_pairs` of each change.
    """

    parts: int = 0
    same: int = 0
    counts: Counter[Change] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    sample: Sample = field(default_factory=Sample)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def is_safe(self) -> bool:
        """Tell whether no confirmed defect would pass or stay uninspected with the new model."""
        return not self.counts["defect_lost"]


def compare(
    parts: Iterable[KeptPart],
    old: Judge,
    new: Judge,
    on_part: Callable[[int], None] = lambda _count: None,
    most_pairs: int = 50,
) -> Comparison:
    """Return what changes from one model to the other.

    Args:
        on_part: gets how many parts are judged.
        most_pairs: of each change, that keep their pictures in memory.
    """
    found = Comparison()
    for part in parts:
        pair = _pair(part, old.judge(part), new.judge(part))
        found.parts += 1
        found.marked[part.mark] += 1
        if RANDOM in part.kept_for:
            found.sample.parts += 1
            found.sample.old += pair.old.state is VerdictState.NG
            found.sample.new += pair.new.state is VerdictState.NG
        if not pair.change:
            found.same += 1
        else:
            found.counts[pair.change] += 1
            if found.counts[pair.change] <= most_pairs:
                found.pairs.append(pair)
        on_part(found.parts)
    order = list(CHANGES)
    found.pairs.sort(key=lambda pair: order.index(pair.change))
    return found


def _pair(part: KeptPart, old: Judgement, new: Judgement) -> Pair:
    return Pair(part, old, new, change_of(part.mark, old.state, new.state))


def change_of(mark: str, old: VerdictState, new: VerdictState) -> Change:
    """Return what a change of verdict means beside what people say; "" where nothing changes.

    A confirmed defect that is not inspected any more has been lost: nothing alarms it.
    """
    if old is new:
        return ""
    bad, blind = VerdictState.NG, VerdictState.NOT_INSPECTED
    if mark == "defect":
        return "defect_found" if new is bad else "defect_lost" if old is bad else "not_inspected"
    if new is blind:
        return "not_inspected"
    if mark == "good":
        return "good_alarmed" if new is bad else "false_alarm_gone" if old is bad else "inspected"
    if new is bad:
        return "now_alarms"
    return "now_passes" if old is bad else "inspected"


def _rate(hits: int, count: int) -> str:
    low, high = exact_interval(hits, count)
    return f"{hits} ({100 * hits / count:.2g} %, 95 %: {100 * low:.2g} to {100 * high:.2g} %)"
