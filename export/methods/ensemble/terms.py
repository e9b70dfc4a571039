"""The ensemble's terms: each turns frozen features into one score per crop and a map.

Every term is fitted to good crops alone and takes no steps, so it can be fitted anew to each fold
in seconds. Features are computed once; a term takes them by block number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.records import F32Array, U8Array
from export.methods.coreset import greedy_coreset
from export.methods.patchcore import NearestPatch
from export.networks.density import DISTANCE_FLOOR, fit_global, fit_positions
from export.networks.feature_grid import grid_weight, product_weight, resized, shrunk, smoothed
from export.networks.position_term import PositionTerm
from export.networks.regional_term import RegionalEmbedding, RegionalTerm, fit_regional
from export.networks.terms import (
    LocalGaussian,
    PatchEmbedding,
    StatisticsTerm,
    peak_score,
    semi_orthogonal,
    statistics_embedding,
)
from export.workspace import OnProgress

Taps = Mapping[int, Tensor]
"""Block number → (n, c, h, w) features."""

MEMORY_TAPS, MEMORY_STRIDE = (4, 10), 16
"""As in `export/methods/patchcore.py`."""

MEMORY_PATCHES, MEMORY_CANDIDATES, MEMORY_AT_ONCE = 2000, 80_000, 8
"""Fewer than PatchCore's own 3000 of 150,000: the memory is fitted once a fold, and the other terms
remember what is rare by position."""

MEMORY_FEW = 10_000
"""Up to so many patches the choice is the plain greedy one."""

DETAIL_TAPS, DETAIL_STRIDE, DETAIL_DIMENSIONS, DETAIL_CELL = (0, 2, 4), 4, 56, 4
CONTEXT_TAPS, CONTEXT_STRIDE, CONTEXT_DIMENSIONS, CONTEXT_CELL = (7, 10, 14), 16, 128, 2
GLOBAL_TAPS = (4, 7, 10, 14)
ALL_TAPS = (0, 2, 4, 7, 10, 14)
CHUNK = 32
"""Crops whose features are float32 at one time while a term is fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class CropFeatures:
    """Frozen features of many crops, kept in half precision.

    Attributes:
        taps: block number → float16 (n, c, h, w).
        crop_hw: the crops' size in pixels.
    """

    taps: dict[int, Tensor]
    crop_hw: tuple[int, int]

    def __len__(self) -> int:
        return len(self.taps[ALL_TAPS[0]])

    def rows(self, at: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> CropFeatures:
        """Return the features of the crops numbered `at`."""
        index = torch.from_numpy(at)
        return CropFeatures({b: x[index] for b, x in self.taps.items()}, self.crop_hw)

    def chunks(self) -> Iterator[dict[int, Tensor]]:
        """Yield float32 taps of CHUNK crops at a time."""
        for start in range(0, len(self), CHUNK):
            yield {b: x[start : start + CHUNK].float() for b, x in self.taps.items()}


class MemoryTerm(nn.Module):
    """PatchCore's: the distance of the farthest patch to its nearest good patch."""

    weight: Tensor

    def __init__(self, memory: Tensor, weight_hw: Tensor):
        super().__init__()
        self.nearest = NearestPatch(memory)
        self.register_buffer("weight", weight_hw)

    def forward(self, taps: Taps) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, gh, gw) squared distances."""
        h, w = (int(s) for s in self.weight.shape)
        distance = self.nearest(memory_grid(taps, (h, w))) * self.weight
        return distance.amax((1, 2)), distance.square()


class PositionsTerm(nn.Module):
    """A Gaussian per position: on early blocks small, faint defects of parts that lie exactly on
    one another; on late blocks what is wrong with a neighbourhood."""

    def __init__(self, gaussian: LocalGaussian):
        super().__init__()
        self.gaussian = gaussian

    def forward(self, taps: Taps) -> tuple[Tensor, Tensor]:
        """Return (n,) log peak energies and (n, gh, gw) energies."""
        energy = self.gaussian.energy(taps)
        return peak_score(energy), energy


class GlobalTerm(nn.Module):
    """One Gaussian on every block's channel means and deviations: what all of the crop shares."""

    def __init__(self, statistics: StatisticsTerm):
        super().__init__()
        self.statistics = statistics

    def forward(self, taps: Taps) -> tuple[Tensor, Tensor]:
        """Return (n,) log distances and the (n, gh, gw) GradCAM."""
        levels = [taps[b] for b in GLOBAL_TAPS]
        maps = self.statistics.maps(levels)
        grid_hw = (int(maps[0].shape[1]), int(maps[0].shape[2]))
        cam = torch.stack([resized(m[:, None], grid_hw)[:, 0] for m in maps]).sum(0)
        return torch.log(self.statistics(levels)), cam


class RegionsTerm(nn.Module):
    """A Gaussian per region of the crop: how its regions differ from one another."""

    def __init__(self, regional: RegionalTerm):
        super().__init__()
        self.regional = regional

    def forward(self, taps: Taps) -> tuple[Tensor, Tensor]:
        """Return (n,) log peak energies and (n, kh, kw) energies."""
        energy = self.regional.energy(taps)
        return torch.log(energy.amax((1, 2)) + DISTANCE_FLOOR), energy


def memory_grid(taps: Taps, grid_hw: tuple[int, int]) -> Tensor:
    """Return (n, d, *grid_hw): the memory's blocks, each averaged over 3×3 of its positions."""
    levels = [smoothed(taps[b]) for b in MEMORY_TAPS]
    return torch.cat([resized(shrunk(level, grid_hw), grid_hw) for level in levels], 1)


