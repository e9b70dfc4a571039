"""EfficientAD's networks: a frozen teacher, a small student with two heads, and an autoencoder.

Source: Batzner et al., EfficientAD, WACV 2024, appendix A; layers as in a public implementation
(four convolutions of the small patch description network, autoencoder with 64 latent numbers).
Deviations:
- Teacher: Lite0's own features. The paper distils a wide ResNet's into a patch description network
  on ImageNet, which is not at hand here.
- Student: the first convolution is strided and 3 × 3 kernels keep the grid's size, so that it lies
  on the teacher's grid of stride 8 instead of 4.
- Autoencoder: its decoder doubles the grid from h / 32 to h / 8, without dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from export.backbones.efficientnet_lite import channels_of
from export.methods.bgad_flow import LevelFeatures
from export.networks.feature_grid import resized, shrunk

STRIDE = 8
"""Input pixels per position of the common grid."""

AUTOENCODER_CHANNELS = (3, 32, 32, 64, 64, 64)
"""After each halving; the last grid is h / 32 × w / 32."""

LATENT = 64


class Teacher(nn.Module):
    """uint8 crops → (n, d, h / 8, w / 8): levels of Lite0 side by side, standardised per channel.

    Args:
        taps: blocks of Lite0, ascending.
    """

    def __init__(self, taps: Sequence[int]):
        super().__init__()
        self.levels = LevelFeatures(taps)
        self.dimensions = sum(channels_of(tap) for tap in taps)

    def forward(self, crops: Tensor) -> Tensor:
        """Return the features."""
        grid_hw = (int(crops.shape[1]) // STRIDE, int(crops.shape[2]) // STRIDE)
        return torch.cat([resized(shrunk(x, grid_hw), grid_hw) for x in self.levels(crops)], 1)


class Student(nn.Module):
    """(n, 3, h, w) → what the teacher says and what the autoencoder says, each (n, d, h/8, w/8).

    Args:
        dimensions: d.
        width: channels of the first convolution; the others have twice as many.
    """

    def __init__(self, dimensions: int, width: int):
        super().__init__()
        self.dimensions = dimensions
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(width, 2 * width, 3, 1, 1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(2 * width, 2 * dimensions, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both heads."""
        both = self.layers(x)
        return both[:, : self.dimensions], both[:, self.dimensions :]


class FeatureAutoencoder(nn.Module):
    """(n, 3, h, w) → the teacher's features, (n, d, h / 8, w / 8), through 64 numbers.

    Args:
        crop_hw: sides divisible by 32.
        dimensions: d.
    """

    def __init__(self, crop_hw: tuple[int, int], dimensions: int):
        super().__init__()
        self.grid_hw = (crop_hw[0] // 32, crop_hw[1] // 32)
        wide = AUTOENCODER_CHANNELS[-1]
        flat = wide * self.grid_hw[0] * self.grid_hw[1]
        down: list[nn.Module] = []
        for c_in, c_out in pairwise(AUTOENCODER_CHANNELS):
            down += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.ReLU()]
        self.encode = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, LATENT))
        self.widen = nn.Linear(LATENT, flat)
        self.convolutions = nn.ModuleList(nn.Conv2d(wide, wide, 3, 1, 1) for _ in range(3))
        self.tail = nn.Conv2d(wide, dimensions, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        h, w = self.grid_hw
        grid = self.widen(self.encode(x)).reshape(-1, AUTOENCODER_CHANNELS[-1], h, w)
        for doublings, convolution in enumerate(self.convolutions):
            grid = resized(grid, (h << doublings, w << doublings))
            grid = torch.relu(convolution(grid))
        features: Tensor = self.tail(grid)
        return features


class QuantileScale(nn.Module):
    """0.1 (m − q_a) / (q_b − q_a): 0 at the one quantile of good parts, 0.1 at the other."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.ones(()))

    def forward(self, distance: Tensor) -> Tensor:
        """Return the same shape; below q_a it is negative."""
        return 0.1 * (distance - self.low) / (self.high - self.low)
