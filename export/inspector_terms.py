"""The parts of the inspector's score, as torch modules that hold fitted constants only.

Each term turns tapped features into one distance per crop (larger is stranger) and a map whose
values explain it. All of it is multiplication, addition, square, square root and maximum: no
gradient, no loop, no data-dependent shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_app.records import F32Array
from export.density import GlobalGaussian, PositionGaussian
from export.gradcam import (
    channel_statistics,
    energy_cam,
    squared_distance_gradient,
    statistics_cam,
)

DISTANCE_FLOOR = 1e-6
"""Added before a logarithm or root: a crop at the very mean must not give −inf."""


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
        pieces = gradient.split([c for tap in taps for c in (tap.shape[1],) * 2], dim=1)
        return [statistics_cam(t, pieces[2 * i], pieces[2 * i + 1]) for i, t in enumerate(taps)]


def statistics_embedding(taps: Sequence[Tensor]) -> Tensor:
    """Return (n, 2 Σc): per tap the channel means, then the channel standard deviations."""
    return torch.cat([s for tap in taps for s in channel_statistics(tap)], 1)


class PatchEmbedding(nn.Module):
    """Taps → one (n, d, h, w) grid: 3×3 mean, fixed projection, taps added on the finest grid.

    Standardisation per channel is inside the projection, and the projection runs before the
    coarser taps are enlarged: both are linear, so the result is the same and cheaper.

    Args:
        projections: per tap, (d, c) float32.
    """

    def __init__(self, projections: Sequence[F32Array]):
        super().__init__()
        self.layers = nn.ModuleList()
        for matrix in projections:
            layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(matrix)[:, :, None, None])
            self.layers.append(layer.requires_grad_(False))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Return (n, d, h, w) on the first tap's grid."""
        grid_hw = (int(taps[0].shape[2]), int(taps[0].shape[3]))
        parts = [resized(l(_smoothed(t)), grid_hw) for l, t in zip(self.layers, taps, strict=True)]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


class PositionTerm(nn.Module):
    """Per-position Gaussian: the map is its GradCAM (additive), the score the log of its peak."""

    mean: Tensor
    whitening: Tensor
    weight: Tensor

    def __init__(self, gaussian: PositionGaussian, weight_hw: F32Array):
        super().__init__()
        self.cell = gaussian.cell
        self.register_buffer("mean", torch.from_numpy(gaussian.mean))
        self.register_buffer("whitening", torch.from_numpy(gaussian.whitening))
        self.register_buffer("weight", torch.from_numpy(weight_hw))

    def forward(self, embedded: Tensor) -> Tensor:
        """Return (n, h, w) energies, >= 0: squared distance × weight, 1 on an average position."""
        return energy_cam(self.whitened(embedded)) * self.weight

    def whitened(self, embedded: Tensor) -> Tensor:
        """Return (n, d, h, w): W (f − μ), W shared by the positions of a cell."""
        d, h, w = self.mean.shape
        k = self.cell
        split = (embedded - self.mean).reshape(-1, d, h // k, k, w // k, k)
        cells = split.permute(2, 4, 1, 0, 3, 5).reshape(len(self.whitening), d, -1)
        white = torch.bmm(self.whitening, cells).reshape(h // k, w // k, d, -1, k, k)
        return white.permute(3, 2, 0, 4, 1, 5).reshape(-1, d, h, w)


class CoresetTerm(nn.Module):
    """Distance of each patch to the nearest of a few thousand patches of good parts (PatchCore)."""

    bank: Tensor
    bank_norm: Tensor
    weight: Tensor

    def __init__(self, bank: F32Array, weight_hw: F32Array):
        super().__init__()
        self.register_buffer("bank", torch.from_numpy(bank))
        self.register_buffer("bank_norm", torch.from_numpy((bank**2).sum(1)))
        self.register_buffer("weight", torch.from_numpy(weight_hw))

    def forward(self, embedded: Tensor) -> Tensor:
        """Return (n, h, w) squared distances × weight, >= 0."""
        n, d, h, w = embedded.shape
        patches = embedded.permute(0, 2, 3, 1).reshape(-1, d)
        nearest = (self.bank_norm - 2.0 * patches @ self.bank.T).amin(1)
        squared = F.relu(nearest + patches.square().sum(1))
        return squared.reshape(n, h, w) * self.weight


def peak_score(energy: Tensor) -> Tensor:
    """Return (n,) log of the largest 3×3-mean energy of each crop."""
    return torch.log(_smoothed(energy[:, None]).amax((1, 2, 3)) + DISTANCE_FLOOR)


def _smoothed(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def resized(x: Tensor, hw: tuple[int, int]) -> Tensor:
    if (int(x.shape[2]), int(x.shape[3])) == hw:
        return x
    return F.interpolate(x, size=hw, mode="bilinear", align_corners=False)
