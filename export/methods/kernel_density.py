"""Kernel density of good parts' embeddings, with its gradient in closed form.

log p(f) = log Σⱼ exp(−|f − fⱼ|² / 2h²) + constant, in standardised dimensions.

Source: Li et al., CutPaste, CVPR 2021 (KDE beside the Gaussian); bandwidth from
logspace(−10, 10, 50) as in its re-implementations.
Deviation: the bandwidth maximises the leave-one-out likelihood instead of a k-fold one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.errors import DataError
from edge_app.records import F64Array

BANDWIDTHS = np.logspace(-10, 10, 50)
"""Tried; in standard deviations of a dimension."""

STD_FLOOR = 1e-6
"""Added to standard deviations: a dead ReLU6 channel has none."""


@dataclass(frozen=True, slots=True, eq=False)
class KernelDensity:
    """Gaussian kernels on the embeddings of good crops.

    Attributes:
        mean: (d,) float64.
        std: (d,) float64, > 0.
        points: (n, d) float64, standardised.
        bandwidth: h, in standard deviations.
    """

    mean: F64Array
    std: F64Array
    points: F64Array
    bandwidth: float


def fit_kernels(embeddings: F64Array) -> KernelDensity:
    """Fit to (n, d) embeddings of good crops.

    Raises:
        DataError: values that are not finite, or no bandwidth gives a finite likelihood.
    """
    if not np.isfinite(embeddings).all():
        raise DataError("Features of good crops are not finite: check the backbone's weights.")
    mean, std = embeddings.mean(0), embeddings.std(0) + STD_FLOOR
    points = (embeddings - mean) / std
    return KernelDensity(mean, std, points, likeliest_bandwidth(points))


def likeliest_bandwidth(points: F64Array) -> float:
    """Return the one of BANDWIDTHS under which each point is likeliest given all others.

    Raises:
        DataError: none does: the points are copies of one another.
    """
    d = points.shape[1]
    squares = (points**2).sum(1)
    squared = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)  # (n, n)
    np.fill_diagonal(squared, np.inf)
    nearest = squared.min(1, keepdims=True)
    if float(nearest.max()) <= STD_FLOOR:
        raise DataError(
            "The good crops do not vary at all, so no spread can be fitted: "
            "give different pictures of good parts, not copies of one."
        )
    likelihoods = []
    for h in BANDWIDTHS:
        shifted = np.exp((nearest - squared) / (2 * h * h)).sum(1)
        log = np.log(shifted) - nearest[:, 0] / (2 * h * h) - d * np.log(h)
        likelihoods.append(float(log.mean()))
    return float(BANDWIDTHS[int(np.argmax(likelihoods))])


class KernelHead(nn.Module):
    """Negative log density of the pooled last features, and its GradCAM.

    The score is −h² log Σⱼ exp(−|f − fⱼ|² / 2h²) / n: half the squared distance to the nearest
    kernel where one dominates, so it stays in fp32's range for every bandwidth.
    """

    mean: Tensor
    std: Tensor
    points: Tensor

    def __init__(self, density: KernelDensity):
        super().__init__()
        self.square = density.bandwidth**2
        self.register_buffer("mean", torch.from_numpy(density.mean).float())
        self.register_buffer("std", torch.from_numpy(density.std).float())
        self.register_buffer("points", torch.from_numpy(density.points).float())

    def forward(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h, w) maps, >= 0, of (n, c, h, w) features.

        αₖ is the score's gradient: f minus the kernels' mean, each weighed by its share of p(f).
        """
        pooled = (last.mean((2, 3)) - self.mean) / self.std  # (n, c)
        apart = pooled[:, None] - self.points  # (n, kernels, c)
        half = 0.5 * apart.square().sum(2)  # (n, kernels)
        nearest = half.amin(1, keepdim=True)
        shares = torch.exp((nearest - half) / self.square)
        total = shares.sum(1)
        score = nearest[:, 0] - self.square * torch.log(total / len(self.points))
        reference = (shares @ self.points) / total[:, None]  # (n, c)
        count = last.shape[2] * last.shape[3]
        alpha = (pooled - reference) / self.std / count
        centred = last - (reference * self.std + self.mean)[:, :, None, None]
        return score, functional.relu((centred * alpha[:, :, None, None]).sum(1))
