"""Thresholds from calibration scores."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds.threshold import (
    GRID,
    GridSearch,
    choose_threshold,
    grid_search,
    nominal_rank,
    nominal_threshold,
    prefer_grid,
)
from edge_app.bundle.thresholds import Normalisation
from edge_app.errors import DataError


def test_budget_is_kept_in_95_of_100_draws() -> None:
    """Thresholds from 400 good parts keep a 2 % budget on the population in 95 % of draws."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(200):
        choice = choose_threshold(rng.standard_t(4, 400), 0.02)
        kept += bool(np.mean(choice.threshold <= POPULATION) <= 0.02)
    assert kept >= 182


POPULATION = np.random.default_rng(1).standard_t(4, 100_000)


def test_too_few_parts_are_called_extrapolated() -> None:
    """Forty parts cannot promise 0.5 %: 7.2 % is their best, 598 would do, and it is said."""
    scores = np.random.default_rng(2).normal(size=40)
    choice = choose_threshold(scores, 0.005)
    assert not choice.is_guaranteed
    assert choice.promise == "extrapolated, not guaranteed"
    assert choice.needed_count == 598
    assert choice.smallest_rate == pytest.approx(0.0722, abs=1e-4)
    assert choice.threshold > np.quantile(scores, 0.95)


def test_one_wild_good_part_does_not_set_an_extrapolated_threshold_alone() -> None:
    """Eighty parts, one of them at 40 spreads: the others still decide where the tail ends."""
    scores = np.append(np.random.default_rng(3).normal(size=79), 40.0)
    assert choose_threshold(scores, 0.005).threshold < 30.0


def test_enough_parts_are_called_guaranteed() -> None:
    """598 parts promise 0.5 % with no alarm among them; 597 do not."""
    scores = np.arange(598.0)
    assert choose_threshold(scores, 0.005).promise == "guaranteed"
    assert not choose_threshold(scores[:597], 0.005).is_guaranteed


def test_one_score_gives_a_threshold_above_it() -> None:
    """A single good part is judged good and nothing is promised."""
    choice = choose_threshold(np.array([2.0]), 0.01)
    assert choice.threshold > 2.0
    assert not choice.is_guaranteed


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")], [float("inf")]])
def test_unusable_scores_are_refused(scores: list[float]) -> None:
    """No scores, NaN and infinity end in a clear error, never in a threshold."""
    with pytest.raises(DataError):
        choose_threshold(np.array(scores), 0.01)


def test_budget_outside_its_range_is_refused() -> None:
    """A budget of 2 (meant as per cent, perhaps) is named."""
    with pytest.raises(DataError, match="between 0 and 1, got 2"):
        choose_threshold(np.zeros(3), 2)


def grid_of(good: np.ndarray, bad: np.ndarray) -> GridSearch:
    """Return the grid search over parts with one region each, on their own normalisation."""
    return grid_search(
        [np.array([g]) for g in good],
        [np.array([b]) for b in bad],
        Normalisation(low=float(np.median(good)), high=float(np.quantile(bad, 0.9))),
        0.05,
    )


def test_grid_is_the_papers() -> None:
    """0.1 to 0.9 in steps of 0.05: seventeen thresholds."""
    assert GRID[0] == 0.1
    assert GRID[-1] == 0.9
    assert len(GRID) == 17
    assert np.allclose(np.diff(GRID), 0.05)


def test_grid_search_takes_most_regions_within_the_limit() -> None:
    """Counts by hand: at 0.35 both strong defects are found and no good region is."""
    good = [np.array([0.05]), np.array([0.3, 0.12]), np.array([])]
    bad = [np.array([0.36, 0.8]), np.array([0.2])]
    found = grid_search(good, bad, Normalisation(low=0.0, high=1.0), 0.0)
    assert found.is_within_limit
    assert found.chosen.threshold == 0.35
    assert (found.chosen.regions_found, found.chosen.false_positives) == (2, 0)
    assert found.points[0].regions_found == 3
    assert found.points[0].false_positives == 2


def test_grid_search_reads_its_threshold_back_on_the_score_scale() -> None:
    """Only 0.35 between 10 and 20 lies above the good part and below the defect: 13.5."""
    found = grid_search(
        [np.array([13.1])], [np.array([13.6])], Normalisation(low=10.0, high=20.0), 0.0
    )
    assert found.score_threshold == pytest.approx(13.5)


def test_grid_search_takes_the_middle_of_equally_good_thresholds() -> None:
    """0.1 to 0.35 all part the good 10.5 from the defect 13.6: the middle, 0.25, is taken."""
    found = grid_search(
        [np.array([10.5])], [np.array([13.6])], Normalisation(low=10.0, high=20.0), 0.0
    )
    assert found.chosen.threshold == 0.25


