"""The region around a defect that the defect classifier gets: its size and how it is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.records import F64Array, PointXy, U8Array

UNKNOWN = "unknown"
"""Name of a defect that fits no defect class; no class may have it."""


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """How the region around a defect is cut.

    Attributes:
        region_hw: (height, width) of the classifier's input, in pixels.
        window_px: least extent of what a region shows, in frame pixels.
        margin: share of a defect's extent added on each side; defects whose extent with it
            exceeds `window_px` are shrunk to fit.
    """

    region_hw: tuple[int, int]
    window_px: float
    margin: float


def region_of(
    pixels_hwc: U8Array,
    polygon_xy: Sequence[PointXy],
    angle_rad: float,
    spec: RegionSpec,
) -> U8Array:
    """Return the pixels around a defect, along the product's own axes.

    Args:
        pixels_hwc: uint8 (h, w, 3), the frame: at full resolution, however small the crop was.
        polygon_xy: the defect's outline in frame pixels, at least one point.
        angle_rad: the product's direction.

    Returns:
        uint8 (region_h, region_w, 3); outside the frame the border pixel is repeated.

    Raises:
        ShapeError: the frame is empty or not uint8 (h, w, 3).
    """
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    to_frame = np.array([[cos, -sin], [sin, cos]])
    along_xy: F64Array = np.asarray(polygon_xy, np.float64) @ to_frame  # (n, 2), product's axes
    low, high = along_xy.min(axis=0), along_xy.max(axis=0)
    cx, cy = to_frame @ ((low + high) / 2)
    w, h = np.maximum(high - low, spec.window_px / (1 + 2 * spec.margin))
    box = float(cx), float(cy), float(w), float(h), angle_rad
    return upright_crop(pixels_hwc, box, CropSpec(spec.region_hw, spec.margin))