def fit_memory(
    features: CropFeatures, mask: U8Array | None, seed: int, on_progress: OnProgress
) -> MemoryTerm:
    """Return the memory of good crops' patches."""
    generator = torch.Generator().manual_seed(seed)
    weight = product_weight(mask, features.crop_hw, MEMORY_STRIDE)
    grid_hw = (int(weight.shape[0]), int(weight.shape[1]))
    inside = weight.flatten().nonzero()[:, 0]
    share = min(1.0, MEMORY_CANDIDATES / max(1, len(features) * len(inside)))
    kept = []
    for taps in features.chunks():
        grid = memory_grid(taps, grid_hw).flatten(2)[:, :, inside]
        patches = grid.transpose(1, 2).reshape(-1, grid.shape[1])
        count = max(1, round(share * len(patches)))
        kept.append(patches[torch.randperm(len(patches), generator=generator)[:count]])
    patches = torch.cat(kept)
    rows = greedy_coreset(
        patches,
        MEMORY_PATCHES,
        generator,
        lambda d: on_progress("memory", d),
        MEMORY_AT_ONCE if len(patches) > MEMORY_FEW else 1,
    )
    return MemoryTerm(patches[rows], weight)


def fit_context(features: CropFeatures, mask: U8Array | None, seed: int) -> PositionsTerm:
    """Return the Gaussians per position of late blocks."""
    shape = PositionsShape(CONTEXT_TAPS, CONTEXT_STRIDE, CONTEXT_DIMENSIONS, CONTEXT_CELL, True)
    return _fit_positions(features, mask, seed, shape)


def fit_detail(features: CropFeatures, mask: U8Array | None, seed: int) -> PositionsTerm:
    """Return the Gaussians per position of early blocks, evened out over the product."""
    shape = PositionsShape(DETAIL_TAPS, DETAIL_STRIDE, DETAIL_DIMENSIONS, DETAIL_CELL, False)
    term = _fit_positions(features, mask, seed, shape)
    _even_out(term, features)
    return term


@dataclass(frozen=True, slots=True)
class PositionsShape:
    """One Gaussian per position.

    Attributes:
        taps: blocks it looks at.
        stride: input pixels per grid step.
        dimensions: of the patch embedding.
        cell: side of a cell of positions that share a covariance, in grid steps.
        is_pooled: features are averaged over 3×3 positions first.
    """

    taps: tuple[int, ...]
    stride: int
    dimensions: int
    cell: int
    is_pooled: bool


def _fit_positions(
    features: CropFeatures, mask: U8Array | None, seed: int, shape: PositionsShape
) -> PositionsTerm:
    rng = np.random.default_rng(seed)
    taps, hw = shape.taps, features.crop_hw
    grid_hw = (hw[0] // shape.stride, hw[1] // shape.stride)
    pieces = semi_orthogonal(_channel_scales(features, taps), shape.dimensions, rng)
    embedding = PatchEmbedding(pieces, grid_hw, shape.is_pooled)
    with torch.no_grad():
        grids = [embedding([x[b] for b in taps]) for x in features.chunks()]
    grid = torch.cat(grids).numpy()
    weight = grid_weight(mask, hw, shape.stride) / np.float32(grid.shape[1])
    term = PositionTerm(fit_positions(grid, shape.cell), weight)
    return PositionsTerm(LocalGaussian(taps, embedding, term))


def _even_out(term: PositionsTerm, features: CropFeatures) -> None:
    """Weigh each position down by how anomalous good parts get there (edges, holes, print).

    With r the largest 3×3-mean energy of the good crops round a position and m its median over the
    product, the weight is m / max(r, m), as in `export/methods/cropliq/fit.py`.
    """
    with torch.no_grad():
        energies = [
            smoothed(term.gaussian.energy(taps)[:, None]).amax(0, keepdim=True)
            for taps in features.chunks()
        ]
    worst = functional.max_pool2d(torch.cat(energies).amax(0, keepdim=True), 3, 1, 1)[0, 0]
    if bool((worst > 0).any()):
        middle = float(worst[worst > 0].median())
        term.gaussian.position.weight.mul_(middle / worst.clamp(min=middle))


def fit_statistics(features: CropFeatures) -> GlobalTerm:
    """Return the global Gaussian."""
    rows = [statistics_embedding([taps[b] for b in GLOBAL_TAPS]) for taps in features.chunks()]
    return GlobalTerm(StatisticsTerm(fit_global(torch.cat(rows).double().numpy())))


def fit_regions(features: CropFeatures, seed: int) -> RegionsTerm:
    """Return the Gaussian per region, for a product that fills the crop."""
    embedding = RegionalEmbedding(features.crop_hw)
    regions = [embedding.regions([taps[b] for b in GLOBAL_TAPS]) for taps in features.chunks()]
    rng = np.random.default_rng(seed)
    return RegionsTerm(fit_regional(GLOBAL_TAPS, features.crop_hw, torch.cat(regions), rng))


def _channel_scales(features: CropFeatures, taps: tuple[int, ...]) -> list[F32Array]:
    """Return each tap's (c,) standard deviation over the first crops and positions."""
    first = next(features.chunks())
    return [
        torch.sqrt(first[b].var((0, 2, 3), unbiased=False).clamp(min=1e-8)).numpy() for b in taps
    ]
