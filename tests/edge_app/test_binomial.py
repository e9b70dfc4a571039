"""Exact bounds of counted rates."""

from __future__ import annotations

import pytest

from edge_app.binomial import exact_interval, rate_bound


@pytest.mark.needs("the extra train")
def test_rate_bound_agrees_with_the_beta_quantile() -> None:
    """The bisected bound is SciPy's exact Clopper-Pearson bound."""
    from scipy.stats import beta

    for hits, count in ((0, 30), (3, 100), (10, 3000), (99, 100)):
        exact = beta.ppf(0.95, hits + 1, count - hits)
        assert rate_bound(hits, count) == pytest.approx(exact, rel=1e-9)
    assert rate_bound(5, 5) == 1.0


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (1, 1, 0.025, 1.0),
        (5, 20, 0.0866, 0.4910),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_two_sided_interval_is_the_tables(
    hits: int, count: int, low: float, high: float
) -> None:
    """Clopper and Pearson (1934), 95 %; where nothing was counted nothing is known."""
    assert exact_interval(hits, count) == pytest.approx((low, high), abs=1e-4)
