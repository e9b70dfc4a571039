"""BGAD's networks: levels of a frozen backbone, whitened, and one conditional flow for each.

Source: Yao et al., BGAD, CVPR 2023, section 3.2; couplings as in its code (affine, soft clamp 1.9,
two-layer subnetworks twice as wide as their input, a learned affine layer and a fixed rotation
behind each). A position's place enters every coupling as a 2-D sine and cosine code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_app.records import F64Array, U8Array
from export.backbones.efficientnet_lite import (
    EfficientNetLite0,
    channels_of,
    load_lite0,
    normalise_pixels,
    stride_of,
)
from export.methods.patches import BATCH, STD_FLOOR
from export.networks.density import ledoit_wolf, whitening_of
from export.workspace import OnProgress

SCALE_CROPS = 64
"""Crops the channels' scales come from; they only put features on one scale."""

WHITENING_CROPS = 256
"""Good crops a level is whitened by, spread evenly."""

WHITENING_POSITIONS = 50_000
"""About as many of their positions for the covariance."""

CLAMP = 1.9
"""Largest |log scale| of a coupling."""

SOFT_START = 0.1
"""Factor on the subnetwork's output, so that a fresh coupling is close to the identity."""

PLACE_WAVES = 10_000.0
"""Longest wavelength of the position code over 2π, in grid steps (Vaswani et al., 2017)."""


