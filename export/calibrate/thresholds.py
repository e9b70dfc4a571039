"""From scores of hold-out good parts and pseudo-anomalies to the manifest's thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.thresholds.recalibrate import MAP_QUANTILE
from calibration.thresholds.suspect import suspect_limit
from calibration.thresholds.threshold import (
    GridSearch,
    ThresholdChoice,
    grid_search,
    nominal_rank,
    nominal_threshold,
    prefer_grid,
)
from edge_app.bundle.thresholds import (
    LimitOrigin,
    Normalisation,
    OperatingPoint,
    Sensitivity,
    Thresholds,
    clear_recall,
    weakness,
)
from edge_app.inspection.inspector import Inspector
from edge_app.records import F64Array, U8Array
from export.augment.defect_like import DEFECT_KINDS, SIZES, Size, synthetic_defect
from export.defects.evidence import CrossFitted, per_group

BATCH = 16

SYNTHETIC = "synthetic defects"
"""What the manifest calls the defects that a limit was tried on where no real ones were given."""

MIN_CLEAR = 10
"""Fewer large synthetic defects say nothing of clearly visible ones."""

Label = tuple[str, Size]
"""Kind and size of a synthetic defect."""

POINT_RATES = (0.005, 0.01, 0.02, 0.05)
"""Nominal false-alarm rates whose limits stand in the manifest and the report beside the chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores and map maxima of one set of crops."""

    scores: F64Array
    map_peaks: F64Array


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What calibration found, for the manifest and the report.

    Attributes:
        good: one score per independent good part.
        bad: of the defects the limit was tried on.
        recall: share of them at or above it.
        sensitivity: the same of the synthetic ones by kind and size.
        bad_are_real: a person gave them.
    """

    thresholds: Thresholds
    choice: ThresholdChoice
    grid: GridSearch
    good: Scored
    bad: Scored
    recall: float
    sensitivity: tuple[Sensitivity, ...] = ()
    bad_are_real: bool = False

    @property
    def clear_recall(self) -> float | None:
        """Share caught of the large synthetic defects; None for fewer than MIN_CLEAR."""
        large = sum(row.count for row in self.sensitivity if row.size == "large")
        return clear_recall(self.sensitivity) if large >= MIN_CLEAR else None

    @property
    def weakness(self) -> str | None:
        """A sentence where the limit misses most clearly visible defects."""
        return weakness(self.clear_recall)

    def with_confirmed(self, defective: int, harmless: int) -> Calibration:
        """Return it with what a person said of odd parts, as far as the manifest has it."""
        origin = self.thresholds.origin
        if origin is None:
            return self
        counts = {"confirmed_defective": defective, "confirmed_harmless": harmless}
        changed = {"origin": origin.model_copy(update=counts)}
        return replace(self, thresholds=self.thresholds.model_copy(update=changed))


def score_crops(
    inspector: Inspector, crops: Sequence[U8Array], progress: Callable[[float], None]
) -> Scored:
    """Return every crop's score and map maximum."""
    scores: list[float] = []
    peaks: list[float] = []
    for start in range(0, len(crops), BATCH):
        for anomaly in inspector.score(crops[start : start + BATCH]):
            scores.append(anomaly.score)
            peaks.append(float(anomaly.map_hw.max()))
        progress(len(scores) / len(crops))
    return Scored(np.array(scores), np.array(peaks))


