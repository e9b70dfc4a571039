"""GradCAM in closed form: the gradients are written out, so the device needs no backward pass.

Each function equals torch autograd on its stated target with its stated stops (tested to 1e-4).

Source: Selvaraju et al., Grad-CAM, ICCV 2017: map = ReLU(Σₖ αₖ Aₖ), αₖ the target's mean gradient
over the positions of channel k. Deviations, named where they apply: for densities the gradient is
taken per position and multiplied with the centred activation, because position-averaged gradients
cancel the std term of a mean + std embedding exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def logit_cam(features: Tensor, weights: Tensor) -> Tensor:
    """Return classic GradCAM of a logit behind global average pooling and one linear layer.

    Target: (difference of) pretext logits `weights · GAP(features) + b`; αₖ = weightsₖ / (h·w).

    Args:
        features: (n, c, h, w), the last feature map.
        weights: (c,) the target's row of the linear layer.

    Returns:
        (n, h, w) >= 0.
    """
    alpha = weights / (features.shape[2] * features.shape[3])
    return functional.relu((features * alpha[None, :, None, None]).sum(1))


def energy_cam(whitened: Tensor) -> Tensor:
    """Return gradient × centred activation of a per-position Gaussian: the additive map.

    Target: the summed squared distance Σₚ |W (fₚ − μₚ)|². Its gradient at p is 2 Wᵀ W (fₚ − μₚ);
    times (fₚ − μₚ) that is twice the position's own energy, exactly. Half of it is returned, so
    that the map's positions sum to the target. It needs no ReLU: it is never negative.
    Stop: the mean μₚ is the reference; the gradient ends at the tapped features.

    Args:
        whitened: (n, d, h, w), W (fₚ − μₚ).
    """
    return whitened.square().sum(1)


def statistics_cam(features: Tensor, mean_gradient: Tensor, std_gradient: Tensor) -> Tensor:
    """Return GradCAM of a density on per-channel mean and std, gradient per position.

    Target: d² = |W (s − μ)|², s = mean and std of each channel over the positions. The *direct*
    gradient of this level at position p is g_mean / N + g_std (A − mean) / (N · std), later levels
    stopped. The activation is centred on its own mean over the positions, A − mean(A).

    Args:
        features: (n, c, h, w) of one level.
        mean_gradient: (n, c), the target's gradient with respect to the channel means.
        std_gradient: (n, c), the same for the standard deviations (population, not sample).

    Returns:
        (n, h, w) >= 0.
    """
    count = features.shape[2] * features.shape[3]
    mean, std = channel_statistics(features)
    centred = features - mean[:, :, None, None]
    slope = (std_gradient / std)[:, :, None, None]
    gradient = (mean_gradient[:, :, None, None] + slope * centred) / count
    return functional.relu((gradient * centred).sum(1))


STD_EPS = 1e-8
"""Added to the variance: the square root's slope is infinite at 0 (dead ReLU6 channels)."""


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and population standard deviation over the positions, (n, c)."""
    mean = features.mean((2, 3))
    centred = features - mean[:, :, None, None]
    return mean, torch.sqrt(centred.square().mean((2, 3)) + STD_EPS)


def squared_distance_gradient(embedding: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Return the (n, d) gradient of |W (s − μ)|² with respect to s: 2 Wᵀ W (s − μ)."""
    return 2.0 * ((embedding - mean) @ whitening.T) @ whitening
