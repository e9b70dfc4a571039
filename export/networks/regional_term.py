"""The regional term: how a crop's regions differ from one another, against good crops' regions.

For products that fill the crop. The whole crop's level (its light, its batch) is taken out, which
the statistics term judges anyway; what is left is judged per region by a Gaussian of its own.

Sources: mean and standard deviation of features, several levels and one Gaussian are the
statistics term's (CutPaste, Li et al., CVPR 2021, eq. 3, on several levels); one Gaussian per place
is PaDiM's (Defard et al., ICPR 2021). Deviations: overlapping windows instead of positions, and
instance normalisation over the windows (Ulyanov et al., 2016) before the density.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edge_app.errors import ShapeError
from edge_app.records import F32Array
from export.networks.density import DISTANCE_FLOOR, PositionGaussian, fit_positions
from export.networks.feature_grid import resized, shrunk
from export.networks.position_term import PositionTerm
from export.networks.terms import semi_orthogonal

REGIONAL_STRIDE = 16
"""Input pixels per step of the grid that windows are cut from."""

WINDOW_SHARE = 2 / 7
"""A window's side as a share of the crop's shorter side: four windows overlap along it."""

STEP_SHARE = 0.85
"""Distance of neighbouring windows as a share of their side, at most."""

DIMENSIONS = 400
"""Of a region's embedding: fewer than the good crops that a line has usually seen."""

SPREAD_FLOOR = 0.3
"""Share of a channel's usual spread over the windows that is added to a crop's own: a channel that
is flat in one crop must not turn its noise into a signal."""

SPREAD_EPSILON = 1e-6
"""Keeps a channel that is flat in every crop from dividing by zero."""


class RegionalEmbedding(nn.Module):
    """Taps → (n, 2 Σc, kh, kw): each window's channel means and deviations, over the crop's own.

    Args:
        crop_hw: crop size in pixels, divisible by REGIONAL_STRIDE.

    Raises:
        ShapeError: the crop is not divisible by REGIONAL_STRIDE.
    """

    rows: Tensor
    columns: Tensor
    spread: Tensor

    def __init__(self, crop_hw: tuple[int, int]):
        super().__init__()
        if crop_hw[0] % REGIONAL_STRIDE or crop_hw[1] % REGIONAL_STRIDE:
            raise ShapeError(f"A crop's sides must be divisible by {REGIONAL_STRIDE}: {crop_hw}.")
        self.grid_hw = (crop_hw[0] // REGIONAL_STRIDE, crop_hw[1] // REGIONAL_STRIDE)
        side = max(1, round(min(self.grid_hw) * WINDOW_SHARE))
        self.register_buffer("rows", torch.from_numpy(windows(self.grid_hw[0], side)))
        self.register_buffer("columns", torch.from_numpy(windows(self.grid_hw[1], side)))
        self.register_buffer("spread", torch.zeros(1))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Return (n, 2 Σc, kh, kw), 0 on a region that is like the rest of its crop."""
        return self.normalised(self.regions(taps))

    def normalised(self, regions: Tensor) -> Tensor:
        """Return regions (n, 2 Σc, kh, kw) less their crop's mean, over its spread."""
        centred = regions - regions.mean((2, 3), keepdim=True)
        return centred / (spread_of(regions) + SPREAD_FLOOR * self.spread + SPREAD_EPSILON)

    def regions(self, taps: Sequence[Tensor]) -> Tensor:
        """Return (n, 2 Σc, kh, kw): channel means of the windows, then standard deviations."""
        mean = self._averaged(taps)
        square = self._averaged([tap.square() for tap in taps])
        deviation = torch.sqrt((square - mean.square()).clamp(min=DISTANCE_FLOOR))
        return torch.cat([mean, deviation], 1)

    def _averaged(self, taps: Sequence[Tensor]) -> Tensor:
        grids = torch.cat([resized(shrunk(tap, self.grid_hw), self.grid_hw) for tap in taps], 1)
        averaged: Tensor = self.rows @ grids @ self.columns.T
        return averaged


class RegionalTerm(nn.Module):
    """A Gaussian per window on the projected embedding."""

    def __init__(
        self,
        taps: Sequence[int],
        embedding: RegionalEmbedding,
        projection: F32Array,
        gaussian: PositionGaussian,
    ):
        super().__init__()
        self.taps = tuple(taps)
        self.embedding = embedding
        d, channels = projection.shape
        self.projection = nn.Conv2d(channels, d, 1, bias=False)
        with torch.no_grad():
            self.projection.weight.copy_(torch.from_numpy(projection)[:, :, None, None])
        self.projection.requires_grad_(False)
        grid_hw = (gaussian.mean.shape[1], gaussian.mean.shape[2])
        self.position = PositionTerm(gaussian, np.full(grid_hw, 1 / d, np.float32))

    def energy(self, taps: Mapping[int, Tensor]) -> Tensor:
        """Return (n, kh, kw) energies, >= 0, 1 on an average window, from taps by block number."""
        embedded = self.embedding([taps[b] for b in self.taps])
        energy: Tensor = self.position(self.projection(embedded))
        return energy

    def score(self, taps: Mapping[int, Tensor]) -> Tensor:
        """Return (n,) log of the highest window energy."""
        return torch.log(self.energy(taps).amax((1, 2)) + DISTANCE_FLOOR)


def fit_regional(
    taps: Sequence[int], crop_hw: tuple[int, int], regions: Tensor, rng: np.random.Generator
) -> RegionalTerm:
    """Fit the term to the (n, 2 Σc, kh, kw) `RegionalEmbedding.regions` of good crops.

    Raises:
        DataError: fewer than density.MIN_SAMPLES crops, or values that are not finite.
    """
    embedding = RegionalEmbedding(crop_hw)
    embedding.spread = spread_of(regions).mean(0, keepdim=True)
    embedded = embedding.normalised(regions)
    scales = embedded.std((0, 2, 3)).clamp(min=SPREAD_EPSILON).numpy()
    (projection,) = semi_orthogonal([scales], DIMENSIONS, rng)
    return RegionalTerm(taps, embedding, projection, _gaussian(embedded, projection))


def fitted_again(term: RegionalTerm, regions: Tensor) -> RegionalTerm:
    """Return the term with its densities of the given regions and everything else as it is."""
    projection: F32Array = term.projection.weight[:, :, 0, 0].cpu().numpy()
    embedding = term.embedding.cpu()
    gaussian = _gaussian(embedding.normalised(regions), projection)
    return RegionalTerm(term.taps, embedding, projection, gaussian)


def _gaussian(embedded: Tensor, projection: F32Array) -> PositionGaussian:
    grid = torch.einsum("nchw,dc->ndhw", embedded, torch.from_numpy(projection))
    return fit_positions(grid.numpy(), cell=1)


def spread_of(regions: Tensor) -> Tensor:
    """Return (n, c, 1, 1) standard deviations over the windows of (n, c, kh, kw)."""
    centred = regions - regions.mean((2, 3), keepdim=True)
    return torch.sqrt(centred.square().mean((2, 3), keepdim=True))


def windows(count: int, side: int) -> F32Array:
    """Return (k, count) float32: row i averages the i-th of k evenly spread windows.

    Args:
        count: positions along the grid.
        side: positions of a window, 1 to `count`.
    """
    steps = int(np.ceil((count - side) / max(1.0, STEP_SHARE * side)))
    starts = np.round(np.linspace(0, count - side, steps + 1)).astype(int)
    matrix = np.zeros((len(starts), count), np.float32)
    for row, start in zip(matrix, starts, strict=True):
        row[start : start + side] = 1 / side
    return matrix
