"""The extrapolated tail, on laws whose true quantiles are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from calibration.thresholds.tail import MAX_SHAPE, MIN_SHAPE, fit_tail
from edge_app.records import F64Array

Draw = Callable[[np.random.Generator, int], F64Array]

LAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "Student, 4 degrees": lambda rng, n: rng.standard_t(4, n),
    "Pareto, 3": lambda rng, n: rng.pareto(3.0, n),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("count", "rate"), [(80, 0.005), (400, 0.001), (3000, 0.0002)])
def test_the_extrapolated_rate_is_near_the_budget(law: str, count: int, rate: float) -> None:
    """Beyond the data's own reach: the median true rate is within a factor of two, and nine draws
    in ten stay within six times the budget."""
    draw = LAWS[law]
    population = np.sort(draw(np.random.default_rng(0), 1_000_000))
    true = []
    for seed in range(60):
        tail = fit_tail(draw(np.random.default_rng(seed + 1), count))
        assert tail is not None
        beyond = np.searchsorted(population, tail.threshold(rate))
        true.append(1.0 - beyond / len(population))
    assert rate / 2 < np.median(true) < rate * 2
    assert np.quantile(true, 0.9) < 6 * rate


def test_the_level_is_met_at_the_tails_own_share() -> None:
    """At the share of scores above the level the threshold is the level."""
    tail = fit_tail(np.random.default_rng(5).exponential(size=500))
    assert tail is not None
    assert tail.threshold(tail.share) == pytest.approx(tail.level)
    assert tail.share == pytest.approx(tail.excesses / 500)


def test_a_bounded_tail_leaves_room_above() -> None:
    """Scores that stop at 1 leave room above: nobody has seen all good parts."""
    tail = fit_tail(np.random.default_rng(6).uniform(size=300))
    assert tail is not None
    assert tail.shape == MIN_SHAPE
    assert tail.threshold(0.0005) > 1.0


def test_the_shape_is_bounded() -> None:
    """A law without variance is not followed to infinity."""
    tail = fit_tail(np.random.default_rng(7).pareto(0.8, 300))
    assert tail is not None
    assert tail.shape <= MAX_SHAPE


@pytest.mark.parametrize("scores", [np.arange(10.0), np.ones(100)])
def test_too_few_or_equal_scores_have_no_tail(scores: F64Array) -> None:
    """Ten scores, or a hundred equal ones, say nothing about what lies above."""
    assert fit_tail(scores) is None
