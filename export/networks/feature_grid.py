"""Feature maps of different strides on one grid, and which of its positions are product."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge_app.records import F32Array, U8Array


def smoothed(x: Tensor) -> Tensor:
    """Return the 3×3 mean of (n, c, h, w); at the border the mean of what is there."""
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def shrunk(x: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return x averaged over whole blocks where it is finer than `hw`, otherwise as it is."""
    factor = int(x.shape[2]) // hw[0]
    return functional.avg_pool2d(x, factor) if factor > 1 else x


def resized(x: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return (n, c, *hw), bilinear."""
    if (int(x.shape[2]), int(x.shape[3])) == hw:
        return x
    return functional.interpolate(x, size=hw, mode="bilinear", align_corners=False)


def grid_weight(mask_hw: U8Array | None, crop_hw: tuple[int, int], stride: int) -> F32Array:
    """Return (gh, gw) float32: 1 where at least half of the position's pixels are product.

    A product so thin that no position is half full keeps its fullest ones.
    """
    grid_hw = (crop_hw[0] // stride, crop_hw[1] // stride)
    if mask_hw is None:
        return np.ones(grid_hw, np.float32)
    blocks = (mask_hw > 0).reshape(grid_hw[0], stride, grid_hw[1], stride).mean((1, 3))
    return np.asarray(blocks >= min(0.5, float(blocks.max())), np.float32)


def product_weight(mask_hw: U8Array | None, crop_hw: tuple[int, int], stride: int) -> Tensor:
    """Return `grid_weight` as a tensor."""
    return torch.from_numpy(grid_weight(mask_hw, crop_hw, stride))
