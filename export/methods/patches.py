"""Patch features of a frozen backbone, as PatchCore, SimpleNet and PaDiM look at them.

Several blocks of Lite0, each averaged over its neighbourhood where the method asks for it, side by
side on one grid: (n, Σc, gh, gw). Finer blocks are averaged down to it, coarser ones enlarged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from edge_app.records import U8Array
from export.backbones.efficientnet_lite import (
    EfficientNetLite0,
    channels_of,
    load_lite0,
    normalise_pixels,
)
from export.methods.protocol import TrainingSet
from export.networks.feature_grid import resized, shrunk, smoothed
from export.workspace import OnProgress

BATCH = 8
"""Crops a forward pass: more does not speed up two cores."""

STD_FLOOR = 1e-6
"""Added to channel standard deviations: a dead ReLU6 channel has none."""


class PatchFeatures(nn.Module):
    """uint8 crops → (n, d, gh, gw) patch features, d the sum of the taps' channels.

    Args:
        taps: blocks of Lite0, ascending.
        stride: input pixels per grid step, a power of two.
        is_pooled: each tap is averaged over 3×3 of its own positions ("locally aware"); at the
            border over what is there, where the papers' code counts zeros.
    """

    scale: Tensor

    def __init__(self, taps: Sequence[int], stride: int, is_pooled: bool):
        super().__init__()
        self.taps = tuple(taps)
        self.stride = stride
        self.is_pooled = is_pooled
        self.backbone: EfficientNetLite0 = load_lite0(max(taps)).requires_grad_(False)
        self.dimensions = sum(channels_of(tap) for tap in taps)
        self.register_buffer("scale", torch.ones(self.dimensions))

    def forward(self, crops: Tensor) -> Tensor:
        """Return (n, d, gh, gw) features, divided by `scale` (d,)."""
        levels = self.backbone(normalise_pixels(crops), self.taps)
        if self.is_pooled:
            levels = [smoothed(level) for level in levels]
        grid_hw = (int(crops.shape[1]) // self.stride, int(crops.shape[2]) // self.stride)
        joined = torch.cat([resized(shrunk(level, grid_hw), grid_hw) for level in levels], 1)
        return joined / self.scale[None, :, None, None]

    def standardise(self, data: TrainingSet, device: str, on_progress: OnProgress) -> None:
        """Set `scale` to each channel's standard deviation over good crops and positions."""
        self.scale.fill_(1.0)
        total, squares, count = torch.zeros(()), torch.zeros(()), 0
        for x in feature_batches(
            self, data.crops, device, lambda d: on_progress("channel scales", d)
        ):
            moments = x.double()
            total = total + moments.mean((2, 3)).sum(0).cpu()
            squares = squares + moments.square().mean((2, 3)).sum(0).cpu()
            count += len(x)
        variance = squares / count - (total / count).square()
        self.scale.copy_(variance.clamp(min=0).sqrt().float() + STD_FLOOR)


def feature_batches(
    features: nn.Module, crops: U8Array, device: str, done: Callable[[float], None]
) -> Iterator[Tensor]:
    """Yield a frozen module's output for BATCH crops at a time, on the device, no gradient."""
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            batch: Tensor = features(torch.from_numpy(crops[start : start + BATCH]).to(device))
            yield batch
            done(min(1.0, (start + BATCH) / len(crops)))
