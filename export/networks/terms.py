"""The parts of the inspector's score, as torch modules that hold fitted constants only.

Each term turns tapped features into one distance per crop (larger is more anomalous) and a map
whose values explain it. All of it is multiplication, addition, square, square root and maximum: no
gradient, no loop, no data-dependent shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edge_app.records import F32Array
from export.networks.density import DISTANCE_FLOOR, GlobalGaussian
from export.networks.feature_grid import resized, shrunk, smoothed
from export.networks.gradcam import (
    channel_statistics,
    squared_distance_gradient,
    statistics_cam,
)
from export.networks.position_term import PositionTerm


class StatisticsTerm(nn.Module):
    """Global Gaussian on every tap's channel means and standard deviations."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, gaussian: GlobalGaussian):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(gaussian.mean).float())
        self.register_buffer("whitening", torch.from_numpy(gaussian.whitening).float())

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Return (n,) Mahalanobis distances."""
        whitened = (statistics_embedding(taps) - self.mean) @ self.whitening.T
        return torch.sqrt(whitened.square().sum(1) + DISTANCE_FLOOR)

    def maps(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Return each tap's (n, h, w) GradCAM of the squared distance, direct gradients only."""
        embedding = statistics_embedding(taps)
        gradient = squared_distance_gradient(embedding, self.mean, self.whitening)
        pieces = torch.split(gradient, [c for tap in taps for c in (tap.shape[1],) * 2], dim=1)
        return [statistics_cam(t, pieces[2 * i], pieces[2 * i + 1]) for i, t in enumerate(taps)]


def statistics_embedding(taps: Sequence[Tensor]) -> Tensor:
    """Return (n, 2 Σc): per tap the channel means, then the channel standard deviations."""
    return torch.cat([s for tap in taps for s in channel_statistics(tap)], 1)


class PatchEmbedding(nn.Module):
    """Taps → one (n, d, h, w) grid: a fixed projection per tap, all added on one grid.

    Standardisation per channel is inside the projection, and the projection runs before coarser
    taps are enlarged: both are linear, so the result is the same and cheaper. Finer taps are
    averaged down to the grid first.

    Args:
        projections: per tap, (d, c) float32.
        grid_hw: (height, width) of the grid.
        is_pooled: each tap is averaged over 3×3 of its own positions: tolerates misplaced texture,
            blunts small defects.
    """

    def __init__(self, projections: Sequence[F32Array], grid_hw: tuple[int, int], is_pooled: bool):
        super().__init__()
        self.grid_hw = grid_hw
        self.is_pooled = is_pooled
        self.layers = nn.ModuleList()
        for matrix in projections:
            layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(matrix)[:, :, None, None])
            self.layers.append(layer.requires_grad_(False))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Return (n, d, *grid_hw)."""
        pairs = zip(self.layers, taps, strict=True)
        projected = [layer(shrunk(tap, self.grid_hw)) for layer, tap in pairs]
        pooled = [smoothed(p) for p in projected] if self.is_pooled else projected
        parts = [resized(p, self.grid_hw) for p in pooled]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def semi_orthogonal(scales: list[F32Array], d: int, rng: np.random.Generator) -> list[F32Array]:
    """Return per tap a (d, c) piece of one random semi-orthogonal matrix, standardisation inside.

    Source: Kim et al., Semi-orthogonal embedding, 2021: keeps more than PaDiM's channel choice.
    """
    total = sum(len(s) for s in scales)
    matrix, _ = np.linalg.qr(rng.normal(size=(total, min(d, total))))
    pieces = np.split(matrix.T, np.cumsum([len(s) for s in scales])[:-1], axis=1)
    return [(p / s).astype(np.float32) for p, s in zip(pieces, scales, strict=True)]


class LocalGaussian(nn.Module):
    """A patch embedding of some taps and its per-position Gaussian."""

    def __init__(self, taps: Sequence[int], embedding: PatchEmbedding, position: PositionTerm):
        super().__init__()
        self.taps = tuple(taps)
        self.embedding = embedding
        self.position = position

    def energy(self, taps: Mapping[int, Tensor]) -> Tensor:
        """Return (n, h, w) weighted energies, >= 0, from all taps by block number."""
        energy: Tensor = self.position(self.embedding([taps[b] for b in self.taps]))
        return energy


def peak_score(energy: Tensor) -> Tensor:
    """Return (n,) log of the largest 3×3-mean energy of each crop."""
    return torch.log(smoothed(energy[:, None]).amax((1, 2, 3)) + DISTANCE_FLOOR)