class LevelFeatures(nn.Module):
    """uint8 crops → one standardised (n, d, h, w) feature grid per tap.

    Args:
        taps: blocks of Lite0, ascending.
    """

    def __init__(self, taps: Sequence[int]):
        super().__init__()
        self.taps = tuple(taps)
        self.backbone: EfficientNetLite0 = load_lite0(max(taps)).requires_grad_(False)
        for level, tap in enumerate(taps):
            self.register_buffer(f"mean_{level}", torch.zeros(channels_of(tap)))
            self.register_buffer(f"std_{level}", torch.ones(channels_of(tap)))

    def forward(self, crops: Tensor) -> list[Tensor]:
        """Return the levels, each channel with mean 0 and deviation 1 over good crops."""
        levels = self.backbone(normalise_pixels(crops), self.taps)
        return [
            (x - self.moment("mean", i)[:, None, None]) / self.moment("std", i)[:, None, None]
            for i, x in enumerate(levels)
        ]

    def moment(self, name: str, level: int) -> Tensor:
        """Return the (d,) "mean" or "std" of a level."""
        found: Tensor = self.get_buffer(f"{name}_{level}")
        return found

    def standardise(self, crops: U8Array, device: str, on_progress: OnProgress) -> None:
        """Set means and deviations from good crops; the module is on `device`.

        Args:
            crops: uint8 (n, h, w, 3); of many SCALE_CROPS are taken, spread evenly.
            device: "cpu" or "cuda:0".
            on_progress: called with the share done.
        """
        crops = crops[:: -(-len(crops) // SCALE_CROPS)]
        sums: list[Tensor] = []
        for start in range(0, len(crops), BATCH):
            batch = torch.from_numpy(crops[start : start + BATCH]).to(device)
            with torch.no_grad():
                levels = self.backbone(normalise_pixels(batch), self.taps)
            moments = [x.double().flatten(2) for x in levels]  # (b, d, p) each
            pairs = [torch.stack([m.mean(2), m.square().mean(2)]).sum(1) for m in moments]
            sums = [a + b for a, b in zip(sums, pairs, strict=True)] if sums else pairs
            on_progress("channel scales", min(1.0, (start + BATCH) / len(crops)))
        for level, (total, squares) in enumerate(sums):
            mean = total / len(crops)
            variance = (squares / len(crops) - mean.square()).clamp(min=0)
            self.moment("mean", level).copy_(mean)
            self.moment("std", level).copy_(variance.sqrt() + STD_FLOOR)


class Whitening(nn.Module):
    """Standardised points → the same less the good mean of their place, and without correlation.

    A fresh flow is then one Gaussian round every place's mean, and learns what that misses.

    Args:
        places: p, positions of the level's grid.
        dimensions: d.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, places: int, dimensions: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(places, dimensions))
        self.register_buffer("matrix", torch.eye(dimensions))

    def forward(self, points: Tensor) -> Tensor:
        """Return (n, p, d) whitened points of (n, p, d) ones."""
        return (points - self.mean) @ self.matrix.T

    def at(self, points: Tensor, places: Tensor) -> Tensor:
        """Return (k, d) whitened points of (k, d) ones that lie at (k,) places."""
        return (points - self.mean[places]) @ self.matrix.T

    def fit(self, points: F64Array, on_product: NDArray[np.intp]) -> None:
        """Take every place's mean, and the covariance round the means (Ledoit and Wolf's).

        Args:
            points: (n, p, d) of good crops.
            on_product: places that count for the covariance.
        """
        mean = points.mean(0)
        every = max(1, len(points) * len(on_product) // WHITENING_POSITIONS)
        spread = (points[:, on_product] - mean[on_product]).reshape(-1, points.shape[2])
        order = np.random.default_rng(0).permutation(len(spread))[::every]
        covariance, _ = ledoit_wolf(spread[order])
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(whitening_of(covariance)))


def good_points(
    features: LevelFeatures, crops: U8Array, device: str, on_progress: OnProgress
) -> list[F64Array]:
    """Return (n, p, d) standardised points of good crops per level.

    Args:
        features: standardised, on the device.
        crops: uint8 (n, h, w, 3).
        on_progress: called with the share done.
    """
    crops = crops[:: -(-len(crops) // WHITENING_CROPS)]
    points: list[list[F64Array]] = [[] for _ in features.taps]
    for start in range(0, len(crops), BATCH):
        with torch.no_grad():
            levels = features(torch.from_numpy(crops[start : start + BATCH]).to(device))
        for level, x in enumerate(levels):
            points[level].append(x.flatten(2).transpose(1, 2).cpu().double().numpy())
        on_progress("whitening", min(1.0, (start + BATCH) / len(crops)))
    return [np.concatenate(level) for level in points]


def grid_of(tap: int, crop_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of a tap's grid for crops with sides divisible by 32."""
    return crop_hw[0] // stride_of(tap), crop_hw[1] // stride_of(tap)


def place_code(dimensions: int, grid_hw: tuple[int, int]) -> Tensor:
    """Return (h · w, dimensions): half the channels code the column, half the row.

    Source: the 2-D form of Vaswani et al., Attention is all you need, 2017, eq. for PE.

    Args:
        dimensions: divisible by 4.
    """
    half = dimensions // 2
    rates = torch.exp(torch.arange(0, half, 2) * (-math.log(PLACE_WAVES) / half))  # (half / 2,)
    height, width = grid_hw

    def waves(length: int) -> Tensor:
        angles = torch.arange(length)[:, None] * rates
        return torch.cat([torch.sin(angles), torch.cos(angles)], 1)  # (length, half)

    columns = waves(width)[None].expand(height, -1, -1)
    rows = waves(height)[:, None].expand(-1, width, -1)
    return torch.cat([columns, rows], 2).reshape(height * width, dimensions)


class Coupling(nn.Module):
    """One affine coupling, a learned affine layer and a fixed rotation; (n, p, d) → the same.

    Args:
        dimensions: d.
        place_dimensions: of the position code.
        generator: draws the rotation.
    """

    rotation: Tensor

    def __init__(self, dimensions: int, place_dimensions: int, generator: torch.Generator):
        super().__init__()
        self.kept = dimensions - dimensions // 2
        self.moved = dimensions // 2
        wide = 2 * (self.kept + place_dimensions)
        self.look = nn.Linear(self.kept, wide)
        self.place = nn.Linear(place_dimensions, wide, bias=False)
        self.tell = nn.Linear(wide, 2 * self.moved)
        self.log_scale = nn.Parameter(torch.zeros(dimensions))
        self.shift = nn.Parameter(torch.zeros(dimensions))
        square = torch.randn(dimensions, dimensions, generator=generator)
        self.register_buffer("rotation", torch.linalg.qr(square).Q.contiguous())

    def forward(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return the moved points and (n, p) log |det J|.

        Args:
            x: (n, p, d).
            place: (p, place_dimensions).
        """
        kept, moved = x[..., : self.kept], x[..., self.kept :]
        moving = self.tell(functional.relu(self.look(kept) + self.place(place))) * SOFT_START
        log_scale = CLAMP * torch.tanh(moving[..., : self.moved])
        moved = moved * torch.exp(log_scale) + moving[..., self.moved :]
        y = torch.cat([kept, moved], -1) * torch.exp(self.log_scale) + self.shift
        return y @ self.rotation, log_scale.sum(-1) + self.log_scale.sum()


class ConditionalFlow(nn.Module):
    """Couplings in a row: (n, p, d) features at p places → log-likelihoods.

    Args:
        dimensions: d.
        place_dimensions: of the position code.
        couplings: how many.
        seed: of the rotations.
    """

    def __init__(self, dimensions: int, place_dimensions: int, couplings: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.dimensions = dimensions
        self.couplings = nn.ModuleList(
            Coupling(dimensions, place_dimensions, generator) for _ in range(couplings)
        )

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """Return (n, p) log p / d of (n, p, d) features, place being (p, place_dimensions)."""
        log_det: Tensor | float = 0.0
        for coupling in self.couplings:
            x, change = coupling(x, place)
            log_det = log_det + change
        normal = -0.5 * (x.square().mean(-1) + math.log(2 * math.pi))  # already divided by d
        return normal + log_det / self.dimensions
