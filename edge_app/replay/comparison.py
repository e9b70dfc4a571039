"""What changes between two models over the same kept parts: counted, and what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from edge_app.binomial import exact_interval
from edge_app.records import VerdictState
from edge_app.replay.judging import Judge, Judgement
from edge_app.replay.kept_parts import KeptPart

RANDOM, UNLIKE = "random", "unlike_line"

Change = str
"""A key of CHANGES."""

CHANGES: dict[Change, str] = {
    "defect_lost": "confirmed defects that the new model would let pass",
    "good_alarmed": "parts confirmed good that the new model would alarm",
    "now_passes": "alarms of today that the new model would let pass; nobody marked them",
    "now_alarms": "parts that pass today and the new model would alarm; nobody marked them",
    "not_inspected": "parts that the new model could not inspect",
    "unlike_line": "parts that today's model judges otherwise from the kept picture than it did on "
    "the line",
    "defect_found": "confirmed defects that the new model finds and today's does not",
    "false_alarm_gone": "false alarms that the new model would not give",
    "inspected": "parts that only the new model can inspect",
}
"""In the order in which they matter. What both models make of a picture that is unlike the line's
says nothing of the line: such parts count nowhere else."""


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
        parts: of them; old, new: those that each model alarms from the kept pictures.
        judged: of them, by today's model on the line; line: those that it alarmed there.
    """

    parts: int = 0
    old: int = 0
    new: int = 0
    judged: int = 0
    line: int = 0

    def take(self, pair: Pair, on_line: VerdictState | None) -> None:
        """Count a part."""
        self.parts += 1
        self.old += pair.old.state is VerdictState.NG
        self.new += pair.new.state is VerdictState.NG
        self.judged += on_line is not None
        self.line += on_line is VerdictState.NG

    def words(self) -> str:
        """Return the rates with their exact 95 % intervals."""
        if not self.parts:
            return "No part was drawn at random: these parts say nothing of how often it alarms."
        told = (
            f"Of {self.parts} parts that were drawn at random, whatever their score, the old model "
            f"alarms {_rate(self.old, self.parts)}, the new one {_rate(self.new, self.parts)}."
        )
        if not self.judged:
            return told
        return f"{told} On the line the old one alarmed {_rate(self.line, self.judged)}."


@dataclass(slots=True)
class LikeLine:
    """Whether kept pictures are judged as the parts were.

    Attributes:
        parts: that today's model judged on the line and from the picture.
        unlike: judged otherwise from the picture; of them
        more: alarmed from the picture alone; fewer: alarmed on the line alone;
        defects: confirmed ones.
    """

    parts: int = 0
    unlike: int = 0
    more: int = 0
    fewer: int = 0
    defects: int = 0

    def take(self, on_line: VerdictState, old: VerdictState, mark: str) -> bool:
        """Count a part; return whether its picture is judged as it was."""
        self.parts += 1
        if on_line is old:
            return True
        self.unlike += 1
        self.more += old is VerdictState.NG
        self.fewer += on_line is VerdictState.NG
        self.defects += mark == "defect"
        return False

    def words(self) -> str:
        """Return what that means for all the other figures."""
        if not self.parts:
            return (
                "Today's model judged none of these parts on the line, so that nothing says "
                "whether their kept pictures are judged as the parts were."
            )
        if not self.unlike:
            return f"All {self.parts} kept pictures that can tell are judged as on the line."
        return (
            f"{self.unlike} of {self.parts} kept pictures are judged otherwise than on the line by "
            f"today's model itself: {self.more} alarmed by the picture alone, {self.fewer} on the "
            f"line alone; {self.defects} of them are confirmed defects. Pictures are kept as JPEG, "
            "of several views one. These parts are left out of the changes, not of the rates."
        )


@dataclass(slots=True)
class Comparison:
    """Two models over the same parts.

    Attributes:
        parts: judged by both.
        same: with the same verdict of both.
        counts: change → parts.
        marked: what people said → parts.
        like_line: whether the pictures say what the line said.
        pairs: those that change, those that matter most first, `most_pairs` of each change.
    """

    parts: int = 0
    same: int = 0
    counts: Counter[Change] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    sample: Sample = field(default_factory=Sample)
    like_line: LikeLine = field(default_factory=LikeLine)
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
        on_line = old.said_on_line(part)
        pair = _pair(part, old.judge(part), new.judge(part))
        found.parts += 1
        found.marked[part.mark] += 1
        if RANDOM in part.kept_for:
            found.sample.take(pair, on_line)
        if on_line is not None and not found.like_line.take(on_line, pair.old.state, part.mark):
            pair = replace(pair, change=UNLIKE)
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
