"""PB2, efficiency and what was not inspected, against counting by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.evaluation.answer import answer
from export.evaluation.image_metrics import bootstrap_interval, mean_interval
from export.evaluation.operating_point import (
    BestLimit,
    Verdicts,
    best_limit,
    efficiency,
    operating_figures,
    pb2,
    verdicts_from,
)

NAN = math.nan


def verdicts(scores: Sequence[float], limit: float) -> Verdicts:
    values = np.array(scores, np.float64)
    return Verdicts(values, values >= limit)


def figures(good: Sequence[float], bad: Sequence[float], limit: float) -> JsonObject:
    found = operating_figures(verdicts(good, limit), verdicts(bad, limit))
    return {**found, "good": len(good), "bad": len(bad)}


def test_pb2_reads_the_recall_at_the_98th_percentile() -> None:
    """101 good scores 0..100: the limit is 98 exactly; a score of 98 itself is not above it."""
    good = np.arange(101.0)
    assert pb2(good, np.array([97.0, 98.0, 98.5, 200.0])) == 0.5


def test_with_few_good_pictures_the_limit_lies_below_the_highest() -> None:
    """Six good scores 0..5: the 98 % quantile is 4.9 by linear interpolation."""
    assert pb2(np.arange(6.0), np.array([4.85, 4.95, 5.0, 1.0])) == 0.5


def test_a_defect_that_was_not_inspected_is_missed_by_pb2() -> None:
    """It counts among the defects and is never caught."""
    assert pb2(np.array([0.0, 1.0]), np.array([9.0, NAN, NAN, 9.0])) == 0.5


@pytest.mark.parametrize(("good", "bad"), [([], [1.0]), ([1.0], [])])
def test_pb2_of_nothing_is_refused(good: list[float], bad: list[float]) -> None:
    """A figure needs both kinds of pictures."""
    with pytest.raises(DataError, match="both kinds"):
        pb2(np.array(good), np.array(bad))


def test_the_best_value_by_hand() -> None:
    """Limit 3: 3 of 4 caught, 1 of 5 alarmed = 0.55; limit 5: 2 of 4, none = 0.5; limit 2: 0.35."""
    good, bad = verdicts([0, 1, 1, 2, 4], 99), verdicts([3, 5, 6, 0], 99)
    found = best_limit(good, bad)
    assert found.value == pytest.approx(0.55)
    assert (found.caught, found.alarms) == (3, 1)


def test_what_was_not_inspected_lowers_the_best_recall_and_leaves_the_alarms() -> None:
    """One defect in two unseen: at most half is caught; unseen good pictures are no alarms."""
    good, bad = verdicts([0, 1, NAN, NAN], 99), verdicts([5, NAN], 99)
    assert best_limit(good, bad) == BestLimit(0.5, 1, 0)
    assert best_limit(good, verdicts([NAN], 99)) == BestLimit(0.0, 0, 0)


def test_scores_the_wrong_way_round_have_the_best_value_of_no_alarm() -> None:
    """A limit above everything catches nothing and alarms on nothing: 0, never less."""
    assert best_limit(verdicts([5, 6], 99), verdicts([1, 2], 99)) == BestLimit(0.0, 0, 0)


def test_efficiency_by_hand() -> None:
    """Half the best value is 0.5; below 0.2 there is none; at 0.2 there is."""
    assert efficiency(0.4, 0.8) == 0.5
    assert efficiency(0.1, 0.19) is None
    assert efficiency(0.2, 0.2) == 1.0
    assert efficiency(-0.1, 0.5) == pytest.approx(-0.2)


def test_the_figures_at_the_limit_by_hand() -> None:
    """4 inspected good, 1 alarmed; 6 defects of which 1 was not inspected, 3 caught."""
    found = figures([0, 1, 2, 10, NAN], [1, 11, 12, 13, 3, NAN], limit=10)
    assert (found["caught"], found["false_alarms"]) == (3, 1)
    assert (found["recall"], found["false_alarm_rate"]) == (0.5, 0.25)
    assert found["not_inspected"] == {"good": 1, "bad": 1}
    assert found["value"] == pytest.approx(0.25)
    # at 3: 4 of 6 caught, 1 of 4 alarmed = 0.4167; at 11: 3 of 6, none = 0.5
    assert found["best_value"] == pytest.approx(0.5)
    assert found["efficiency"] == pytest.approx(0.5)
    # quantile of 0, 1, 2, 10 at 0.98: position 2.94, 2 + 0.94 × 8 = 9.52
    assert found["pb2_threshold"] == pytest.approx(9.52)
    assert found["pb2"] == 0.5
    low, high = found["pb2_interval"]
    assert 0 <= low < 0.5 < high <= 1


def test_without_an_inspected_good_picture_nothing_is_claimed() -> None:
    """No rate, no PB2 and no efficiency; the recall stands."""
    found = figures([NAN, NAN], [5, 1], limit=3)
    assert found["recall"] == 0.5
    assert [found[k] for k in ("false_alarm_rate", "pb2", "efficiency", "best_value")] == [None] * 4
    said = " ".join(answer(found))
    assert "no good part was inspected" in said


def test_rows_of_a_record_are_read() -> None:
    """evaluation.json's null is "not inspected", whatever its verdict's reason."""
    rows: list[JsonObject] = [
        {"score": 3.0, "verdict": "NG"},
        {"score": None, "verdict": "NOT_INSPECTED"},
        {"score": 1.0, "verdict": "OK"},
    ]
    found = verdicts_from(rows)
    assert found.is_ng.tolist() == [True, False, False]
    assert found.inspected.tolist() == [3.0, 1.0]
    assert found.not_inspected == 1


def test_a_picture_that_is_ng_without_a_score_is_above_every_limit() -> None:
    """A missing product: caught among the defects, else a false alarm at any limit."""
    rows: list[JsonObject] = [{"score": None, "verdict": "NG"}, {"score": 1.0, "verdict": "OK"}]
    bad, good = verdicts_from(rows), verdicts_from([*rows, *[rows[1]] * 2])
    assert bad.not_inspected == 0
    assert operating_figures(good, bad)["caught"] == 1
    assert pb2(np.array([0.0, 0.5]), bad.scores) == 1.0
    assert pb2(good.scores, bad.scores) == 0.5  # 1.0 is below what has no score
    assert best_limit(verdicts([0, 0.5], 9), bad) == BestLimit(1.0, 2, 0)
    assert best_limit(good, bad).value == pytest.approx(0.5 - 0.25)


def test_the_answer_comes_first_in_words() -> None:
    """What is caught, alarmed and not seen; singular where it is one."""
    first, bounds, limit = answer(figures([0] * 19 + [10] + [NAN], [11] * 46 + [1] * 2, limit=10))
    assert first == (
        "Catches 46 of 48 defects; alarms on 1 of 20 good parts; "
        "1 picture was not inspected (1 good; 0 defective, counted as missed)."
    )
    assert "at least 87% of such defects caught" in bounds  # Clopper-Pearson of 46 in 48
    assert "at most 21.6% of good parts alarmed" in bounds  # and of 1 in 20
    assert "efficiency" in limit


def test_a_deaf_limit_is_told_and_where_it_is_moved() -> None:
    """All scores apart, the limit beyond them: the limit is to blame, not the scores."""
    said = answer(figures([0, 1, 2, 3], [8, 9, 10, 20], limit=15))
    assert said[0].endswith("every picture was inspected.")
    assert "efficiency 0.25" in said[2]
    assert "edge-calibrate thresholds" in said[2]


def test_scores_that_separate_nothing_are_told() -> None:
    """No limit helps there, and none is advised."""
    said = answer(figures([1, 2, 3, 4], [1, 2, 3, 4], limit=2))[2]
    assert "No limit separates" in said
    assert "edge-calibrate" not in said


def test_intervals_hold_their_figure_and_repeat() -> None:
    """The same seed gives the same interval; a mean of equal values has no width."""
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0, 1, 60), rng.normal(3, 1, 60)
    low, high = bootstrap_interval(pb2, good, bad, seed=3)
    assert low < pb2(good, bad) < high
    assert bootstrap_interval(pb2, good, bad, seed=3) == (low, high)
    assert mean_interval(np.ones(5)) == (1.0, 1.0)
    low, high = mean_interval(np.array([1.0] * 30 + [0.0] * 10))
    assert low < 0.75 < high
