"""DRAEM's two networks.

Source: Zavrtanik et al., DRAEM, ICCV 2021, figure 3 and the authors' widths: 128 for the
reconstructive and 64 for the discriminative sub-network, 97.4 million parameters together.
Deviation: bilinear enlargement with align_corners off, which every runtime has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

INIT_STD = 0.02
"""Standard deviation of fresh weights (the authors' code, after DCGAN)."""


def conv_block(*channels: int) -> nn.Sequential:
    """Return 3×3 convolution, BatchNorm and ReLU for each pair of neighbouring channel counts."""
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise(channels):
        layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Two convolutions a level, halved between the levels."""

    def __init__(self, c_in: int, widths: Sequence[int]):
        super().__init__()
        pairs = pairwise((c_in, *widths))
        self.levels = nn.ModuleList(conv_block(before, after, after) for before, after in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the levels' outputs, finest first: (n, widths[i], h / 2^i, w / 2^i)."""
        outputs = [self.levels[0](x)]
        for level in self.levels[1:]:
            outputs.append(level(functional.max_pool2d(outputs[-1], 2)))
        return outputs


class Reconstructive(nn.Module):
    """The picture as it would look without its anomaly; no skip connections.

    Args:
        width: channels of the finest level.
    """

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.encoder = Encoder(3, (w, 2 * w, 4 * w, 8 * w, 8 * w))
        sizes = [(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, w)]
        self.ups = nn.ModuleList(conv_block(before, before) for before, _ in sizes)
        self.blocks = nn.ModuleList(conv_block(before, before, after) for before, after in sizes)
        self.out = nn.Conv2d(w, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 3, h, w) of (n, 3, h, w); sides divisible by 16."""
        x = self.encoder(x)[-1]
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(doubled(x)))
        out: Tensor = self.out(x)
        return out


class Discriminative(nn.Module):
    """Where picture and reconstruction differ in a way that matters: a U-Net.

    Args:
        width: channels of the finest level.
    """

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.encoder = Encoder(6, (w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w))
        sizes = [(8 * w, 8 * w, 8 * w), (8 * w, 4 * w, 8 * w), (4 * w, 2 * w, 4 * w),
                 (2 * w, w, 2 * w), (w, w, w)]  # before, after, skipped  # fmt: skip
        self.ups = nn.ModuleList(conv_block(before, after) for before, after, _ in sizes)
        self.blocks = nn.ModuleList(
            conv_block(after + skipped, after, after) for _, after, skipped in sizes
        )
        self.out = nn.Conv2d(w, 2, 3, padding=1)

    def forward(self, pair: Tensor) -> Tensor:
        """Return (n, 2, h, w) logits of (n, 6, h, w); sides divisible by 32."""
        *finer, x = self.encoder(pair)
        for up, block, skipped in zip(self.ups, self.blocks, reversed(finer), strict=True):
            x = block(torch.cat([up(doubled(x)), skipped], 1))
        out: Tensor = self.out(x)
        return out


class DraemNet(nn.Module):
    """Both sub-networks, freshly initialised."""

    def __init__(self, reconstructive_width: int, discriminative_width: int):
        super().__init__()
        self.reconstructive = Reconstructive(reconstructive_width)
        self.discriminative = Discriminative(discriminative_width)
        self.apply(_fresh)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (n, 3, h, w) reconstruction and the (n, 2, h, w) logits; x is 0..1."""
        rebuilt = self.reconstructive(x)
        return rebuilt, self.discriminative(torch.cat([x, rebuilt], 1))


def doubled(x: Tensor) -> Tensor:
    """Return (n, c, 2h, 2w), bilinear."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _fresh(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, INIT_STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, INIT_STD)
        nn.init.zeros_(module.bias)
