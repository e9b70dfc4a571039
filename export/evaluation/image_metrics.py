"""Figures of merit for picture scores, from numpy alone: AUROC, precision and recall, F1, bounds.

A score may be +inf (a picture nobody could judge): it ranks above every number. Two pictures
with the same score are a tie, and a tie counts half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.binomial import rate_bound
from edge_app.errors import DataError
from edge_app.records import F64Array

BOOTSTRAP_ROUNDS = 1000
BOOTSTRAP_SHARE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One point per different score, strictest threshold first.

    Attributes:
        thresholds: (k,) float64, descending; a picture with `score >= threshold` is called bad.
        false_alarms: (k,) share of good pictures called bad, ascending.
        recall: (k,) share of bad pictures called bad, ascending.
        precision: (k,) share of the pictures called bad that are bad.
    """

    thresholds: F64Array
    false_alarms: F64Array
    recall: F64Array
    precision: F64Array


def score_curve(good: F64Array, bad: F64Array) -> Curve:
    """Return what every threshold would have called bad.

    Args:
        good: (n,) scores of good pictures, larger is more anomalous.
        bad: (m,) scores of defective pictures.

    Raises:
        DataError: one of them is empty or holds a NaN.
    """
    good, bad = _checked(good, "good"), _checked(bad, "defective")
    thresholds = np.unique(np.concatenate([good, bad]))[::-1]
    alarms = len(good) - np.searchsorted(np.sort(good), thresholds, side="left")
    hits = len(bad) - np.searchsorted(np.sort(bad), thresholds, side="left")
    return Curve(thresholds, alarms / len(good), hits / len(bad), hits / (hits + alarms))


def auroc(good: F64Array, bad: F64Array) -> float:
    """Return the chance that a bad picture scores above a good one, 0..1; ties count half.

    Raises:
        DataError: one of them is empty or holds a NaN.
    """
    ordered, bad = np.sort(_checked(good, "good")), _checked(bad, "defective")
    below = np.searchsorted(ordered, bad, side="left")
    up_to = np.searchsorted(ordered, bad, side="right")
    return float((below + up_to).mean() / (2 * len(ordered)))


def auroc_interval(good: F64Array, bad: F64Array, seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap 95 % interval of the AUROC (percentiles, seeded).

    Good and bad pictures are drawn again apart from each other, so both counts stay as they are.
    """
    return bootstrap_interval(auroc, _checked(good, "good"), _checked(bad, "defective"), seed)


def bootstrap_interval(
    figure: Callable[[F64Array, F64Array], float], good: F64Array, bad: F64Array, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap 95 % interval of a figure of good (n,) and bad (m,) scores.

    Percentiles over redrawn pictures, seeded; good and bad ones are drawn apart from each other.
    """
    rng = np.random.default_rng(seed)
    n, m = len(good), len(bad)
    return _middle(
        [
            figure(good[rng.integers(0, n, n)], bad[rng.integers(0, m, m)])
            for _ in range(BOOTSTRAP_ROUNDS)
        ]
    )


def mean_interval(values: F64Array, seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap 95 % interval of the mean of (n,) values, n >= 1.

    For paired differences: one value a picture.

    Raises:
        DataError: there are no values, or one is NaN.
    """
    values = _checked(values, "paired")
    rng = np.random.default_rng(seed)
    count = len(values)
    return _middle(
        [float(values[rng.integers(0, count, count)].mean()) for _ in range(BOOTSTRAP_ROUNDS)]
    )


def _middle(drawn: Sequence[float]) -> tuple[float, float]:
    tail = (1 - BOOTSTRAP_SHARE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def auroc_difference_interval(
    ours: tuple[F64Array, F64Array], theirs: tuple[F64Array, F64Array], seed: int = 0
) -> tuple[float, float]:
    """Return the paired-bootstrap 95 % interval of our AUROC minus theirs.

    Both are judged on the same redrawn pictures, so what is common to them cancels.

    Args:
        ours: scores of the good (n,) and of the defective (m,) pictures.
        theirs: another method's scores of the same pictures in the same order.

    Raises:
        DataError: one is empty, holds a NaN, or the lengths differ.
    """
    lengths = [tuple(len(s) for s in pair) for pair in (ours, theirs)]
    if lengths[0] != lengths[1]:
        raise DataError(f"Paired scores must be of the same pictures, got {lengths} of them.")
    n, m = lengths[0]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(BOOTSTRAP_ROUNDS):
        at = rng.integers(0, n, n), rng.integers(0, m, m)
        drawn.append(
            auroc(ours[0][at[0]], ours[1][at[1]]) - auroc(theirs[0][at[0]], theirs[1][at[1]])
        )
    return _middle(drawn)


def average_precision(curve: Curve) -> float:
    """Return the area under precision over recall as a sum of steps (AUPR), 0..1."""
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def best_f1(curve: Curve) -> tuple[float, float]:
    """Return the largest F1 over all thresholds, 0..1, and the threshold that reaches it.

    The threshold is chosen on the pictures it is measured on: an upper limit, not a forecast.
    """
    p, r = curve.precision, curve.recall
    f1 = 2 * p * r / np.maximum(p + r, 1e-12)
    best = int(np.argmax(f1))
    return float(f1[best]), float(curve.thresholds[best])


def rate_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the Clopper-Pearson bounds of a rate; each end holds at 95 % confidence by itself.

    Raises:
        DataError: there is nothing to count.
    """
    if count < 1 or not 0 <= hits <= count:
        raise DataError(f"A rate wants 0 <= hits <= count and count >= 1, got {hits} of {count}.")
    return 1 - rate_bound(count - hits, count), rate_bound(hits, count)


def _checked(scores: F64Array, what: str) -> F64Array:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"Evaluation needs scores of {what} pictures, got shape {values.shape}.")
    if np.isnan(values).any():
        raise DataError(f"{int(np.isnan(values).sum())} scores of {what} pictures are NaN.")
    return values
