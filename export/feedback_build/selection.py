"""Which marked good parts are learnt from, and which are kept back to judge the result. No IO.

One bad afternoon must not become the product: near-duplicates count once, an hour of one camera
gives a few parts, and all of them stay few beside the good parts that a person photographed. A
third is kept back: what the new model says of parts that it learnt from flatters it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from export.feedback_build.marked_parts import MarkedPart

MOST_PER_HOUR = 10
"""Different parts of one device, camera and cause in one hour."""

BASE_PER_PART = 4
"""Good parts of the data set for each marked one that joins: false alarms were chosen for their
score, and more than a fifth of them among the calibration's scores would set the limit alone."""

KEEP_BACK = 3
"""One in so many different parts is kept back, by its digest alone: a part that was kept back once
is kept back by every later build, so that no model before has learnt from it either."""

TRAINED, COPY, KEPT_BACK, CAPPED = "trained", "copy of trained", "kept back", "over a cap"
ALONE = "alone"
"""No other mark shows what it shows, so that nothing is learnt from it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What becomes of each marked good part.

    Attributes:
        roles: sha256 of its picture → TRAINED, COPY, KEPT_BACK, CAPPED or ALONE.
    """

    roles: dict[str, str]

    def of(self, part: MarkedPart) -> str:
        """Return a part's role; "" for one that is no marked good part."""
        return self.roles.get(part.record.sha256, "")

    def is_unseen(self, part: MarkedPart) -> bool:
        """Tell whether the new model learnt neither from a good part nor from a copy of it."""
        return self.of(part) in (KEPT_BACK, CAPPED, ALONE)

    def without(self, alone: Collection[str], parts: Sequence[MarkedPart]) -> Selection:
        """Return the same where parts, and their copies, are not learnt from.

        Args:
            alone: digests of those parts.
            parts: all that were selected from.
        """
        groups = {p.group for p in parts if p.record.sha256 in alone}
        learnt = (TRAINED, COPY)
        left = {p.record.sha256 for p in parts if p.group in groups and self.of(p) in learnt}
        return Selection({d: ALONE if d in left else role for d, role in self.roles.items()})

    def counts(self) -> dict[str, int]:
        """Return how many parts have each role."""
        return dict(sorted(Counter(self.roles.values()).items()))


def select(goods: Iterable[MarkedPart], base_parts: int) -> Selection:
    """Return which marked good parts are learnt from; all where there are fewer than KEEP_BACK.

    The order is that of their pictures' digests, which no score and no person decides.

    Args:
        base_parts: different good parts in the data set.
    """
    groups: dict[str, list[MarkedPart]] = {}
    for part in sorted(goods, key=lambda p: p.record.sha256):
        groups.setdefault(part.group, []).append(part)
    roles: dict[str, str] = {}
    hours: Counter[tuple[object, ...]] = Counter()
    room = base_parts // BASE_PER_PART
    for name in sorted(groups):
        first, *copies = groups[name]
        place = (*first.cause, first.hour)
        if len(groups) >= KEEP_BACK and is_kept_back(name):
            role, of_copies = KEPT_BACK, KEPT_BACK
        elif room <= 0 or hours[place] >= MOST_PER_HOUR:
            role, of_copies = CAPPED, CAPPED
        else:
            role, of_copies = TRAINED, COPY
            hours[place] += 1
            room -= 1
        roles[first.record.sha256] = role
        for copy in copies:  # the same bytes may come as two parts
            roles.setdefault(copy.record.sha256, of_copies)
    return Selection(roles)


def is_kept_back(group: str) -> bool:
    """Tell whether a group, named by its smallest digest, is one that no build learns from."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % KEEP_BACK == 0
