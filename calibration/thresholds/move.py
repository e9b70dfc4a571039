"""A bundle's limit moved to another false-alarm rate without a picture and without training.

The manifest holds the good parts' scores. The k-th largest of them is the limit of a nominal rate,
as at build; what synthetic defects it catches is known at the operating points that the manifest
states, and between two of them it is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.thresholds.golden_check import Rejudged
from calibration.thresholds.keep import WriteRules
from calibration.thresholds.recalibrate import REFERENCE, LimitChange, next_id, write_limits
from calibration.thresholds.suspect import suspect_limit
from calibration.thresholds.threshold import ThresholdChoice, nominal_rank, nominal_threshold
from edge_app.bundle.archive import read_bundle
from edge_app.bundle.thresholds import (
    CROSS_FITTED,
    LimitOrigin,
    OperatingPoint,
    Thresholds,
    clear_recall,
    weakness,
)


@dataclass(frozen=True, slots=True)
class Moved:
    """The rewritten bundle and what its limit promises.

    Attributes:
        old_threshold: before.
        rank: the limit is the rank-th largest score.
        synthetic_recall: share of synthetic defects at or above it, interpolated; None where the
            manifest states no operating points on both sides.
        suspect_threshold: the new one; None where the bundle has none.
        dropped: precisions that are no longer in it: their limits followed the old one.
        was_weak: what is said of it at the old limit, where the new one is higher still; else None.
        lost_sensitivity: what was measured by kind and size belongs to the old limit and is gone.
        golden: what became of the golden set.
        backup: what was replaced is kept there.
    """

    sha256: str
    choice: ThresholdChoice
    old_threshold: float
    rank: int
    synthetic_recall: float | None
    suspect_threshold: float | None
    dropped: tuple[str, ...]
    was_weak: str | None
    lost_sensitivity: bool
    golden: Rejudged
    backup: Path | None


def move_limit(
    bundle_path: Path, rate: float, out: Path | None = None, rules: WriteRules | None = None
) -> Moved:
    """Set the limit of a nominal rate from the scores that the manifest holds.

    Works on the fp32 variant, from which the others are made; those have to be made again. Golden
    pictures keep their scores and get the verdicts of the new limit.

    Args:
        rate: share of good parts that may be alarmed, in expectation.
        out: where to write; None rewrites the bundle in place.
        rules: None: nothing is accepted, no backup.

    Raises:
        DataError: the rate is not between 0 and 1, a golden defect would be OK, or no golden
            picture is left to check by.
    """
    bundle = read_bundle(bundle_path)
    old = bundle.variant(REFERENCE).thresholds
    scores = np.array(old.calibration_scores)
    choice = nominal_threshold(scores, rate, is_cross_fitted=old.promise == CROSS_FITTED)
    rank = nominal_rank(len(scores), rate)
    suspect = None
    if old.suspect_threshold is not None:
        suspect = suspect_limit(scores, choice.threshold)
    has_moved = choice.threshold != old.score_threshold
    changed = {
        "score_threshold": choice.threshold,
        "threshold_id": next_id(old.threshold_id),
        "false_alarm_rate": rate,
        "promise": choice.promise,
        "suspect_threshold": suspect,
        "origin": None if old.origin is None else _origin(old.origin, choice, rank, has_moved),
    }
    thresholds = Thresholds.model_validate({**dict(old), **changed})
    note = (
        f"{thresholds.threshold_id}: threshold moved from {old.score_threshold:.4f} to "
        f"{choice.threshold:.4f}, nominal rate {rate:.3%}, without training ({choice.promise})"
    )
    done, dropped, golden = write_limits(
        bundle, LimitChange(thresholds, note), out or bundle_path, rules or WriteRules()
    )
    points = old.origin.operating_points if old.origin is not None else ()
    measured = old.origin.sensitivity if old.origin is not None else ()
    is_higher = choice.threshold > old.score_threshold
    return Moved(
        done.sha256,
        choice,
        old.score_threshold,
        rank,
        stated_recall(points, rate),
        suspect,
        dropped,
        weakness(clear_recall(measured)) if is_higher else None,
        has_moved and bool(measured),
        golden,
        done.backup,
    )


def _origin(old: LimitOrigin, choice: ThresholdChoice, rank: int, has_moved: bool) -> LimitOrigin:
    """Return the origin of the moved limit; recalls at the old one are not those at the new one."""
    changed = {
        "rank": rank,
        "nominal_rate": choice.budget_rate,
        "expected_rate": rank / (old.good_parts + 1),
        "rate_bound": choice.rate_bound,
        "sensitivity": () if has_moved else old.sensitivity,
    }
    return LimitOrigin.model_validate({**dict(old), **changed})


def stated_recall(points: Sequence[OperatingPoint], rate: float) -> float | None:
    """Return the recall on synthetic defects at a rate, linear between the two nearest points.

    None outside of the points: nothing is extrapolated.
    """
    ordered = sorted(points, key=lambda point: point.nominal_rate)
    if not ordered or not ordered[0].nominal_rate <= rate <= ordered[-1].nominal_rate:
        return None
    rates = [point.nominal_rate for point in ordered]
    return float(np.interp(rate, rates, [point.synthetic_recall for point in ordered]))