def test_the_grid_decides_where_it_costs_no_detection() -> None:
    """Good to 0.10, defects from 0.50: the grid's middle point replaces "just above the best"."""
    good, bad = np.linspace(0.0, 0.1, 20), np.linspace(0.5, 1.0, 20)
    choice = prefer_grid(choose_threshold(good, 0.05), grid_of(good, bad), good, bad)
    assert 0.2 < choice.threshold < 0.5
    assert choice.false_alarms == 0


def test_the_budget_decides_where_the_grid_is_too_coarse() -> None:
    """Defects between two grid points are found by the budget's own threshold only."""
    good, bad = np.linspace(0.0, 0.10, 20), np.append(np.full(10, 0.12), np.full(10, 10.0))
    budget = choose_threshold(good, 0.05)
    assert prefer_grid(budget, grid_of(good, bad), good, bad) == budget


def test_grid_search_says_when_no_threshold_keeps_the_limit() -> None:
    """A good part at the top of the scale leaves no allowed point: said, and the fewest taken."""
    found = grid_search([np.array([1.0])], [np.array([0.5])], Normalisation(low=0.0, high=1.0), 0.0)
    assert not found.is_within_limit


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 1), (30, 1), (38, 1), (73, 1), (74, 2), (100, 2), (320, 6), (2000, 40)]
)
def test_the_nominal_limit_is_the_kth_largest_score(count: int, rank: int) -> None:
    """k = max(1, round(0.02 (n + 1))): one odd part in a hundred is forgiven, below 74 none."""
    assert nominal_rank(count, 0.02) == rank
    scores = np.random.default_rng(count).permutation(count).astype(float)
    choice = nominal_threshold(scores, 0.02, is_cross_fitted=True)
    assert choice.threshold == count - rank
    assert choice.false_alarms == rank
    assert choice.expected_rate == pytest.approx(rank / (count + 1))


@pytest.mark.parametrize(
    ("rate", "count", "rank", "bound"),
    [(0.02, 80, 2, 0.0579), (0.005, 80, 1, 0.0368), (0.01, 320, 3, 0.0195)],
)
def test_the_bound_of_a_nominal_limit_is_betas_quantile(
    rate: float, count: int, rank: int, bound: float
) -> None:
    """The true rate at the k-th largest of n scores follows Beta(k, n + 1 - k)."""
    choice = nominal_threshold(np.arange(float(count)), rate, is_cross_fitted=False)
    assert choice.false_alarms == rank
    assert choice.rate_bound == pytest.approx(bound, abs=5e-5)
    drawn = np.random.default_rng(0).beta(rank, count + 1 - rank, 200_000)
    assert (drawn <= choice.rate_bound).mean() == pytest.approx(0.95, abs=0.003)


def test_a_nominal_rate_is_an_expectation_and_no_guarantee() -> None:
    """598 held-out parts could guarantee 0.5 %; their third largest score only expects it."""
    scores = np.arange(598.0)
    held_out = nominal_threshold(scores, 0.005, is_cross_fitted=False)
    assert (held_out.false_alarms, held_out.promise) == (3, "extrapolated, not guaranteed")
    folds = nominal_threshold(scores, 0.005, is_cross_fitted=True)
    assert (folds.is_guaranteed, folds.promise) == (False, "cross-fitted, measured")
    assert folds.threshold == held_out.threshold < choose_threshold(scores, 0.005).threshold


def test_nothing_raises_a_nominal_limit_but_good_parts() -> None:
    """Two scores far above the rest: the limit is the second largest, whatever lies above."""
    scores = np.append(np.zeros(98), [5.0, 6.0])
    assert nominal_threshold(scores, 0.02, is_cross_fitted=True).threshold == 5.0
    scores[-1] = 6e9
    assert nominal_threshold(scores, 0.02, is_cross_fitted=True).threshold == 5.0


@pytest.mark.parametrize("rate", [0.0, 1.0, 2.0, -0.1])
def test_a_nominal_rate_outside_its_range_is_refused(rate: float) -> None:
    """2 (meant as per cent, perhaps) is named."""
    with pytest.raises(DataError, match=f"between 0 and 1, got {rate}"):
        nominal_threshold(np.zeros(3), rate, is_cross_fitted=False)


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")], [float("inf")]])
def test_unusable_scores_give_no_nominal_limit(scores: list[float]) -> None:
    """As for a budget."""
    with pytest.raises(DataError):
        nominal_threshold(np.array(scores), 0.02, is_cross_fitted=True)
