"""Gaussian densities of good parts: fitted in float64 with Cholesky, Ledoit-Wolf shrinkage.

log p(f) ∝ −½ (f − μ)ᵀ Σ⁻¹ (f − μ). With Σ⁻¹ = Wᵀ W (W lower triangular) the squared distance is
|W (f − μ)|²: a matrix product and a sum of squares, which no precision loss can make negative.

Sources: CutPaste (Li et al., CVPR 2021, eq. 3) for the global form; PaDiM (Defard et al., ICPR
2021) for the per-position form. Deviations: Ledoit-Wolf instead of PaDiM's fixed ε; covariances
are shared by the positions of one small cell (each position keeps its own mean), so that 200 good
parts give enough samples and the bundle stays small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_app.errors import DataError, ShapeError
from edge_app.records import F32Array, F64Array

MIN_SAMPLES = 4
"""Fewest good parts a density is fitted to; below it nothing can be said about their spread."""

STD_FLOOR = 1e-6
"""Added to standard deviations: a dead ReLU6 channel has none."""

DISTANCE_FLOOR = 1e-6
"""Added before a logarithm or root: a crop at the very mean must not give −inf."""


@dataclass(frozen=True, slots=True, eq=False)
class GlobalGaussian:
    """One Gaussian over a crop's embedding.

    Attributes:
        mean: (d,) float64.
        whitening: (d, d) float64 W with Wᵀ W = Σ⁻¹; the embedding's standardisation is inside.
        shrinkage: Ledoit-Wolf's weight of the spherical target, 0..1.
        effective_rank: exp of the covariance spectrum's entropy, before shrinkage.
    """

    mean: F64Array
    whitening: F64Array
    shrinkage: float
    effective_rank: float


@dataclass(frozen=True, slots=True, eq=False)
class PositionGaussian:
    """One mean per position of a feature grid, one covariance per cell of `cell` × `cell` of them.

    Attributes:
        mean: (d, h, w) float32.
        whitening: (h/cell · w/cell, d, d) float32, cells row by row.
        cell: positions per cell side.
        shrinkage: mean Ledoit-Wolf weight over the cells.
    """

    mean: F32Array
    whitening: F32Array
    cell: int
    shrinkage: float


def fit_global(embeddings: F64Array) -> GlobalGaussian:
    """Fit one Gaussian to (n, d) embeddings of good crops, standardised per dimension first.

    Raises:
        DataError: fewer than MIN_SAMPLES crops, or values that are not finite.
    """
    _check_samples(embeddings)
    mean, std = embeddings.mean(0), embeddings.std(0) + STD_FLOOR
    standardised = (embeddings - mean) / std
    covariance, shrinkage = ledoit_wolf(standardised)
    rank = effective_rank(standardised.T @ standardised / len(standardised))
    return GlobalGaussian(mean, whitening_of(covariance) / std, shrinkage, rank)


def fit_positions(features: F32Array, cell: int) -> PositionGaussian:
    """Fit per-position means and per-cell covariances to (n, d, h, w) features of good crops.

    Raises:
        DataError: fewer than MIN_SAMPLES crops, or values that are not finite.
        ShapeError: the grid is not divisible into cells.
    """
    _check_samples(features)
    cells = to_cells(features, cell)  # (cells, n, cell², d)
    mean = cells.mean(1, keepdims=True, dtype=np.float64)
    whitening = np.empty((len(cells), cells.shape[3], cells.shape[3]), np.float32)
    total = 0.0
    for index, samples in enumerate(cells):
        centred = (samples - mean[index]).reshape(-1, samples.shape[2])
        covariance, shrinkage = ledoit_wolf(centred.astype(np.float64))
        whitening[index] = whitening_of(covariance)
        total += shrinkage
    grid_mean = features.mean(0, dtype=np.float64).astype(np.float32)
    return PositionGaussian(grid_mean, whitening, cell, total / len(cells))


def to_cells(features: F32Array, cell: int) -> F32Array:
    """Return (n, d, h, w) features as (h/cell · w/cell, n, cell², d), cells row by row."""
    n, d, h, w = features.shape
    if h % cell or w % cell:
        raise ShapeError(f"A {h}×{w} grid cannot be cut into {cell}×{cell} cells: change the crop.")
    split = features.reshape(n, d, h // cell, cell, w // cell, cell)
    cells: F32Array = split.transpose(2, 4, 0, 3, 5, 1).reshape(-1, n, cell * cell, d)
    return cells


def squared_distances(embeddings: F64Array, gaussian: GlobalGaussian) -> F64Array:
    """Return (n,) squared Mahalanobis distances, >= 0, unitless."""
    if embeddings.ndim != 2 or embeddings.shape[1] != len(gaussian.mean):
        raise ShapeError(f"embeddings must be (n, {len(gaussian.mean)}), got {embeddings.shape}")
    return np.asarray((((embeddings - gaussian.mean) @ gaussian.whitening.T) ** 2).sum(1))


def ledoit_wolf(centred: F64Array) -> tuple[F64Array, float]:
    """Return the shrunk covariance and the shrinkage.

    Args:
        centred: (n, d) float64 samples with their mean already taken off.

    Source: Ledoit and Wolf, A well-conditioned estimator, 2004; equals scikit-learn's.
    """
    n, d = centred.shape
    empirical = centred.T @ centred / n
    spread = np.trace(empirical) / d
    squared = centred**2
    distance = ((empirical**2).sum() - d * spread**2) / d
    noise = ((squared.T @ squared).sum() / n - (empirical**2).sum()) / (n * d)
    shrinkage = min(max(noise, 0.0), distance) / distance if distance > 0 else 0.0
    shrunk = (1 - shrinkage) * empirical
    shrunk.flat[:: d + 1] += shrinkage * spread + np.finfo(np.float64).eps * max(spread, STD_FLOOR)
    return shrunk, float(shrinkage)


def whitening_of(covariance: F64Array) -> F64Array:
    """Return W with Wᵀ W = Σ⁻¹: the inverse of Σ's lower Cholesky factor.

    Raises:
        DataError: Σ is not positive definite (all crops alike, or values that are not finite).
    """
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise DataError(
            "The good crops do not vary at all, so no spread can be fitted: "
            "give different pictures of good parts, not copies of one."
        ) from error
    return np.linalg.solve(factor, np.eye(len(covariance)))


def effective_rank(covariance: F64Array) -> float:
    """Return exp(entropy) of the normalised spectrum: 35 is healthy for Lite0, 10 is damaged."""
    spectrum = np.clip(np.linalg.eigvalsh(covariance), 1e-300, None)
    share = spectrum / spectrum.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _check_samples(values: F64Array | F32Array) -> None:
    if len(values) < MIN_SAMPLES:
        raise DataError(
            f"A density needs at least {MIN_SAMPLES} good crops, got {len(values)}: add pictures."
        )
    if not np.isfinite(values).all():
        raise DataError("Features of good crops are not finite: check the backbone's weights.")
