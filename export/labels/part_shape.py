"""From a segmented area to an oriented box along the part's own axis.

A minimum-area rectangle is not that: on tapered parts one of its sides lies along a flank, left
or right at random (6.4° off on screws). The principal axis of the area is; only parts
that have no long axis take the rectangle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_app.imaging.oriented_box import wrap_half_turn, wrap_turn
from edge_app.records import BoxCxcywhr, F32Array, F64Array
from export.labels.segmentation import BoolArray, Component

Kind = Literal["elongated", "compact", "round"]
"""elongated: one long axis. compact: as long as wide, with corners. round: no axis at all."""

ELONGATED_RATIO = 1.25
"""Long over short principal spread from which the principal axis is the part's axis."""

ROUND_SPREAD = 0.03
"""Spread of the outline's radius over its mean: a disc 0.01, a hexagon 0.05, a square 0.11."""

DIRECTION_SKEW = 0.12
"""|skewness| of the area along its axis from which the ends differ enough to tell them apart."""

ELONGATED_ASPECT = 1.15
"""From this ratio of sides on the long axis is known even from a box that is a little off."""


@dataclass(frozen=True, slots=True, eq=False)
class PartShape:
    """One segmented area, measured in frame pixels (centres at whole numbers).

    Attributes:
        outline_xy: float32 (k, 2).
        area_px: its area, holes filled.
        contrast: median distance from the background, in background spreads.
        centre_xy: the centre of mass.
        axis_rad: the principal axis, in [−π/2, π/2).
        elongation: long over short principal spread, >= 1.
        skew: skewness of the area along +axis; positive: the mass sits at the −axis end.
        radius_spread: standard deviation of the outline's radius over its mean.
    """

    outline_xy: F32Array
    area_px: float
    contrast: float
    centre_xy: tuple[float, float]
    axis_rad: float
    elongation: float
    skew: float
    radius_spread: float

    def mask(self, frame_hw: tuple[int, int]) -> BoolArray:
        """Return the area as bool (h, w)."""
        canvas = np.zeros(frame_hw, np.uint8)
        return cv2.fillPoly(canvas, [np.rint(self.outline_xy).astype(np.int32)], 1) > 0


def measured(component: Component, distance_hw: F32Array, frame_hw: tuple[int, int]) -> PartShape:
    """Return a component of the working picture, measured in frame pixels."""
    zoom_xy = np.array(frame_hw[::-1]) / component.mask_hw.shape[::-1]  # (2,)
    rows, columns = np.nonzero(component.mask_hw)
    points = (np.column_stack([columns, rows]) + 0.5) * zoom_xy - 0.5  # (n, 2)
    centre = points.mean(axis=0)
    axis_rad, elongation, skew = _principal(points - centre)
    outline = (_outline(component.mask_hw) + 0.5) * zoom_xy - 0.5
    radius = np.linalg.norm(outline - centre, axis=1)
    return PartShape(
        outline_xy=outline.astype(np.float32),
        area_px=float(len(points) * zoom_xy.prod()),
        contrast=float(np.median(distance_hw[component.mask_hw])),
        centre_xy=(float(centre[0]), float(centre[1])),
        axis_rad=axis_rad,
        elongation=elongation,
        skew=skew,
        radius_spread=float(radius.std() / max(float(radius.mean()), 1e-9)),
    )


def kind_of(shape: PartShape) -> Kind:
    """Return what sort of axis a part has."""
    if shape.elongation >= ELONGATED_RATIO:
        return "elongated"
    return "round" if shape.radius_spread < ROUND_SPREAD else "compact"


def box_of(shape: PartShape, kind: Kind) -> BoxCxcywhr:
    """Return the box round the area along the axis that `kind` names.

    An elongated part's angle points from its heavy end to its light end where the two differ
    (`has_direction`), and lies in [−π/2, π/2) otherwise. A round part's angle is 0.
    """
    if kind == "elongated":
        turned = shape.axis_rad + (math.pi if shape.skew < 0 else 0.0)
        return _box_along(shape, wrap_turn(turned) if has_direction(shape) else shape.axis_rad)
    if kind == "round":
        return _box_along(shape, 0.0)
    rectangle = cv2.minAreaRect(shape.outline_xy)
    return _box_along(shape, wrap_half_turn(math.radians(rectangle[2])))


def has_direction(shape: PartShape) -> bool:
    """Return whether an elongated part's two ends can be told apart by their area."""
    return shape.elongation >= ELONGATED_RATIO and abs(shape.skew) >= DIRECTION_SKEW


def _box_along(shape: PartShape, angle_rad: float) -> BoxCxcywhr:
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    axes = np.array([[cos, -sin], [sin, cos]])
    turned = shape.outline_xy @ axes  # (k, 2): along and across
    low, high = turned.min(axis=0), turned.max(axis=0)
    cx, cy = axes @ ((low + high) / 2)
    w, h = high - low + 1.0  # outlines run through pixel centres
    return float(cx), float(cy), float(w), float(h), angle_rad


def _principal(centred_xy: F64Array) -> tuple[float, float, float]:
    """Return the principal axis, the ratio of spreads and the skewness along the axis."""
    if len(centred_xy) < 3:
        return 0.0, 1.0, 0.0
    values, vectors = np.linalg.eigh(np.cov(centred_xy.T))
    angle_rad = wrap_half_turn(math.atan2(vectors[1, 1], vectors[0, 1]))
    along = centred_xy @ (math.cos(angle_rad), math.sin(angle_rad))
    spread = max(float(along.std()), 1e-9)
    elongation = math.sqrt(values[1] / max(values[0], 1e-9))
    return angle_rad, elongation, float(np.mean(along**3)) / spread**3


def _outline(mask_hw: BoolArray) -> F64Array:
    found, _ = cv2.findContours(mask_hw.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(found, key=len)
    return np.asarray(longest, np.float64).reshape(-1, 2)
