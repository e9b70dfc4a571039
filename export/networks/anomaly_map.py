"""From values on a feature grid to the contract's map, and from the map to a score."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.feature_grid import resized
from export.networks.onnx_export import MAP_STRIDE

REACH = 3.0
"""Half-width of the smoothing kernel in standard deviations: 99.7 % of its weight."""


class GaussianSmoothing(nn.Module):
    """Gaussian filter of (n, h, w) maps; at the border the mean of what is there.

    Two strips instead of a square: 2k products a position instead of k².

    Args:
        sigma: in map pixels.
        map_hw: (height, width); fixed, so that the border's weights are constants.
    """

    kernel: Tensor
    norm: Tensor

    def __init__(self, sigma: float, map_hw: tuple[int, int]):
        super().__init__()
        reach = max(1, math.ceil(REACH * sigma))
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (offsets / sigma).square())
        self.reach = reach
        self.register_buffer("kernel", kernel / kernel.sum())
        self.register_buffer("norm", self._strips(torch.ones(1, 1, *map_hw)))

    def forward(self, map_nhw: Tensor) -> Tensor:
        """Return (n, h, w)."""
        return (self._strips(map_nhw[:, None]) / self.norm)[:, 0]

    def _strips(self, x: Tensor) -> Tensor:
        column = functional.conv2d(x, self.kernel[None, None, :, None], padding=(self.reach, 0))
        return functional.conv2d(column, self.kernel[None, None, None, :], padding=(0, self.reach))


def enlarged(map_nhw: Tensor, crop_hw: tuple[int, int]) -> Tensor:
    """Return the map at one MAP_STRIDE-th of the crop's size, bilinear, (n, mh, mw)."""
    return resized(map_nhw[:, None], (crop_hw[0] // MAP_STRIDE, crop_hw[1] // MAP_STRIDE))[:, 0]


def map_size(crop_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the contract's (mh, mw) for a crop size."""
    return crop_hw[0] // MAP_STRIDE, crop_hw[1] // MAP_STRIDE


BESIDE = -1e4
"""What a map counts as beside the product where its peak is looked for: below every real value."""


def peak_on_product(map_nhw: Tensor, weight_hw: Tensor) -> Tensor:
    """Return each map's largest value where the weight is 1, (n,); it may be negative."""
    return torch.where(weight_hw > 0, map_nhw, BESIDE).amax((1, 2))
