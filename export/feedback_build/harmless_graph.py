"""The default method's graph that passes over places which look like what people called harmless.

Densities that learn a rare appearance grow deaf wherever it was seen: on the simulated line white
spots on 14 marked parts took 232 of 309 planted defects from them (docs/decisions/0029). Here no
density learns it. One linear look at the backbone's early blocks says which places show it, and
these do not count; every other place is judged as before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.records import F32Array
from export.methods.ensemble.choice import Scale
from export.methods.ensemble.graph import EnsembleGraph
from export.methods.ensemble.terms import MemoryTerm, PositionsTerm, Taps, memory_grid
from export.networks.density import DISTANCE_FLOOR
from export.networks.feature_grid import resized, shrunk, smoothed

HEAD_TAPS = (2, 4, 7)
"""Blocks that tell a spot from a scratch: on seed 22 of the simulated line (drawn defects lossless)
the first two alone leave 64 of 150 parts with spots alarmed at a loss of 24 of 309 planted defects,
all three 32 at a loss of 26."""

HEAD_STRIDE = 4
"""Input pixels per position."""

LOCAL_TERMS = ("detail", "memory", "context")
"""Terms that judge place by place, the finest first; the others see the whole crop at once."""


def fine_grid(crop_hw: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the head's grid."""
    return crop_hw[0] // HEAD_STRIDE, crop_hw[1] // HEAD_STRIDE


def fine_features(taps: Mapping[int, Tensor], grid_hw: tuple[int, int]) -> Tensor:
    """Return (n, c, *grid_hw): the head's blocks on its grid."""
    return torch.cat([resized(shrunk(taps[b], grid_hw), grid_hw) for b in HEAD_TAPS], 1)


class HarmlessHead(nn.Module):
    """Says where a crop shows what people called harmless.

    Args:
        weight: (c,) float32.
        offset_hw: (gh, gw) float32; a place is harmless where weight · features + offset > 0.
    """

    offset: Tensor

    def __init__(self, weight: F32Array, offset_hw: F32Array):
        super().__init__()
        self.grid_hw = (int(offset_hw.shape[0]), int(offset_hw.shape[1]))
        self.look = nn.Conv2d(len(weight), 1, 1, bias=False).requires_grad_(False)
        self.look.weight.copy_(torch.from_numpy(weight.astype(np.float32))[None, :, None, None])
        self.register_buffer("offset", torch.from_numpy(offset_hw.astype(np.float32)))

    def forward(self, taps: Taps) -> Tensor:
        """Return (n, gh, gw): 0 where the place or one beside it is harmless, otherwise 1."""
        value = self.values(taps)
        found = (value > 0).to(value.dtype)[:, None]
        return 1.0 - functional.max_pool2d(found, 3, 1, 1)[:, 0]

    def values(self, taps: Taps) -> Tensor:
        """Return (n, gh, gw): how far each place is on the harmless side."""
        found: Tensor = self.look(fine_features(taps, self.grid_hw))[:, 0] + self.offset
        return found

    def stricter(self, margin: float) -> HarmlessHead:
        """Return one to which a place is harmless only from a value of `margin` on."""
        weight = self.look.weight[0, :, 0, 0].numpy()
        return HarmlessHead(weight, self.offset.numpy() - np.float32(margin)).eval()


class HarmlessGraph(EnsembleGraph):
    """crops → (score, map) of an ensemble of local terms, less the harmless places.

    Args:
        graph: its terms are all in LOCAL_TERMS.
    """

    def __init__(self, graph: EnsembleGraph, head: HarmlessHead):
        scales = [
            Scale(float(offset), float(scale))
            for offset, scale in zip(graph.offset, graph.scale, strict=True)
        ]
        terms = [graph.terms[name] for name in graph.names]
        super().__init__(
            graph.extractor, graph.names, terms, scales, graph.map_scales, graph.crop_hw
        )
        self.head = head

    def found(self, taps: Taps) -> list[tuple[Tensor, Tensor]]:
        """Return what the terms find where the places are not harmless."""
        counts = self.head(taps)
        return [_without(self.terms[name], taps, counts) for name in self.names]


def _without(term: nn.Module, taps: Taps, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return a term's (n,) score and (n, gh, gw) map where the harmless places are 0."""
    if isinstance(term, MemoryTerm):
        hw = (int(term.weight.shape[0]), int(term.weight.shape[1]))
        distance = term.nearest(memory_grid(taps, hw)) * term.weight * coarser(counts, hw)
        return distance.amax((1, 2)), distance.square()
    if not isinstance(term, PositionsTerm):
        raise TypeError(f"{type(term).__name__} judges no single places")
    energy = term.gaussian.energy(taps)
    counts = coarser(counts, (int(energy.shape[1]), int(energy.shape[2])))
    peaks = smoothed(energy[:, None])[:, 0] * counts
    return torch.log(peaks.amax((1, 2)) + DISTANCE_FLOOR), energy * counts


def coarser(counts: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return (n, *hw): 0 where any of the finer places is 0."""
    factor = int(counts.shape[1]) // hw[0]
    if factor <= 1:
        return counts
    found: Tensor = functional.max_pool2d(1.0 - counts[:, None], factor)[:, 0]
    return 1.0 - found


def place_energy(graph: EnsembleGraph, taps: Taps, limit: float, hw: tuple[int, int]) -> Tensor:
    """Return (n, *hw): each place's energy by the finest term, 1 where it alone gives the limit."""
    name = next(n for n in LOCAL_TERMS if n in graph.names)
    at = graph.names.index(name)
    raw = limit * float(graph.scale[at]) + float(graph.offset[at])
    term = graph.terms[name]
    if isinstance(term, MemoryTerm):
        _, squared = term(taps)
        energy = squared / max(raw * raw, DISTANCE_FLOOR)
    else:
        _, energy = term(taps)
        energy = smoothed(energy[:, None])[:, 0] / float(np.exp(raw))
    finer: Tensor = energy
    if (int(energy.shape[1]), int(energy.shape[2])) != hw:
        finer = functional.interpolate(energy[:, None], size=hw, mode="nearest")[:, 0]
    return finer
