"""What tells a harmless appearance from a defect: one linear discriminant of places. No IO.

One class are the places that stand out on parts which people called good; the other those that
stand out on drawn defects. Each crop weighs the same in its class, and both classes do.

Source: Fisher, The use of multiple measurements in taxonomic problems, 1936. Deviation: the
covariance is the mean of both classes' own, shrunk towards a multiple of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edge_app.records import F32Array, F64Array
from export.defects.evidence import I64Array
from export.feedback_build.harmless_graph import (
    HarmlessHead,
    fine_features,
    fine_grid,
    place_energy,
)
from export.methods.ensemble.graph import EnsembleGraph
from export.methods.ensemble.terms import CropFeatures

STANDS_OUT = 0.5
"""Share of the energy that gives the limit: a place beside the peak belongs to what is seen."""

MOST_PLACES = 512
"""Of one crop, those of the largest energies: a large defect is no larger class."""

SHRINKAGE = 0.01
STD_FLOOR = 1e-3

FEWEST = 3
"""Crops of a class with places that stand out; with fewer nothing can be told from them."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What good crops look like, place by place.

    Attributes:
        mean: (c, gh, gw) float32.
        std: (c,) float32, over crops and places.
    """

    mean: F32Array
    std: F32Array


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places that stand out.

    Attributes:
        x: (m, c) float32, standardised features.
        crop: (m,) int64, whose.
    """

    x: F32Array
    crop: I64Array

    def of(self, crops: Sequence[int]) -> Places:
        """Return those of some crops."""
        at = np.isin(self.crop, np.array(crops, np.int64))
        return Places(self.x[at], self.crop[at])

    @property
    def crops(self) -> int:
        """How many crops have any."""
        return len(np.unique(self.crop))


def scale_of_good(good: CropFeatures) -> Scale:
    """Return the features' mean at each place, and their spread round it."""
    grid, count = fine_grid(good.crop_hw), 0
    total = square = torch.zeros(1)
    with torch.no_grad():
        for taps in good.chunks():
            x = fine_features(taps, grid).double()
            total, square, count = total + x.sum(0), square + x.square().sum(0), count + len(x)
    mean = total / count
    variance = (square / count - mean.square()).clamp(min=0).mean((1, 2))
    std = torch.sqrt(variance) + STD_FLOOR
    return Scale(mean.float().numpy(), std.float().numpy())


def places_of(features: CropFeatures, graph: EnsembleGraph, limit: float, scale: Scale) -> Places:
    """Return the places that stand out on crops, by a graph's finest term."""
    grid = fine_grid(features.crop_hw)
    found, owners, start = [], [], 0
    mean, std = torch.from_numpy(scale.mean), torch.from_numpy(scale.std)[:, None, None]
    with torch.no_grad():
        for taps in features.chunks():
            energy = place_energy(graph, taps, limit, grid).flatten(1)
            x = ((fine_features(taps, grid) - mean) / std).flatten(2)
            for i, row in enumerate(energy):
                top = torch.topk(row, min(MOST_PLACES, len(row)))
                at = top.indices[top.values >= STANDS_OUT]
                found.append(x[i][:, at].T.numpy())
                owners += [start + i] * len(at)
            start += len(energy)
    width = int(scale.mean.shape[0])
    rows = np.concatenate(found) if found else np.zeros((0, width), np.float32)
    return Places(rows.astype(np.float32), np.array(owners, np.int64))


def fit_head(harmless: Places, defects: Places, scale: Scale) -> HarmlessHead | None:
    """Return what tells them apart, half-way between both; None with too few crops of a class."""
    if harmless.crops < FEWEST or defects.crops < FEWEST:
        return None
    (m1, c1), (m2, c2) = _moments(harmless), _moments(defects)
    pooled = (c1 + c2) / 2
    pooled.flat[:: len(pooled) + 1] += SHRINKAGE * np.trace(pooled) / len(pooled)
    direction = np.linalg.solve(pooled, m1 - m2)
    weight = direction / scale.std
    middle = -float(direction @ (m1 + m2)) / 2
    offset = middle - np.einsum("c,chw->hw", weight, scale.mean.astype(np.float64))
    return HarmlessHead(weight.astype(np.float32), offset.astype(np.float32)).eval()


def _moments(places: Places) -> tuple[F64Array, F64Array]:
    """Return (c,) mean and (c, c) covariance, every crop with the same weight."""
    _, inverse, counts = np.unique(places.crop, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[inverse] / len(counts)
    x = places.x.astype(np.float64)
    mean = weight @ x
    centred = x - mean
    return mean, (centred * weight[:, None]).T @ centred
