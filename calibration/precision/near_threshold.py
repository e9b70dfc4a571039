"""How another precision moves the scores that lie near the threshold: by how much, how unevenly.

Far below the threshold scores may move much more, and the other way: on magnetic tiles int8 raised
good parts by a median 0.7, parts near the threshold of 3.3 by 0.02. Only the latter say where the
variant's threshold belongs and which verdicts are at risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_app.records import F64Array

NEAREST = 30
"""Parts that count: as many as give a spread to an eighth of itself."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What happens to scores at the threshold.

    Attributes:
        shift: the variant's score less the reference's, in the scores' unit.
        noise: standard deviation of single parts about it, >= 0, in the scores' unit.
    """

    shift: float
    noise: float


def movement_near(reference: F64Array, variant: F64Array, threshold: float) -> Movement:
    """Return how scores move at the threshold, from the parts nearest to it.

    A straight line goes through their differences (median of all pairs' slopes, so that a part
    whose box has slipped does not turn it) and is read at the threshold, at most as far out as any
    difference seen.

    Args:
        reference, variant: (n,) finite scores of the same parts, n >= 1.

    Source: Sen, Journal of the American Statistical Association 63, 1968.
    """
    near = nearest_parts(reference, threshold)
    x, moved = reference[near] - threshold, (variant - reference)[near]
    run, rise = x[:, None] - x, moved[:, None] - moved
    slopes = rise[run > 0] / run[run > 0]
    slope = float(np.median(slopes)) if len(slopes) else 0.0
    level = float(np.median(moved - slope * x))
    noise = float(np.std(moved - slope * x))
    return Movement(float(np.clip(level, moved.min(), moved.max())), noise)


def nearest_parts(reference: F64Array, threshold: float) -> np.ndarray:
    """Return the indices of the NEAREST scores, or of all, nearest to the threshold first."""
    return np.argsort(np.abs(reference - threshold), kind="stable")[:NEAREST]
