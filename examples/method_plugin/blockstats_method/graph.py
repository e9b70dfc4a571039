"""The graph: what becomes ONNX and runs on the device, without this package."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK_PX = 8
"""Side of a block: the map has a pixel every 4."""

FEATURES = 6


def block_features(crops: Tensor) -> Tensor:
    """Return (n, FEATURES, h / BLOCK_PX, w / BLOCK_PX) of uint8 (n, h, w, 3) crops.

    Each block's mean blue, green and red, its contrast, and its mean steps to the right and down.
    """
    colour = crops.float().permute(0, 3, 1, 2) / 255  # first of all: TensorRT wants a cast there
    grey = colour.mean(1, keepdim=True)
    right = functional.pad((grey[..., 1:] - grey[..., :-1]).abs(), (0, 1, 0, 0))
    down = functional.pad((grey[..., 1:, :] - grey[..., :-1, :]).abs(), (0, 0, 0, 1))
    means = functional.avg_pool2d(torch.cat([colour, grey * grey, right, down], 1), BLOCK_PX)
    squared = means[:, :3].mean(1, keepdim=True).square()
    contrast = (means[:, 3:4] - squared).clamp(min=0).sqrt()
    blocks = torch.cat([means[:, :3], contrast, means[:, 4:]], 1)
    return functional.avg_pool2d(blocks, 3, 1, 1, count_include_pad=False)


class BlockGaussians(nn.Module):
    """crops → (score, map): how far each block is from the same block of good parts.

    Args:
        mean: (FEATURES, gh, gw) of good parts.
        whitening: (gh × gw, FEATURES, FEATURES), turns a difference into a distance.
        weight: (gh, gw), 0 beside the product.
    """

    mean: Tensor
    whitening: Tensor
    weight: Tensor

    def __init__(self, mean: Tensor, whitening: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)
        self.register_buffer("weight", weight)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (n,) and maps (n, h / 4, w / 4)."""
        off = (block_features(crops) - self.mean).flatten(2).permute(2, 1, 0)  # (blocks, f, n)
        distance = torch.matmul(self.whitening, off).square().sum(1).sqrt()  # (blocks, n)
        grid = distance.permute(1, 0).reshape(-1, 1, *self.weight.shape) * self.weight
        fine = functional.interpolate(grid, scale_factor=2.0, mode="bilinear")
        return grid.amax((1, 2, 3)), fine[:, 0]
