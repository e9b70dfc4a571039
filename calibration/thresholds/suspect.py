"""The lower limit, from which a part that is OK is marked suspect."""

from __future__ import annotations

import numpy as np

from edge_app.records import F64Array

SUSPECT_RATE = 0.05
"""Share of good parts at or above the lower limit: one in twenty is worth a look, not an alarm."""


def suspect_limit(good_scores: F64Array, score_threshold: float) -> float:
    """Return the k-th largest score, k = max(1, round(SUSPECT_RATE · (n + 1))).

    A further good part is at or above it with probability k / (n + 1). It is never above the limit
    itself; where it equals it, no part is suspect.

    Args:
        good_scores: (n,) scores of good parts, n >= 1.
    """
    rank = max(1, round(SUSPECT_RATE * (len(good_scores) + 1)))
    largest_first = np.sort(good_scores)[::-1]
    return min(float(largest_first[rank - 1]), score_threshold)
