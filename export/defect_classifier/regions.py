"""Regions round labelled defects, as the device will cut them, and varied for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.defect_region import RegionSpec, region_of
from edge_app.records import F64Array, U8Array
from export.defects.labelled import KnownDefect

SHIFT_SHARE, SCALE_SHARE = 0.08, 0.2
"""How far a found outline may lie from the labelled one: its middle, as a share of its extent,
and the logarithm of its size."""

GAIN_SHARE = 0.15
"""Brightness between two parts, either way."""

SHIFTED = 1
"""Varied cuts of each defect beside the exact one."""

SMALLEST = 0.1
"""No region shows less than the smallest tenth of the labelled defects need."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """All that training sees of the labelled defects.

    Attributes:
        regions: uint8 (cuts, n, h, w, 3); the first cut is the exact one.
        spec: how they were cut.
    """

    regions: U8Array
    spec: RegionSpec


def spec_for(
    defects: Sequence[KnownDefect], region_hw: tuple[int, int], margin: float
) -> RegionSpec:
    """Return how to cut regions with this margin: the least window comes from the defects."""
    sides = [max(np.ptp(np.asarray(d.polygon_xy), axis=0)) for d in defects]
    window_px = float(np.quantile(sides, SMALLEST)) * (1 + 2 * margin)
    return RegionSpec(region_hw, max(window_px, 1.0), margin)


def cut_views(defects: Sequence[KnownDefect], spec: RegionSpec, seed: int) -> Views:
    """Return every defect's region, cut exactly and `SHIFTED` times beside it."""
    rng = np.random.default_rng([seed, 2])
    cuts: list[list[U8Array]] = [[] for _ in range(1 + SHIFTED)]
    for defect in defects:
        pixels = defect.read()
        outline = np.asarray(defect.polygon_xy, np.float64)
        cuts[0].append(region_of(pixels, defect.polygon_xy, defect.angle_rad, spec))
        for cut in cuts[1:]:
            moved = tuple((float(x), float(y)) for x, y in _varied(outline, rng))
            region = region_of(pixels, moved, defect.angle_rad, spec)
            gain = rng.uniform(1 - GAIN_SHARE, 1 + GAIN_SHARE)
            cut.append(np.clip(np.round(region * gain), 0, 255).astype(np.uint8))
    return Views(np.stack([np.stack(cut) for cut in cuts]), spec)


def _varied(outline_xy: F64Array, rng: np.random.Generator) -> F64Array:
    """Return an outline shifted and scaled about its middle, (k, 2)."""
    low, high = outline_xy.min(axis=0), outline_xy.max(axis=0)
    middle, extent = (low + high) / 2, float((high - low).max())
    scale = np.exp(rng.uniform(-SCALE_SHARE, SCALE_SHARE))
    shift = rng.uniform(-SHIFT_SHARE, SHIFT_SHARE, 2) * extent
    moved: F64Array = middle + shift + (outline_xy - middle) * scale
    return moved


def turned_ways(regions: U8Array) -> list[U8Array]:
    """Return the regions in all eight turns and mirror images, the given way first.

    Args:
        regions: uint8 (n, s, s, 3), square.
    """
    return [
        np.ascontiguousarray(np.rot90(mirrored, turns, (1, 2)))
        for mirrored in (regions, regions[:, :, ::-1])
        for turns in range(4)
    ]
