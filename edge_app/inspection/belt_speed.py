"""How fast the belt moves, from where products are in successive frames. Pure: time is an argument.

Which box is which part is not known here, so every pair of boxes in two successive frames votes for
the displacement between them. Pairs of the same part all vote for the belt's speed; pairs of
different parts vote for what lies between them, which differs from pair to pair unless parts lie
evenly spaced and in line. For such parts only a hint can tell a belt that moves more than half the
spacing per frame from one that moves backwards: votes then only refine the hint.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from edge_app.records import BoxCxcywhr, F64Array

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
        self._votes: deque[tuple[float, float, float]] = deque(maxlen=MAX_VOTES)
        self._last: tuple[int, list[BoxCxcywhr]] | None = None
        self.px_per_s: Speed | None = hint_px_per_s

    def note(self, at_ns: int, boxes_cxcywhr: Sequence[BoxCxcywhr]) -> None:
        """Take in the whole boxes (not cut off by the border) of the next frame."""
        if self._last is not None and at_ns > self._last[0]:
            dt_s = (at_ns - self._last[0]) / 1e9
            self._votes.extend(_votes(self._last[1], boxes_cxcywhr, dt_s))
            self.px_per_s = self._winner() or self._hint
        self._last = (at_ns, list(boxes_cxcywhr))

    def _winner(self) -> Speed | None:
        """Return the mean of the densest group of votes, the slowest of equals."""
        votes = np.array(self._votes, np.float64).reshape(-1, 3)  # vx, vy, reach
        needed = 1
        if self._hint is not None:
            off = np.hypot(votes[:, 0] - self._hint[0], votes[:, 1] - self._hint[1])
            votes, needed = votes[off <= HINT_SHARE * np.hypot(*self._hint)], VOTES_BESIDE_HINT
        if not len(votes):
            return None
        apart = np.hypot(
            votes[:, None, 0] - votes[None, :, 0], votes[:, None, 1] - votes[None, :, 1]
        )  # (n, n)
        near = apart <= votes[:, 2:3]
        return _densest(votes, near, needed)


def _densest(votes: F64Array, near: np.ndarray, needed: int) -> Speed | None:
    counts = near.sum(axis=1)
    slowness = -np.hypot(votes[:, 0], votes[:, 1])
    best = int(np.lexsort((slowness, counts))[-1])
    if counts[best] < needed:
        return None
    vx, vy = votes[near[best], :2].mean(axis=0)
    return float(vx), float(vy)


def _votes(
    before: Sequence[BoxCxcywhr], now: Sequence[BoxCxcywhr], dt_s: float
) -> list[tuple[float, float, float]]:
    """Return (vx, vy, tolerance) in pixels per second for every pair of boxes."""
    return [
        ((b[0] - a[0]) / dt_s, (b[1] - a[1]) / dt_s, TOLERANCE * max(b[2], b[3]) / dt_s)
        for a in before
        for b in now
    ]
