"""The thresholds of a bundle's variant and where they come from, as in manifest.json."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edge_app.bundle.strict import Finite, GrownModel, Share, StrictModel

Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Rank = Annotated[int, Field(ge=1)]


class Normalisation(StrictModel):
    """The monotone map from scores to the 0..1 axis of the threshold grid, fixed at calibration.

    `normalised = (score - low) / (high - low)`, clipped to 0..1.
    """

    low: Finite
    high: Finite


def normalise(score: float, normalisation: Normalisation) -> float:
    """Return a score on the 0..1 axis of the threshold grid; NaN stays NaN."""
    if math.isnan(score):
        return score
    span = normalisation.high - normalisation.low
    if span <= 0:
        return float(score >= normalisation.high)
    return min(1.0, max(0.0, (score - normalisation.low) / span))


class OperatingPoint(StrictModel):
    """Another threshold that the same scores carry.

    Attributes:
        nominal_rate: the false-alarm rate asked for, as a fraction of good parts.
        rank: the threshold is the rank-th largest score of the good parts.
        threshold: that score.
        synthetic_recall: share of the synthetic anomalies at or above it.
    """

    nominal_rate: Rate
    rank: Rank
    threshold: Finite
    synthetic_recall: Share


class Sensitivity(StrictModel):
    """The share of one kind of synthetic anomalies at or above the threshold.

    Attributes:
        kind: what they imitate, e.g. "scratch".
        size: "" where the kind has no sizes.
        count: how many were scored.
        recall: share of them at or above the threshold.
    """

    kind: Annotated[str, Field(min_length=1, max_length=64)]
    size: Literal["small", "medium", "large", ""] = ""
    count: Rank
    recall: Share


WEAK_BELOW = 0.5
"""Share of the large synthetic defects; a bundle that catches fewer is weak."""


def clear_recall(sensitivity: Iterable[Sensitivity]) -> float | None:
    """Return the share caught of the synthetic defects that nobody could overlook: the large ones.

    None without any.
    """
    large = [row for row in sensitivity if row.size == "large"]
    count = sum(row.count for row in large)
    return sum(row.recall * row.count for row in large) / count if count else None


def weakness(clear: float | None) -> str | None:
    """Return the sentence for a bundle that catches too few of the clearly visible defects.

    Args:
        clear: of `clear_recall`; None: nobody has measured it, and nothing is said.
    """
    if clear is None or clear >= WEAK_BELOW:
        return None
    return (
        "This bundle misses more than half of clearly visible defects: it catches "
        f"{clear:.0%} of large synthetic ones."
    )


class LimitOrigin(StrictModel):
    """How a cross-fitted threshold was found: every good part scored by a model that never saw it.

    Attributes:
        good_parts: n, how many good parts were scored.
        groups: groups of near-duplicates among them; a group is never split between folds.
        folds: models fitted, each without one fold.
        rank: k, the threshold is the k-th largest score; k − 1 good parts are forgiven.
        nominal_rate: the false-alarm rate asked for.
        expected_rate: k / (n + 1).
        rate_bound: the false-alarm rate is below it with 95 % confidence.
        operating_points: other thresholds on the same scores.
        sensitivity: recall on synthetic anomalies by kind and size.
        confirmed_defective: parts that a person called defective; they count as no good part.
        confirmed_harmless: parts that a person called good in spite of their score.
    """

    good_parts: Rank
    groups: Rank
    folds: Annotated[int, Field(ge=2)]
    rank: Rank
    nominal_rate: Rate
    expected_rate: Rate
    rate_bound: Annotated[float, Field(gt=0, le=1)]
    operating_points: tuple[OperatingPoint, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    confirmed_defective: Count = 0
    confirmed_harmless: Count = 0

    @model_validator(mode="after")
    def _is_possible(self) -> LimitOrigin:
        if max(self.rank, self.groups) > self.good_parts:
            raise ValueError(
                f"{self.good_parts} good parts have no {self.rank}-th score in {self.groups} groups"
            )
        if not math.isclose(self.expected_rate, self.rank / (self.good_parts + 1), rel_tol=1e-6):
            raise ValueError(
                f"expected_rate is {self.expected_rate}, expected rank / (good_parts + 1)"
            )
        return self


CROSS_FITTED: Literal["cross-fitted, measured"] = "cross-fitted, measured"

Promise = Literal["guaranteed", "extrapolated, not guaranteed", "cross-fitted, measured"]
"""How a false-alarm budget is backed: enough held-out good parts for 95 % confidence, a tail fit,
or scores of every good part by models that never saw it (since format 2)."""


class Thresholds(GrownModel):
    """The thresholds. Not part of the graph: adjustable on the device, with an audit trail.

    Attributes:
        score_threshold: a part with `score >= score_threshold` is NG.
        map_threshold: areas of the map above it become defect polygons.
        threshold_id: names this set in every alert, e.g. "calibrated-1".
        false_alarm_rate: the budget, as a fraction of good parts.
        calibration_scores: one per hold-out good part, ascending.
        defects_from: the defects used in calibration ("pseudo-anomalies", "3 real defects").
        promise: how the budget is backed.
        softmax_threshold: a defect class below it is "unknown".
        suspect_threshold: a part with `suspect_threshold <= score < score_threshold` is OK and
            marked suspect; None: no part is.
        origin: how a cross-fitted threshold was found; None for any other.
    """

    SINCE_2: ClassVar[frozenset[str]] = frozenset({"suspect_threshold", "origin"})

    score_threshold: Finite
    map_threshold: Finite
    threshold_id: str
    normalisation: Normalisation
    false_alarm_rate: Rate
    calibration_scores: tuple[Finite, ...]
    defects_from: str
    promise: Promise = "extrapolated, not guaranteed"
    softmax_threshold: Share = 0.5
    suspect_threshold: Finite | None = None
    origin: LimitOrigin | None = None

    @field_validator("calibration_scores")
    @classmethod
    def _is_calibrated(cls, scores: tuple[float, ...]) -> tuple[float, ...]:
        if not scores:
            raise ValueError("is empty: an uncalibrated bundle is refused; run edge-calibrate")
        if list(scores) != sorted(scores):
            raise ValueError("must be ascending")
        return scores

    @model_validator(mode="after")
    def _is_coherent(self) -> Thresholds:
        suspect = self.suspect_threshold
        if suspect is not None and suspect > self.score_threshold:
            raise ValueError(
                f"suspect_threshold {suspect} is above score_threshold {self.score_threshold}"
            )
        if (self.promise == CROSS_FITTED) != (self.origin is not None):
            raise ValueError(f"promise {self.promise!r} and origin disagree")
        return self
