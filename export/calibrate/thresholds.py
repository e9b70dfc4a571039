"""From scores of hold-out good parts and pseudo-anomalies to the manifest's thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.thresholds.recalibrate import MAP_QUANTILE
from calibration.thresholds.threshold import (
    GridSearch,
    ThresholdChoice,
    choose_threshold,
    fit_normalisation,
    grid_search,
    prefer_grid,
)
from edge_app.bundle.manifest import Thresholds
from edge_app.inspection.inspector import Inspector
from edge_app.records import F64Array, U8Array
from export.augment import pseudo_anomaly

BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores and map maxima of one set of crops."""

    scores: F64Array
    map_peaks: F64Array


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What calibration found, for the manifest and the report."""

    thresholds: Thresholds
    choice: ThresholdChoice
    grid: GridSearch
    good: Scored
    bad: Scored
    recall: float


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


def add_anomalies(crops: Sequence[U8Array], mask: U8Array | None, seed: int) -> list[U8Array]:
    """Return each crop with one pseudo-anomaly; seeded apart from training."""
    rng = np.random.default_rng([seed, 1])
    return [pseudo_anomaly(rng, crop, mask).crop_hwc for crop in crops]


def calibrate(good: Scored, bad: Scored, false_alarm_rate: float, defects_from: str) -> Calibration:
    """Choose the thresholds from good parts' scores and from defects.

    The paper's grid search on the normalised score chooses, within the false-alarm budget; where
    the budget's own threshold lies between two points of the grid and finds more, that one is
    taken (`prefer_grid`).

    Args:
        defects_from: where `bad` comes from, for the manifest and the report.

    Raises:
        DataError: scores are missing or not finite, or defects score no higher than good parts.
    """
    normalisation = fit_normalisation(good.scores, bad.scores)
    budget = choose_threshold(good.scores, false_alarm_rate)
    grid = grid_search(
        [np.array([s]) for s in good.scores],
        [np.array([s]) for s in bad.scores],
        normalisation,
        false_alarm_rate,
    )
    choice = prefer_grid(budget, grid, good.scores, bad.scores)
    thresholds = Thresholds(
        score_threshold=choice.threshold,
        map_threshold=float(np.quantile(good.map_peaks, MAP_QUANTILE)),
        threshold_id="calibrated-1",
        normalisation=normalisation,
        false_alarm_rate=false_alarm_rate,
        calibration_scores=tuple(sorted(float(s) for s in good.scores)),
        defects_from=defects_from,
        promise=choice.promise,
    )
    recall = float((bad.scores >= choice.threshold).mean())
    return Calibration(thresholds, choice, grid, good, bad, recall)
