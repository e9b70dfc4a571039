"""Closed-form GradCAM against torch autograd with the same stops, to 1e-4 relative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.networks.gradcam import (
    channel_statistics,
    energy_cam,
    logit_cam,
    squared_distance_gradient,
    statistics_cam,
)

pytestmark = pytest.mark.needs("the extra train")


def features(seed: int, *shape: int) -> Tensor:
    """Random activations that ask for a gradient."""
    torch.manual_seed(seed)
    return torch.randn(*shape).requires_grad_(True)


def gradient(target: Tensor, of: Tensor) -> Tensor:
    """Autograd's d(sum of target)/d(of)."""
    return torch.autograd.grad(target.sum(), of)[0]


def test_logit_cam_is_autograds() -> None:
    """ReLU(Σ αₖAₖ) with αₖ the mean gradient of a logit behind pooling and a linear layer."""
    a, weights = features(0, 2, 7, 3, 5), torch.randn(7)
    grad = gradient(a.mean((2, 3)) @ weights, a)
    expected = torch.relu((grad.mean((2, 3), keepdim=True) * a).sum(1))
    torch.testing.assert_close(logit_cam(a, weights), expected, rtol=1e-4, atol=1e-7)


def test_energy_cam_is_half_of_gradient_times_centred_activation() -> None:
    """The additive map equals autograd's gradient × (f − μ) / 2, and its sum is the target."""
    f, mean, w = features(1, 2, 4, 3, 5), torch.randn(4, 3, 5), torch.randn(4, 4)
    whitened = torch.einsum("ed,ndhw->nehw", w, f - mean)
    target = whitened.square().sum((1, 2, 3))
    expected = (gradient(target, f) * (f - mean)).sum(1) / 2
    cam = energy_cam(whitened)
    torch.testing.assert_close(cam, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cam.sum((1, 2)), target, rtol=1e-5, atol=1e-5)


def test_statistics_cam_is_autograds_per_position() -> None:
    """Mean + std embedding: ReLU(Σ gradient × (A − mean A)) with autograd's own gradient."""
    a, mean, w = features(2, 2, 6, 4, 5), torch.randn(12), torch.randn(12, 12)
    embedding = torch.cat(channel_statistics(a), 1)
    target = ((embedding - mean) @ w.T).square().sum(1)
    centred = a - a.mean((2, 3), keepdim=True)
    expected = torch.relu((gradient(target, a) * centred).sum(1))
    slopes = squared_distance_gradient(embedding, mean, w)
    cam = statistics_cam(a, slopes[:, :6], slopes[:, 6:])
    torch.testing.assert_close(cam, expected, rtol=1e-4, atol=1e-5)


def test_direct_gradient_stops_at_the_level() -> None:
    """With two levels, each map equals autograd where the later level is cut off (detached)."""
    first = features(3, 1, 3, 4, 4)
    second = torch.relu(first.detach() * 2)
    mean, w = torch.randn(12), torch.randn(12, 12)
    both = [s for level in (first, second) for s in channel_statistics(level)]
    target = ((torch.cat(both, 1) - mean) @ w.T).square().sum(1)
    centred = first - first.mean((2, 3), keepdim=True)
    expected = torch.relu((gradient(target, first) * centred).sum(1))
    slopes = squared_distance_gradient(torch.cat(both, 1), mean, w)
    cam = statistics_cam(first, slopes[:, :3], slopes[:, 3:6])
    torch.testing.assert_close(cam, expected, rtol=1e-4, atol=1e-5)


def test_a_dead_channel_gives_a_finite_map() -> None:
    """A constant channel has std 0: no NaN reaches the map."""
    a = torch.zeros(1, 2, 3, 3)
    assert torch.isfinite(statistics_cam(a, torch.ones(1, 2), torch.ones(1, 2))).all()
