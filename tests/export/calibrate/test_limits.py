"""Limits from good parts' scores: at a nominal rate, whatever the defects they are tried on."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds.threshold import nominal_threshold
from edge_app.bundle.thresholds import clear_recall
from edge_app.errors import DataError
from export.calibrate.thresholds import (
    POINT_RATES,
    SYNTHETIC,
    Calibration,
    Defects,
    Scored,
    calibrate,
    calibrate_cross_fitted,
    sensitivity_of,
)
from export.defects.evidence import CrossFitted, per_group

pytestmark = pytest.mark.needs("the extra train")

GOOD = np.random.default_rng(0).permutation(100) / 10


def scored(values: object) -> Scored:
    array = np.asarray(values, np.float64)
    return Scored(array, array)


def folds(defects: list[float], groups: np.ndarray | None = None) -> CrossFitted:
    """100 good parts at 0.0 to 9.9, and defects, the first half of them small cracks."""
    labels = [
        ("crack", "small") if 2 * i < len(defects) else ("stain", "large")
        for i in range(len(defects))
    ]
    of = np.arange(100) if groups is None else groups
    return CrossFitted(10, of, GOOD, GOOD + 1, np.array(defects), tuple(labels))


def held_out(bad: object, are_real: bool = False, good: object = GOOD) -> Calibration:
    source = "3 real defects" if are_real else SYNTHETIC
    return calibrate(scored(good), Defects(scored(bad), source, are_real), 0.02)


def test_the_limit_is_the_second_largest_of_a_hundred() -> None:
    """k = round(0.02 · 101) = 2; expected 2 in 101, at most 4.7 % (Beta, 95 %)."""
    found = calibrate_cross_fitted(folds([9.8, 9.7, 50.0, 1.0]), None, 0.02)
    limits = found.thresholds
    assert limits.score_threshold == 9.8
    assert limits.promise == "cross-fitted, measured"
    assert limits.defects_from == SYNTHETIC
    assert len(limits.calibration_scores) == 100
    origin = limits.origin
    assert origin is not None
    assert (origin.good_parts, origin.folds, origin.rank) == (100, 10, 2)
    assert origin.expected_rate == pytest.approx(2 / 101)
    assert origin.rate_bound == pytest.approx(0.0466, abs=2e-4)
    assert found.recall == 0.5


def test_other_rates_stand_beside_it_with_their_recall() -> None:
    """0.5, 1, 2 and 5 %: ranks 1, 1, 2, 5."""
    found = calibrate_cross_fitted(folds([9.9, 9.8, 9.5, 0.0]), None, 0.02)
    assert found.thresholds.origin is not None
    points = found.thresholds.origin.operating_points
    assert tuple(p.nominal_rate for p in points) == POINT_RATES
    assert [p.rank for p in points] == [1, 1, 2, 5]
    assert [p.threshold for p in points] == [9.9, 9.9, 9.8, 9.5]
    assert [p.synthetic_recall for p in points] == [0.25, 0.25, 0.5, 0.75]


def test_near_duplicates_count_once_with_their_largest_score() -> None:
    """Ten frames of one part are one good part."""
    groups = np.arange(100)
    top = np.argsort(GOOD)[::-1][:10]
    groups[top] = groups[top[0]]
    found = calibrate_cross_fitted(folds([50.0], groups), None, 0.02)
    assert found.choice.good_count == len(found.good.scores) == 91
    assert found.thresholds.score_threshold == 8.9
    values = per_group(np.array([1.0, 3.0, 2.0]), np.array([7, 7, 4]))
    assert values.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("height", [10.0, 50.0, 1e6])
def test_easy_synthetic_defects_do_not_raise_the_limit(height: float) -> None:
    """Between 9.8 and the defects lies room, and it is not used: real defects may lie there."""
    assert (
        calibrate_cross_fitted(folds([height] * 20), None, 0.02).thresholds.score_threshold == 9.8
    )
    assert held_out([height] * 20).thresholds.score_threshold == 9.8


def test_real_defects_may_raise_it_where_that_costs_no_detection() -> None:
    """The grid's middle point between the good parts and what a person calls a defect."""
    real = Defects(scored([30.0, 40.0, 50.0]), "3 real defects", are_real=True)
    for found in (
        held_out([30.0, 40.0, 50.0], True),
        calibrate_cross_fitted(folds([]), real, 0.02),
    ):
        assert 9.9 < found.thresholds.score_threshold < 30
        assert found.recall == 1.0
        assert found.thresholds.defects_from == "3 real defects"


def test_defects_that_score_like_good_parts_are_told_by_the_recall() -> None:
    """They end no build: the limit holds for good parts, and the recall says what it misses."""
    found = held_out([1.0, 2.0, 3.0])
    assert found.thresholds.score_threshold == 9.8
    assert found.recall == 0.0
    assert found.thresholds.normalisation.high >= 9.8
    assert held_out(np.ones(9), good=np.ones(30)).thresholds.normalisation.high > 1.0


def test_defects_that_the_way_to_the_crop_lost_are_missed() -> None:
    """They have no score; the build goes on, and they count in every share."""
    lost = -np.inf
    found = calibrate_cross_fitted(folds([lost, 50.0, lost, 50.0]), None, 0.02)
    assert found.recall == 0.5
    assert np.isfinite(found.bad.scores).all()
    assert [row.recall for row in found.sensitivity] == [0.5, 0.5]
    alone = calibrate_cross_fitted(folds([lost, lost]), None, 0.02)
    assert (alone.recall, alone.thresholds.score_threshold) == (0.0, 9.8)


def test_held_out_parts_make_no_cross_fitted_promise() -> None:
    """The shipped model's own scores: no folds to tell of."""
    found = held_out([50.0])
    assert found.thresholds.promise == "extrapolated, not guaranteed"
    assert found.thresholds.origin is None
    assert found.choice == nominal_threshold(GOOD, 0.02, is_cross_fitted=False)


def test_the_scale_does_not_follow_one_wild_defect() -> None:
    """One a thousand times stranger than the rest leaves the axis as it was."""
    bad = np.linspace(20, 30, 100)
    plain, wild = held_out(bad), held_out(np.append(bad, 3000.0))
    assert wild.thresholds.normalisation.high == pytest.approx(
        plain.thresholds.normalisation.high, abs=0.2
    )
    assert plain.thresholds.normalisation.low == pytest.approx(np.median(GOOD))


def test_shares_by_kind_and_size_by_hand() -> None:
    """Rows sorted by kind and size; what nobody overlooks are the large ones."""
    found = folds([9.8, 0.0, 50.0, 50.0])
    rows = sensitivity_of(found, 9.8)
    assert [(r.kind, r.size, r.count, r.recall) for r in rows] == [
        ("crack", "small", 2, 0.5),
        ("stain", "large", 2, 1.0),
    ]
    assert clear_recall(rows) == 1.0
    assert clear_recall(rows[:1]) is None
    assert sensitivity_of(folds([]), 9.8) == ()


@pytest.mark.parametrize("good", [[], [1.0, float("nan")]])
def test_scores_that_are_none_are_refused(good: list[float]) -> None:
    """No good part, or one without a score."""
    with pytest.raises(DataError, match="good parts"):
        held_out([1.0], good=good)
