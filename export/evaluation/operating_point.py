"""A bundle at its own limit, and what its scores would allow at any other: PB2 and efficiency.

Counting is the device's: a defective picture that was not inspected is not caught, a good one that
was not inspected is no false alarm and is counted apart. Scores hold NaN where a picture was not
inspected, and +inf where it is NG whatever the limit.

Source of PB2: Baitieva et al., "Beyond Academic Benchmarks" (VIAD), arXiv 2503.23451; computed as
anomalib's PBn: the limit is the interpolated quantile of the good scores, caught is what lies above
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.errors import DataError
from edge_app.records import F64Array, JsonObject, VerdictState
from export.evaluation.image_metrics import bootstrap_interval, rate_interval, score_curve
from export.evaluation.pixel_metrics import BoolArray

PB_RATE = 0.02
"""False-alarm rate at which PB2 reads the recall off."""

_HUGE = 1e300
"""Stands for +inf where numbers are interpolated."""

LEAST_BEST_VALUE = 0.2
"""Below it no limit separates the pictures, and efficiency is not defined."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What was said of the good, or of the defective, pictures.

    Attributes:
        scores: (n,) float64; NaN where a picture was not inspected, +inf for NG without a score.
        is_ng: (n,) bool; never True where the score is NaN.
    """

    scores: F64Array
    is_ng: BoolArray

    @property
    def inspected(self) -> F64Array:
        """Scores of the pictures that were inspected, (m,) with m <= n."""
        return self.scores[~np.isnan(self.scores)]

    @property
    def not_inspected(self) -> int:
        """How many pictures were not."""
        return len(self.scores) - len(self.inspected)


@dataclass(frozen=True, slots=True)
class BestLimit:
    """The limit with the largest (recall - false-alarm rate), Youden's J.

    Attributes:
        value: that difference, 0..1; 0 where no limit is better than none.
        caught: defective pictures at or above it.
        alarms: inspected good pictures at or above it.
    """

    value: float
    caught: int
    alarms: int


def verdicts_from(rows: Sequence[JsonObject]) -> Verdicts:
    """Return the verdicts of rows as evaluation.json has them under `pictures`."""
    is_ng = [row["verdict"] == VerdictState.NG.value for row in rows]
    unscored = [np.inf if ng else np.nan for ng in is_ng]
    scores = [
        s if row["score"] is None else row["score"] for row, s in zip(rows, unscored, strict=True)
    ]
    return Verdicts(np.array(scores, np.float64), np.array(is_ng, np.bool_))


def pb2(good: F64Array, bad: F64Array) -> float:
    """Return the recall at the limit that 2 % of the good pictures reach (PB2), 0..1.

    With fewer than 50 good pictures that limit lies between the two highest of them.

    Args:
        good: (n,) scores of inspected good pictures.
        bad: (m,) scores of all defective pictures; NaN, not inspected, is missed.

    Raises:
        DataError: one of them is empty.
    """
    if not len(good) or not len(bad):
        raise DataError(f"PB2 needs both kinds, got {len(good)} good, {len(bad)} defective scores.")
    return float((bad > _pb_limit(good)).mean())


def _pb_limit(good: F64Array) -> float:
    return float(np.quantile(np.minimum(good, _HUGE), 1 - PB_RATE))


def best_limit(good: Verdicts, bad: Verdicts) -> BestLimit:
    """Return what the best of all limits would do.

    Chosen on the pictures it is measured on: an upper limit, not a forecast.

    Raises:
        DataError: no good picture was inspected.
    """
    if not len(bad.inspected):
        return BestLimit(0.0, 0, 0)
    curve = score_curve(good.inspected, bad.inspected)
    caught = np.rint(curve.recall * len(bad.inspected)).astype(int)
    alarms = np.rint(curve.false_alarms * len(good.inspected)).astype(int)
    values = caught / len(bad.scores) - alarms / len(good.inspected)
    best = int(values.argmax())
    if values[best] <= 0:
        return BestLimit(0.0, 0, 0)
    return BestLimit(float(values[best]), int(caught[best]), int(alarms[best]))


def efficiency(value: float, best: float) -> float | None:
    """Return which share of the best value the bundle's own limit makes, at most 1.

    Args:
        value: recall - false-alarm rate at the bundle's limit, -1..1.
        best: value of `best_limit`; below LEAST_BEST_VALUE nothing is returned.
    """
    return None if best < LEAST_BEST_VALUE else value / best


def operating_figures(good: Verdicts, bad: Verdicts) -> JsonObject:
    """Return the figures at the bundle's limit and those of any limit; docs/evaluation.md.

    Raises:
        DataError: there is no defective picture.
    """
    caught = int(np.count_nonzero(bad.is_ng))
    recall = caught / len(bad.scores) if len(bad.scores) else 0.0
    return {
        "caught": caught,
        "recall": recall,
        "recall_bounds": list(rate_interval(caught, len(bad.scores))),
        **_alarm_figures(good),
        **_separation_figures(good, bad, recall),
        "not_inspected": {"good": good.not_inspected, "bad": bad.not_inspected},
    }


def _alarm_figures(good: Verdicts) -> JsonObject:
    alarms, judged = int(np.count_nonzero(good.is_ng)), len(good.inspected)
    return {
        "false_alarms": alarms,
        "false_alarm_rate": alarms / judged if judged else None,
        "false_alarm_rate_bounds": list(rate_interval(alarms, judged)) if judged else None,
    }


def _separation_figures(good: Verdicts, bad: Verdicts, recall: float) -> JsonObject:
    """Return PB2 and efficiency; all None where no good picture was inspected."""
    scores = good.inspected
    if not len(scores):
        keys = ("pb2", "pb2_interval", "pb2_threshold", "value", "best_value", "efficiency")
        return dict.fromkeys(keys)
    value = recall - float(good.is_ng.sum()) / len(scores)
    best = best_limit(good, bad).value
    return {
        "pb2": pb2(scores, bad.scores),
        "pb2_interval": list(bootstrap_interval(pb2, scores, bad.scores)),
        "pb2_threshold": _pb_limit(scores),
        "value": value,
        "best_value": best,
        "efficiency": efficiency(value, best),
    }
