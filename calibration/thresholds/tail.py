"""A threshold beyond what the good parts can guarantee: a tail fitted to the largest scores.

Source: Pickands-Balkema-de Haan (excesses over a high level follow a generalised Pareto law);
probability-weighted moments after Hosking and Wallis, Technometrics 1987, which stay finite for a
few dozen excesses where maximum likelihood does not.
Deviation: the shape is kept within −0.2..0.5. Normal scores have about −0.15 at such levels; less
would promise that no part scores more than a little above the highest one; beyond 0.5 the
estimator has no variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_app.records import F64Array

TAIL_SHARE = 0.15
MIN_EXCESSES, MAX_EXCESSES = 8, 250
"""How many of the largest scores make the tail."""

MIN_SHAPE, MAX_SHAPE = -0.2, 0.5


@dataclass(frozen=True, slots=True)
class TailFit:
    """A generalised Pareto law of the excesses over `level`.

    Attributes:
        level: scores above it are the tail.
        share: of all scores, 0..1, that lie above it.
        shape: ξ, −0.2 (ends somewhere) over 0 (exponential) to 0.5 (heavy).
        scale: σ > 0, in units of the score.
        excesses: how many scores it was fitted to.
    """

    level: float
    share: float
    shape: float
    scale: float
    excesses: int

    def threshold(self, rate: float) -> float:
        """Return the score that a share `rate` of good parts reaches, 0 < rate <= share."""
        ratio = self.share / rate
        if abs(self.shape) < 1e-6:
            return self.level + self.scale * math.log(ratio)
        return self.level + self.scale / self.shape * math.expm1(self.shape * math.log(ratio))


def fit_tail(scores: F64Array) -> TailFit | None:
    """Return the tail of (n,) finite scores; None where too few or all alike."""
    ordered = np.sort(scores)[::-1]
    count = min(MAX_EXCESSES, max(MIN_EXCESSES, round(TAIL_SHARE * len(ordered))))
    if len(ordered) < 2 * count:
        return None
    level = float(ordered[count])
    excesses = np.sort(ordered[:count] - level)
    mean = float(excesses.mean())
    if mean <= 0.0:
        return None
    above = 1.0 - (np.arange(1, count + 1) - 0.35) / count  # plotting positions
    weighted = float((above * excesses).mean())
    shape = float(np.clip(2.0 - mean / (mean - 2.0 * weighted), MIN_SHAPE, MAX_SHAPE))
    scale = mean * (1.0 - shape)  # keeps the mean, also where the shape was clipped
    return TailFit(level, count / len(ordered), shape, scale, count)