def add_anomalies(
    crops: Sequence[U8Array], mask: U8Array | None, seed: int
) -> tuple[list[U8Array], tuple[Label, ...]]:
    """Return each crop with one synthetic defect, and what it is; seeded apart from training."""
    rng = np.random.default_rng([seed, 1])
    kinds = DEFECT_KINDS[:-1]  # a crop without its product is no crop
    labels = tuple(
        (kinds[i % len(kinds)], SIZES[(i + i // len(kinds)) % 3]) for i in range(len(crops))
    )
    drawn = [
        synthetic_defect(rng, crop, mask, kind, size).pixels_hwc
        for crop, (kind, size) in zip(crops, labels, strict=True)
    ]
    return drawn, labels


@dataclass(frozen=True, slots=True, eq=False)
class Defects:
    """What the limit is tried on.

    Attributes:
        scores: of defects.
        source: for the manifest and the report.
        are_real: only real ones may raise the limit, where that costs no detection.
        labels: kind and size of each synthetic one.
    """

    scores: Scored
    source: str
    are_real: bool
    labels: tuple[tuple[str, str], ...] = ()


def calibrate(good: Scored, defects: Defects, false_alarm_rate: float) -> Calibration:
    """Choose the thresholds from hold-out good parts' scores.

    Raises:
        DataError: scores are missing or not finite.
    """
    choice = nominal_threshold(good.scores, false_alarm_rate, is_cross_fitted=False)
    sensitivity = _sensitivity(defects.labels, defects.scores.scores, choice.threshold)
    return _calibration(choice, good, defects, None, sensitivity)


def calibrate_cross_fitted(
    found: CrossFitted, defects: Defects | None, false_alarm_rate: float
) -> Calibration:
    """Choose the thresholds from how models that had not seen them judged all good parts.

    Near-duplicates count once, with their largest score.

    Args:
        defects: real ones, scored by the shipped model; None: the folds' synthetic ones.

    Raises:
        DataError: scores are missing or not finite.
    """
    good = Scored(*(per_group(v, found.groups) for v in (found.good, found.good_peaks)))
    choice = nominal_threshold(good.scores, false_alarm_rate, is_cross_fitted=True)
    count = choice.good_count
    sensitivity = sensitivity_of(found, choice.threshold)
    origin = LimitOrigin(
        good_parts=count,
        groups=count,
        folds=found.folds,
        rank=nominal_rank(count, false_alarm_rate),
        nominal_rate=false_alarm_rate,
        expected_rate=nominal_rank(count, false_alarm_rate) / (count + 1),
        rate_bound=choice.rate_bound,
        operating_points=operating_points(good.scores, found.defects, is_cross_fitted=True),
        sensitivity=sensitivity,
    )
    if defects is None:
        scores = Scored(_within(found.defects, good.scores), np.zeros(len(found.defects)))
        defects = Defects(scores, SYNTHETIC, are_real=False)
    return _calibration(choice, good, defects, origin, sensitivity)


def operating_points(
    good: F64Array,
    defects: F64Array,
    is_cross_fitted: bool,
    rates: Sequence[float] = POINT_RATES,
) -> tuple[OperatingPoint, ...]:
    """Return the limits of nominal rates and what each catches of the defects.

    Args:
        good: (n,) one score per independent good part.
        defects: (d,) scores; −inf for one that no crop shows.
    """
    limits = [nominal_threshold(good, rate, is_cross_fitted).threshold for rate in rates]
    return tuple(
        OperatingPoint(
            nominal_rate=rate,
            rank=nominal_rank(len(good), rate),
            threshold=limit,
            synthetic_recall=_share_at(defects, limit),
        )
        for rate, limit in zip(rates, limits, strict=True)
    )


def sensitivity_of(found: CrossFitted, limit: float) -> tuple[Sensitivity, ...]:
    """Return the share of synthetic defects at or above the limit, by kind and size."""
    return _sensitivity(found.labels, found.defects, limit)


def _sensitivity(
    labels: Sequence[tuple[str, str]], defects: F64Array, limit: float
) -> tuple[Sensitivity, ...]:
    """Return the shares of (d,) scores; none for real defects, which have no labels."""
    if not labels:
        return ()
    rows: dict[tuple[str, str], list[float]] = {}
    for label, score in zip(labels, defects.tolist(), strict=True):
        rows.setdefault(label, []).append(score)
    return tuple(
        Sensitivity.model_validate(
            {
                "kind": kind,
                "size": size,
                "count": len(scores),
                "recall": sum(score >= limit for score in scores) / len(scores),
            }
        )
        for (kind, size), scores in sorted(rows.items())
    )


def _calibration(
    choice: ThresholdChoice,
    good: Scored,
    defects: Defects,
    origin: LimitOrigin | None,
    sensitivity: tuple[Sensitivity, ...],
) -> Calibration:
    bad = defects.scores
    normalisation = _normalisation(good.scores, bad.scores, choice.threshold)
    grid = grid_search(
        [np.array([s]) for s in good.scores],
        [np.array([s]) for s in bad.scores],
        normalisation,
        choice.budget_rate,
    )
    if defects.are_real:
        choice = prefer_grid(choice, grid, good.scores, bad.scores)
    thresholds = Thresholds(
        score_threshold=choice.threshold,
        map_threshold=float(np.quantile(good.map_peaks, MAP_QUANTILE)),
        threshold_id="calibrated-1",
        normalisation=normalisation,
        false_alarm_rate=choice.budget_rate,
        calibration_scores=tuple(sorted(float(s) for s in good.scores)),
        defects_from=defects.source,
        promise=choice.promise,
        suspect_threshold=suspect_limit(good.scores, choice.threshold),
        origin=origin,
    )
    recall = _share_at(bad.scores, choice.threshold)
    return Calibration(thresholds, choice, grid, good, bad, recall, sensitivity, defects.are_real)


def _normalisation(good: F64Array, bad: F64Array, limit: float) -> Normalisation:
    """Return the line from the good median (0) to what most defects reach (1), above the limit."""
    low = float(np.median(good))
    seen = bad[np.isfinite(bad)]
    high = float(np.quantile(seen, 0.9)) if len(seen) else limit
    return Normalisation(low=low, high=max(high, limit, low + 1e-6))


def _within(scores: F64Array, good: F64Array) -> F64Array:
    """Return finite scores: lost parts score like the best good one, missing ones highest."""
    seen = np.concatenate([scores[np.isfinite(scores)], good])
    return np.clip(scores, seen.min(), seen.max())


def _share_at(scores: F64Array, limit: float) -> float:
    return float((scores >= limit).mean()) if len(scores) else 0.0
