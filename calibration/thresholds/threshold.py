"""From calibration scores to a threshold: false-alarm budget, grid search.

Thresholds are data: nothing here touches a graph, and the normalisation is fixed at calibration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.thresholds.tail import fit_tail
from edge_app.binomial import CONFIDENCE, rate_bound
from edge_app.bundle.manifest import Normalisation, Promise, normalise
from edge_app.bundle.thresholds import CROSS_FITTED
from edge_app.errors import DataError
from edge_app.records import F64Array

GRID = tuple(round(0.1 + 0.05 * i, 2) for i in range(17))
"""Thresholds tried on the normalised score, 0.1 to 0.9, as in the paper (Le and Kim)."""

GUARANTEED: Promise = "guaranteed"
EXTRAPOLATED: Promise = "extrapolated, not guaranteed"


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold and what it promises.

    Attributes:
        threshold: `score >= threshold` is NG.
        good_count: good parts it rests on, one score per part.
        false_alarms: good calibration parts at or above it.
        rate_bound: upper confidence bound of the true false-alarm rate, 0..1 (Beta quantile).
        is_guaranteed: `rate_bound` is within the budget. False: too few parts, see `needed_count`.
        needed_count: good parts with which the budget could be guaranteed.
        smallest_rate: the smallest rate that so many parts could guarantee.
        is_cross_fitted: the scores are by models that had not seen the part, not by the one that is
            shipped.
        promise: GUARANTEED, EXTRAPOLATED or CROSS_FITTED; goes into manifest and report.
    """

    threshold: float
    budget_rate: float
    good_count: int
    false_alarms: int
    rate_bound: float
    is_guaranteed: bool
    needed_count: int
    smallest_rate: float
    is_cross_fitted: bool = False

    @property
    def expected_rate(self) -> float:
        """Share of further good parts to expect at or above the threshold: k / (n + 1)."""
        return max(1, self.false_alarms) / (self.good_count + 1)

    @property
    def promise(self) -> Promise:
        if self.is_cross_fitted:
            return CROSS_FITTED
        return GUARANTEED if self.is_guaranteed else EXTRAPOLATED


@dataclass(frozen=True, slots=True)
class GridPoint:
    """What one threshold finds among the calibration parts."""

    threshold: float
    regions_found: int
    false_positives: int


@dataclass(frozen=True, slots=True)
class GridSearch:
    """The paper's curve and the point chosen on it.

    Attributes:
        points: one per threshold of GRID, ascending.
        chosen: most regions found among those within the false-positive limit.
        score_threshold: `chosen` on the scale of the scores.
        is_within_limit: False when no point kept the limit; `chosen` then has the fewest.
    """

    points: tuple[GridPoint, ...]
    chosen: GridPoint
    score_threshold: float
    normalisation: Normalisation
    is_within_limit: bool


def choose_threshold(good_scores: F64Array, budget_rate: float) -> ThresholdChoice:
    """Return the lowest threshold that keeps good parts within a false-alarm budget.

    With enough parts the true rate is at most the budget at 95 % confidence (split-conformal order
    statistic, Beta bound). With too few the threshold is read off a tail fitted to the largest
    scores, and the choice says that it is extrapolated, not guaranteed.

    Args:
        good_scores: (n,) scores of hold-out good parts, one per part.
        budget_rate: allowed share of good parts alarmed, e.g. 0.005.

    Raises:
        DataError: no scores, a NaN among them, or a budget outside 0..1.
    """
    scores = _checked_for(budget_rate, good_scores)
    alarms = _allowed_alarms(len(scores), budget_rate)
    ordered = np.sort(scores)[::-1]
    if alarms >= 0:
        threshold = float(np.nextafter(ordered[min(alarms, len(ordered) - 1)], np.inf))
    else:
        threshold = _extrapolated(scores, budget_rate)
    return _choice(scores, budget_rate, threshold, alarms >= 0)


def nominal_rank(count: int, rate: float) -> int:
    """Return k = max(1, round(rate · (count + 1))): the k-th largest score is the limit.

    A further good part reaches it with probability k / (count + 1); k − 1 odd parts are forgiven.
    """
    return min(count, max(1, round(rate * (count + 1))))


def nominal_threshold(
    good_scores: F64Array, nominal_rate: float, is_cross_fitted: bool
) -> ThresholdChoice:
    """Return the threshold at a nominal rate: the k-th largest score, see `nominal_rank`.

    So many parts carry it, whatever the shape of their scores' tail: nothing is extrapolated, and
    nothing raises it because the defects it is tried on are easy to see.

    Args:
        good_scores: (n,) one score per independent good part.
        nominal_rate: share of good parts that may be alarmed, in expectation.

    Raises:
        DataError: no scores, a NaN among them, or a rate outside 0..1.
    """
    scores = _checked_for(nominal_rate, good_scores)
    rank = nominal_rank(len(scores), nominal_rate)
    threshold = float(np.sort(scores)[::-1][rank - 1])
    bound = rate_bound(rank - 1, len(scores))  # of Beta(k, n + 1 − k), the law of the true rate
    is_guaranteed = not is_cross_fitted and bound <= nominal_rate
    choice = _choice(scores, nominal_rate, threshold, is_guaranteed)
    return replace(choice, rate_bound=bound, is_cross_fitted=is_cross_fitted)


