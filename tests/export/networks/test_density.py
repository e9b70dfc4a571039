"""Gaussian densities against scikit-learn and against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.needs import require

require("the extra dev")

from sklearn import covariance as sklearn_covariance

from edge_app.errors import DataError, ShapeError
from export.networks.density import (
    effective_rank,
    fit_global,
    fit_positions,
    ledoit_wolf,
    squared_distances,
    whitening_of,
)
from export.networks.position_term import PositionTerm


@pytest.mark.parametrize(("n", "d"), [(200, 20), (15, 40), (50, 1)])
def test_shrinkage_is_scikit_learns(n: int, d: int) -> None:
    """Covariance and shrinkage equal sklearn's LedoitWolf, also with fewer samples than dims."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    x -= x.mean(0)
    expected, shrinkage = sklearn_covariance.ledoit_wolf(x, assume_centered=True)
    covariance, ours = ledoit_wolf(x)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10, atol=1e-12)
    assert ours == pytest.approx(shrinkage, abs=1e-12)


def test_global_distance_is_scikit_learns_mahalanobis() -> None:
    """On standardised embeddings the distance equals sklearn's to 1e-9."""
    rng = np.random.default_rng(1)
    x = rng.normal(3, 2, (80, 12)) * np.logspace(-3, 3, 12)
    scaled = (x - x.mean(0)) / (x.std(0) + 1e-6)
    expected = sklearn_covariance.LedoitWolf(assume_centered=True).fit(scaled).mahalanobis(scaled)
    np.testing.assert_allclose(squared_distances(x, fit_global(x)), expected, rtol=1e-9)


def test_position_energy_is_scikit_learns_per_cell() -> None:
    """Each cell's covariance is LedoitWolf of its positions, each centred on its own mean."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(30, 5, 4, 6)).astype(np.float32)
    features += rng.normal(size=(1, 5, 4, 6)).astype(np.float32)
    term = PositionTerm(fit_positions(features, 2), np.ones((4, 6), np.float32))
    energy = term(torch.from_numpy(features)).numpy()
    cell = features[:, :, 2:4, 4:6]
    centred = (cell - cell.mean(0)).transpose(0, 2, 3, 1).reshape(-1, 5).astype(np.float64)
    model = sklearn_covariance.LedoitWolf(assume_centered=True).fit(centred)
    expected = model.mahalanobis(centred).reshape(30, 2, 2)
    np.testing.assert_allclose(energy[:, 2:4, 4:6], expected, rtol=1e-4)


def test_whitening_inverts_the_covariance() -> None:
    """Wᵀ W is Σ⁻¹."""
    a = np.random.default_rng(3).normal(size=(6, 6))
    covariance = a @ a.T + np.eye(6)
    w = whitening_of(covariance)
    np.testing.assert_allclose(w.T @ w, np.linalg.inv(covariance), rtol=1e-9, atol=1e-12)


def test_effective_rank_counts_directions() -> None:
    """Three equal directions of five have rank 3."""
    assert effective_rank(np.diag([1.0, 1, 1, 0, 0])) == pytest.approx(3.0)


def test_too_few_crops_and_bad_values_are_refused() -> None:
    """Three crops, a NaN, an indivisible grid: each its own message."""
    with pytest.raises(DataError, match="at least 4 good crops, got 3"):
        fit_global(np.zeros((3, 2)))
    with pytest.raises(DataError, match="not finite"):
        fit_global(np.full((5, 2), np.nan))
    with pytest.raises(ShapeError, match="3×4 grid"):
        fit_positions(np.zeros((5, 2, 3, 4), np.float32), 2)


def test_identical_crops_do_not_break_the_fit() -> None:
    """Copies of one picture have no spread; distances stay finite and 0 at the mean."""
    x = np.ones((6, 3))
    assert np.isfinite(squared_distances(x, fit_global(x))).all()
