"""Marks that contradict each other or what every model sees: dropped, and named. No IO.

A mark is a person's word, and people err: a thumb on the wrong button, a colleague's login, a part
confused with its neighbour. Three things show it:

1. The same part, or a near-duplicate of its picture, is marked good here and defective there, or is
   a picture of the other side of the data set.
2. A part that is called good still scores far above the good ones by a model that has learnt from
   all other marked good parts, but not from it. A benign appearance comes again, and the others
   vouch for it; a defect among them stands alone.
3. A part that is called defective scores like a usual good part, and no model ever alarmed it. One
   that was alarmed is never dropped: it would be a defect that is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edge_app.errors import DataError
from export.feedback_build.marked_parts import MarkedPart

TOO_ODD = 1.5
"""Share of the limit, as an operator reads it: 0 is the usual good part, 1 is the limit of the data
set's own good parts. A choice with room on both sides on simulated tiles; docs/feedback.md says
what has been measured and what has not."""

LIKE_GOOD = 0.0
"""The same: a defect below that scores lower than half of the good parts."""

MOST_NAMED = 0.1
"""Share of the marks; with more contradictions among them the marks are not to be trusted."""

ALONE_FROM = 1.0
"""Share of the limit, by what has learnt from all other marks: it would be alarmed all the same."""

MOST_ALONE, FEWEST_ALONE = 0.2, 3
"""Share and number of the marked false alarms; with more of them alone it is no appearance that
comes again. Of 20 right marks on seed 22 of the simulated line 3 are alone, with 6 of 20 wrong 5,
4 of the wrong ones among them (docs/decisions/0029)."""

FEWEST_NAMED = 2
"""One contradiction alone is a slip, however few marks there are."""

BOTH_WAYS, ODD_GOOD, USUAL_DEFECT = "marked both ways", "odd for a good part", "like a good part"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A mark that is not learnt from.

    Attributes:
        why: BOTH_WAYS, ODD_GOOD or USUAL_DEFECT.
        told: the rest of a sentence that begins with the part.
    """

    part: MarkedPart
    why: str
    told: str

    def words(self) -> str:
        """Return one sentence with file, part and people."""
        return f"{self.part.words()} {self.told}"


def marked_both_ways(
    parts: Sequence[MarkedPart], also_good: Mapping[str, str], also_bad: Mapping[str, str]
) -> list[Contradiction]:
    """Return the marks that another mark or the data set denies, both of each two.

    Args:
        also_good: digests of marked defects → names of the good parts in --data they are.
        also_bad: digests of marked good parts → names of the known defects they are.
    """
    sides: dict[str, list[MarkedPart]] = {}
    for part in parts:
        sides.setdefault(part.group, []).append(part)
    found = []
    for part in parts:
        others = [p for p in sides[part.group] if p.is_good is not part.is_good]
        says, denies = ("good", "defective") if part.is_good else ("defective", "good")
        name = (also_bad if part.is_good else also_good).get(part.record.sha256)
        if others:
            told = f"is marked {says}, and the same picture is marked {denies}: {others[0].words()}"
            found.append(Contradiction(part, BOTH_WAYS, told))
        elif name:
            told = f"is marked {says}, and it is {name} among the {denies} ones of the data set"
            found.append(Contradiction(part, BOTH_WAYS, told))
    return found


def contradicted_by_models(
    parts: Sequence[MarkedPart], shares: Mapping[str, float], alarmed: Collection[str]
) -> list[Contradiction]:
    """Return the marks that no model can follow.

    Args:
        shares: digest → score as a share of the limit, by a model that has not learnt from the
            part; parts without one are passed over.
        alarmed: digests of defects that the device or the bundle before alarmed.
    """
    found = []
    for part in parts:
        digest = part.record.sha256
        share = shares.get(digest)
        if share is None:
            continue
        if part.is_good and share > TOO_ODD:
            told = (
                f"is marked good, and scores {share:.0%} of the limit by a model that learnt from "
                f"the other marked good parts, expected at most {TOO_ODD:.0%}"
            )
            found.append(Contradiction(part, ODD_GOOD, told))
        elif not part.is_good and share < LIKE_GOOD and digest not in alarmed:
            told = "is marked defective, and scores lower than half of the good parts"
            found.append(Contradiction(part, USUAL_DEFECT, told))
    return found


def alone_among(parts: Sequence[MarkedPart], shares: Mapping[str, float]) -> list[str]:
    """Return the digests of marked false alarms that no other mark vouches for.

    Args:
        shares: as in `contradicted_by_models`.
    """
    digests = [p.record.sha256 for p in parts if p.is_false_alarm]
    return [d for d in digests if shares.get(d, 0.0) >= ALONE_FROM]


def refuse_alone(parts: Sequence[MarkedPart], alone: Collection[str]) -> None:
    """Refuse marks of which too many show what no other mark shows.

    Raises:
        DataError: names every one of them.
    """
    marked = [p for p in parts if p.is_false_alarm]
    found = [p for p in marked if p.record.sha256 in alone]
    is_few = len(found) < FEWEST_ALONE or len(found) <= MOST_ALONE * len(marked)
    if is_few:
        return
    named = "\n".join(f"  {part.words()}" for part in found)
    raise DataError(
        f"{len(found)} of {len(marked)} false alarms that are marked good would be alarmed all the "
        f"same by a model that learnt from the other marks, expected at most {MOST_ALONE:.0%}: "
        "defects that were marked good, or an appearance of which there are too few marks. Look at "
        "them, take wrong marks back or mark more of the same, pull again; or build with "
        f"--accept, which learns nothing from them.\n{named}"
    )


def refuse_many(found: Sequence[Contradiction], marks: int) -> None:
    """Refuse marks of which too many contradict each other or the models.

    Raises:
        DataError: names every one of them.
    """
    if len(found) < FEWEST_NAMED or len(found) <= MOST_NAMED * marks:
        return
    named = "\n".join(f"  {one.words()}" for one in found)
    raise DataError(
        f"{len(found)} of {marks} marks contradict each other or what every model sees, expected "
        f"at most {MOST_NAMED:.0%}. Look at them with the people who marked, take wrong marks back "
        "or decline them on the devices' pages, pull again; or build with --accept, which leaves "
        f"them out.\n{named}"
    )
