"""How fast the belt moves, from where products are in successive frames. Pure, told the time.

Which box is which part is not known here, so every pair of boxes in two successive frames votes for
the displacement between them. Pairs of the same part all vote for the belt's speed; pairs of
different parts vote for whatever lies between them, never twice the same. The densest place wins.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from edge_app.records import BoxCxcywhr

MEMORY_FRAMES = 25
"""Votes older than this many frames are forgotten: a belt may change its speed."""

VOTES_AGAINST_HINT = 3
"""Fewer agreeing votes than this may be chance and do not overrule the hint. Without a hint the
first vote counts, and among equals the slowest: the nearest box is the likeliest match."""

TOLERANCE = 0.1
"""Votes agree if they differ by less than this share of the part's longer side per frame."""

Speed = tuple[float, float]
"""(vx, vy) in pixels per second."""


class BeltSpeed:
    """Learns one common speed.

    Args:
        hint_px_per_s: counts until enough votes agree.
    """

    def __init__(self, hint_px_per_s: Speed | None = None) -> None:
        self._hint = hint_px_per_s
        self._votes: deque[list[tuple[Speed, float]]] = deque(maxlen=MEMORY_FRAMES)
        self._last: tuple[int, list[BoxCxcywhr]] | None = None
        self.px_per_s: Speed | None = hint_px_per_s

    def note(self, at_ns: int, boxes_cxcywhr: Sequence[BoxCxcywhr]) -> None:
        """Take in the whole boxes (not cut off by the border) of the next frame."""
        if self._last is not None and at_ns > self._last[0]:
            self._votes.append(_votes(self._last[1], boxes_cxcywhr, (at_ns - self._last[0]) / 1e9))
            self.px_per_s = self._winner() or self._hint
        self._last = (at_ns, list(boxes_cxcywhr))

    def _winner(self) -> Speed | None:
        """Return the mean of the densest group of votes, the slowest of equals."""
        votes = [v for frame in self._votes for v in frame]
        best: tuple[int, float, Speed] | None = None
        for speed, reach in votes:
            near = [v for v, _ in votes if math.dist(v, speed) <= reach]
            mean = (sum(v[0] for v in near) / len(near), sum(v[1] for v in near) / len(near))
            rank = (len(near), -math.hypot(*mean), mean)
            if best is None or rank[:2] > best[:2]:
                best = rank
        needed = VOTES_AGAINST_HINT if self._hint is not None else 1
        return best[2] if best is not None and best[0] >= needed else None


def _votes(
    before: Sequence[BoxCxcywhr], now: Sequence[BoxCxcywhr], dt_s: float
) -> list[tuple[Speed, float]]:
    """Return ((vx, vy), tolerance) in pixels per second for every pair of boxes."""
    return [
        (((b[0] - a[0]) / dt_s, (b[1] - a[1]) / dt_s), TOLERANCE * max(b[2], b[3]) / dt_s)
        for a in before
        for b in now
    ]
