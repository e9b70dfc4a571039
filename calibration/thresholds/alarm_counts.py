"""How many of some good parts a limit alarms on, before anybody has seen them.

A limit that is the k-th largest of n exchangeable good scores has a false-alarm rate of
Beta(k, n + 1 - k), so the alarms among m further good parts are Beta-binomial(m, k, n + 1 - k).
"""

from __future__ import annotations

import math

import numpy as np

from edge_app.errors import DataError
from edge_app.records import F64Array


def alarm_chances(rank: int, good_parts: int, judged: int) -> F64Array:
    """Return the chance of 0, 1, ..., m alarms among m judged good parts, (m + 1,) float64.

    Args:
        rank: k, 1..n.
        good_parts: n.
        judged: m >= 0.

    Raises:
        DataError: n good parts have no k-th largest score, or m is negative.
    """
    if not 1 <= rank <= good_parts or judged < 0:
        raise DataError(f"No limit: rank {rank} of {good_parts} good parts, {judged} judged.")
    other = good_parts + 1 - rank
    logs = [
        math.lgamma(judged + 1) - math.lgamma(alarms + 1) - math.lgamma(judged - alarms + 1)
        + _log_beta(alarms + rank, judged - alarms + other) - _log_beta(rank, other)
        for alarms in range(judged + 1)
    ]  # fmt: skip
    return np.exp(np.array(logs, np.float64))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def quantile(chances: F64Array, share: float) -> int:
    """Return the smallest count that is not exceeded with a chance of at least `share`, 0..1."""
    return int(np.searchsorted(np.cumsum(chances), share - 1e-12))
