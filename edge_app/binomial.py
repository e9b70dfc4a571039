"""How sure a counted rate is: exact bounds (Clopper-Pearson), without a statistics library."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def rate_bound(hits: int, count: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper Clopper-Pearson bound of a rate seen as `hits` of `count`, 0..1.

    Found by bisection on the binomial tail.

    Args:
        count: at least 1.
        confidence: of this one end.
    """
    if hits >= count:
        return 1.0
    low, high = hits / count, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _binomial_tail(hits, count, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def exact_interval(hits: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a rate; (0, 1) where nothing was counted."""
    if count < 1:
        return 0.0, 1.0
    one_end = 1 - (1 - confidence) / 2
    return 1 - rate_bound(count - hits, count, one_end), rate_bound(hits, count, one_end)


def _binomial_tail(hits: int, count: int, rate: float) -> float:
    """Return P(at most `hits` of `count`) at the given rate, summed in log space."""
    if rate <= 0.0 or rate >= 1.0:
        return 1.0 if rate <= 0.0 else 0.0
    log_n = math.lgamma(count + 1)
    terms = [
        log_n - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        + k * math.log(rate) + (count - k) * math.log1p(-rate)
        for k in range(hits + 1)
    ]  # fmt: skip
    return math.fsum(math.exp(term) for term in terms)
