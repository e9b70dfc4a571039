"""How fast the belt moves, from where products are in successive frames. Pure: time is an argument.

Which box is which part is not known here, so every pair of boxes in two successive frames votes for
the displacement between them. Pairs of the same part all vote for the belt's speed; pairs of
different parts vote for what lies between them, which differs from pair to pair unless parts lie
evenly spaced and in line. For such parts only a hint can tell a belt that moves more than half the
spacing per frame from one that moves backwards: votes then only refine the hint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_app.records import BoxCxcywhr

MAX_VOTES = 200
"""The newest count: some 50 frames with two parts in view; a belt may change its speed."""

VOTES_BESIDE_HINT = 3
"""Fewer agreeing votes than this may be chance and do not refine the hint. Without a hint the
first vote counts, and among equals the slowest: the nearest box is the likeliest match."""

HINT_SHARE = 0.5
"""Votes further from the hint than this share of it are not about the belt."""

TOLERANCE = 0.1
"""Votes agree if they differ by less than this share of the part's longer side per frame."""

Speed = tuple[float, float]
"""(vx, vy) in pixels per second."""


class BeltSpeed:
    """Learns one common speed.

    Args:
        hint_px_per_s: what the configuration says of it, if anything.
    """

    def __init__(self, hint_px_per_s: Speed | None = None) -> None:
        self._hint = hint_px_per_s
        self._votes = _Votes()
        self._last: tuple[int, list[BoxCxcywhr]] | None = None
        self.px_per_s: Speed | None = hint_px_per_s

    def note(self, at_ns: int, boxes_cxcywhr: Sequence[BoxCxcywhr]) -> None:
        """Take in the whole boxes (not cut off by the border) of the next frame."""
        if self._last is not None and at_ns > self._last[0]:
            dt_s = (at_ns - self._last[0]) / 1e9
            votes = _votes(self._last[1], boxes_cxcywhr, dt_s)
            for vx, vy, reach in votes:
                self._votes.add(vx, vy, reach, is_about_the_belt=self._agrees_with_hint(vx, vy))
            if votes:
                needed = 1 if self._hint is None else VOTES_BESIDE_HINT
                self.px_per_s = self._votes.winner(needed) or self._hint
        self._last = (at_ns, list(boxes_cxcywhr))

    def _agrees_with_hint(self, vx: float, vy: float) -> bool:
        if self._hint is None:
            return True
        off = math.hypot(vx - self._hint[0], vy - self._hint[1])
        return off <= HINT_SHARE * math.hypot(*self._hint)


class _Votes:
    """The newest MAX_VOTES votes, and which of them agree: a vote that comes or goes changes one
    row and one column of that table, and all 40,000 distances anew took 0.3 ms a frame.
    """

    def __init__(self) -> None:
        self._added = 0
        self._v = np.full((2, MAX_VOTES), np.nan)  # vx, vy; NaN: agrees with nobody
        self._reach = np.zeros(MAX_VOTES)
        self._near = np.zeros((MAX_VOTES, MAX_VOTES), bool)  # [i, j]: j lies within i's reach
        self._counts = np.zeros(MAX_VOTES, np.intp)  # by row

    def add(self, vx: float, vy: float, reach: float, *, is_about_the_belt: bool) -> None:
        """Take a vote in the oldest one's place; one that is not about the belt only takes it."""
        slot = self._added % MAX_VOTES
        self._added += 1
        self._v[:, slot] = (vx, vy) if is_about_the_belt else (math.nan, math.nan)
        self._reach[slot] = reach
        apart = np.hypot(self._v[0] - self._v[0, slot], self._v[1] - self._v[1, slot])
        within_theirs = apart <= self._reach
        self._counts -= self._near[:, slot]
        self._counts += within_theirs
        self._near[:, slot] = within_theirs
        self._near[slot] = apart <= reach
        self._counts[slot] = np.count_nonzero(self._near[slot])

    def winner(self, needed: int) -> Speed | None:
        """Return the mean of the densest group of votes, the slowest of equals; None of too few."""
        most = int(self._counts.max())
        if most < needed:
            return None
        equals = np.flatnonzero(self._counts == most)
        best = equals[np.argmin(np.hypot(*self._v[:, equals]))]
        vx, vy = self._v[:, self._near[best]].mean(axis=1).tolist()
        return vx, vy


def _votes(
    before: Sequence[BoxCxcywhr], now: Sequence[BoxCxcywhr], dt_s: float
) -> list[tuple[float, float, float]]:
    """Return (vx, vy, tolerance) in pixels per second for every pair of boxes."""
    return [
        ((b[0] - a[0]) / dt_s, (b[1] - a[1]) / dt_s, TOLERANCE * max(b[2], b[3]) / dt_s)
        for a in before
        for b in now
    ]