def _extrapolated(scores: F64Array, budget_rate: float) -> float:
    """Return the budget's threshold on the fitted tail; above all scores where none can be fitted.

    A budget within the scores' own range is read off their order, not off the tail.
    """
    tail = fit_tail(scores)
    if tail is None:
        return float(np.nextafter(scores.max(), np.inf))
    if budget_rate >= tail.share:
        return float(np.nextafter(np.quantile(scores, 1.0 - budget_rate), np.inf))
    return tail.threshold(budget_rate)


def prefer_grid(
    choice: ThresholdChoice, grid: GridSearch, good_scores: F64Array, bad_scores: F64Array
) -> ThresholdChoice:
    """Return the grid search's threshold where it costs no detection, else the budget's own.

    The grid is coarse: where a threshold between two of its points finds more defects within the
    budget, that one stays. Where the grid's point finds as many, it leaves good parts more room.

    Args:
        choice: from `choose_threshold` on `good_scores`.
        grid: from `grid_search` on the same scores.
    """
    at = grid.score_threshold
    found, found_on_grid = (np.count_nonzero(bad_scores >= t) for t in (choice.threshold, at))
    if not grid.is_within_limit or at < choice.threshold or found_on_grid < found:
        return choice
    alarms = int(np.count_nonzero(good_scores >= at))
    bound = rate_bound(alarms, choice.good_count)
    return replace(choice, threshold=at, false_alarms=alarms, rate_bound=bound)


def _choice(
    scores: F64Array, budget_rate: float, threshold: float, is_guaranteed: bool
) -> ThresholdChoice:
    counted = int(np.count_nonzero(scores >= threshold))
    return ThresholdChoice(
        threshold=threshold,
        budget_rate=budget_rate,
        good_count=len(scores),
        false_alarms=counted,
        rate_bound=rate_bound(counted, len(scores)),
        is_guaranteed=is_guaranteed,
        needed_count=math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-budget_rate)),
        smallest_rate=1.0 - (1.0 - CONFIDENCE) ** (1.0 / len(scores)),
    )


def _allowed_alarms(count: int, budget_rate: float) -> int:
    """Return the most alarms among `count` whose bound keeps the budget; −1 if none does."""
    alarms = -1
    while alarms + 1 < count and rate_bound(alarms + 1, count) <= budget_rate:
        alarms += 1
    return alarms


def grid_search(
    good_region_peaks: Sequence[F64Array],
    bad_region_peaks: Sequence[F64Array],
    normalisation: Normalisation,
    max_false_positive_rate: float,
) -> GridSearch:
    """Return the paper's grid search: most anomaly regions found without too many false positives.

    Args:
        good_region_peaks: per good part, the scores of its candidate regions (the part's own score
            where it has just one).
        bad_region_peaks: the same per defective part, for regions that meet a true defect.
        normalisation: fixed scale on which GRID is read.
        max_false_positive_rate: allowed false-positive regions per good part.

    Raises:
        DataError: there are no good or no defective parts, or a score is NaN.
    """
    good = _normalised(_checked(_joined(good_region_peaks), "good parts"), normalisation)
    bad = _normalised(_checked(_joined(bad_region_peaks), "defects"), normalisation)
    points = tuple(
        GridPoint(t, int(np.count_nonzero(bad >= t)), int(np.count_nonzero(good >= t)))
        for t in GRID
    )
    limit = max_false_positive_rate * len(good_region_peaks)
    allowed = [p for p in points if p.false_positives <= limit]
    chosen = _best(allowed) if allowed else min(points, key=lambda p: p.false_positives)
    at = normalisation.low + chosen.threshold * (normalisation.high - normalisation.low)
    return GridSearch(points, chosen, at, normalisation, bool(allowed))


def _best(points: Sequence[GridPoint]) -> GridPoint:
    """Most regions found; among equals fewest false positives, then the middle of the equals.

    The middle leaves as much room to the good parts as to the weakest defect found.
    """
    best = max((p.regions_found, -p.false_positives) for p in points)
    equals = [p for p in points if (p.regions_found, -p.false_positives) == best]
    return equals[len(equals) // 2]


def _normalised(scores: F64Array, normalisation: Normalisation) -> F64Array:
    return np.array([normalise(float(s), normalisation) for s in scores], np.float64)


def _joined(parts: Sequence[F64Array]) -> F64Array:
    return np.concatenate([np.asarray(p, np.float64) for p in parts]) if parts else np.zeros(0)


def _checked_for(rate: float, good_scores: F64Array) -> F64Array:
    """Return good parts' scores that can give a threshold for a false-alarm rate."""
    scores = _checked(good_scores, "good parts")
    if not 0.0 < rate < 1.0:
        raise DataError(f"A false-alarm rate lies between 0 and 1, got {rate}.")
    return scores


def _checked(scores: F64Array, what: str) -> F64Array:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"Calibration needs scores of {what}, got shape {values.shape}.")
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise DataError(f"{bad} of {values.size} scores of {what} are not finite: check the model.")
    return values
