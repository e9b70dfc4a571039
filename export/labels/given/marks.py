"""One product as a person marked it, whatever the tool, and the oriented box that follows from it.

Tools count from the picture's edge, so a pixel's centre lies at x + 0.5; boxes here count from
centres (`edge_app/imaging/oriented_box.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import BoxCxcywhr, F64Array
from export.labels.part_shape import Kind, PartShape, box_of, kind_of, measured
from export.labels.segmentation import Component

Form = Literal["box", "upright", "outline"]
"""box: four corners at the part's own angle. upright: four corners along the picture's sides, the
part may lie at any angle within. outline: three corners or more along the part's outline."""

BEYOND = 0.1
"""Share of the picture by which a corner may lie outside it: a turned box crosses the border."""

LEAST_AREA = 1e-8
"""Of the picture."""

FINE_PX = 256
"""The longer side of an outline's upright box when its axis is measured."""

ALIKE = 0.2
"""Upright boxes of one product that always lies the same way differ by less of their sides."""

MANY_UNLIKE = 0.1
"""A larger share of unlike upright boxes is no slip of the hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One product in one picture.

    Attributes:
        label: the class as the tool names it; "" where it has none.
        corners_xy: (k, 2) float64, frame pixels counted from the picture's edge.
        form: what the corners are.
    """

    label: str
    corners_xy: F64Array
    form: Form


def checked(
    corners: Sequence[Sequence[float]], frame_hw: tuple[int, int], where: str, got: str
) -> F64Array:
    """Return corners in pixels as an array, if they can be a product's.

    Args:
        where: the file and the place in it, for the sentence.
        got: what stands there.

    Raises:
        DataError: not finite, outside the picture, or they enclose nothing.
    """
    h, w = frame_hw
    points = np.array(corners, np.float64).reshape(-1, 2)
    shares = points / (w, h)
    if not np.isfinite(shares).all():
        raise DataError(f"{where}: a corner is no number: {got[:60]!r}. Correct or remove it.")
    if shares.min() < -BEYOND or shares.max() > 1 + BEYOND:
        raise DataError(
            f"{where}: corners lie outside the picture of {w}×{h} pixels (at most {BEYOND:g} of "
            f"its sides are allowed, where a turned box crosses the border), got {got[:60]!r}. "
            "Correct or remove it."
        )
    if area_of(shares) < LEAST_AREA:
        raise DataError(f"{where}: its corners enclose nothing: {got[:60]!r}. Remove it.")
    return points


def area_of(points_xy: F64Array) -> float:
    """Return the area of a polygon (k, 2)."""
    x, y = points_xy.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def box_along_corners(corners_xy: F64Array) -> BoxCxcywhr:
    """Return the box whose four corners these are: sides as means, angle along the first side."""
    corners = corners_xy - 0.5
    along = (corners[1] - corners[0] + corners[2] - corners[3]) / 2
    across = (corners[2] - corners[1] + corners[3] - corners[0]) / 2
    cx, cy = (float(v) for v in corners.mean(axis=0))
    angle_rad = math.atan2(along[1], along[0])
    return cx, cy, float(np.hypot(*along)), float(np.hypot(*across)), angle_rad


def upright_corners(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    """Return the four corners of an upright box."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def outline_shape(corners_xy: F64Array) -> PartShape:
    """Return what the labelling by segmentation measures of a part, of its drawn outline.

    Its area is drawn FINE_PX large for that; the outline is the one that was given.
    """
    low = corners_xy.min(axis=0)
    drawn = (corners_xy - low) * (FINE_PX / np.ptp(corners_xy, axis=0).max())
    w, h = (int(v) + 1 for v in np.ceil(drawn.max(axis=0)))
    canvas = np.zeros((h, w), np.uint8)
    cv2.fillPoly(canvas, [np.rint(drawn).astype(np.int32)], (1,))
    component = Component(canvas > 0, int(canvas.sum()), 0)
    shape = measured(component, np.zeros((h, w), np.float32), (h, w))
    return replace(shape, outline_xy=(corners_xy - 0.5).astype(np.float32))


def _outline_box(shape: PartShape, kind: Kind) -> BoxCxcywhr:
    cx, cy, w, h, angle_rad = box_of(shape, kind)
    # A segmented outline runs through the centres of the outermost pixels and gains one; a drawn
    # one runs along their edges.
    return cx, cy, w - 1, h - 1, angle_rad


def boxes_of(marks: Sequence[tuple[Mark, tuple[int, int]]]) -> list[BoxCxcywhr]:
    """Return the oriented boxes of marks of one product, each with its picture's (height, width).

    Outlines are boxed along the axis that most of them have, like segmented parts.
    """
    shapes = {
        i: outline_shape(m.corners_xy) for i, (m, _) in enumerate(marks) if m.form == "outline"
    }
    kinds: Counter[Kind] = Counter(kind_of(shape) for shape in shapes.values())
    usual: Kind = kinds.most_common(1)[0][0] if kinds else "compact"
    return [
        _outline_box(shapes[i], usual) if i in shapes else box_along_corners(mark.corners_xy)
        for i, (mark, _) in enumerate(marks)
    ]


def why_upright_is_not_enough(marks: Sequence[tuple[Mark, tuple[int, int]]]) -> str:
    """Return why upright boxes alone do not say how the parts lie, "" where they do.

    A part that always lies the same way has upright boxes of one size. Boxes at the border may
    be cut, so they say nothing.
    """
    if not marks or any(mark.form != "upright" for mark, _ in marks):
        return ""
    sides = np.array([np.ptp(m.corners_xy, axis=0) for m, hw in marks if not _at_border(m, hw)])
    if len(sides) < 2:
        return ""
    unlike = np.abs(sides / np.median(sides, axis=0) - 1).max(axis=1) > ALIKE
    if unlike.mean() <= MANY_UNLIKE:
        return ""
    return (
        f"{int(unlike.sum())} of {len(sides)} upright boxes differ from the others by more than "
        f"{ALIKE:.0%} in width or height: the parts lie turned or differ in size, and an upright "
        "box does not say how. Label oriented boxes or outlines (polygons), or move the labels "
        "away to have the products labelled automatically."
    )


def _at_border(mark: Mark, frame_hw: tuple[int, int]) -> bool:
    h, w = frame_hw
    low, high = mark.corners_xy.min(axis=0), mark.corners_xy.max(axis=0)
    return bool(low.min() <= 1 or high[0] >= w - 1 or high[1] >= h - 1)


def turned_corners(corners: Sequence[Sequence[float]], degrees: float) -> list[list[float]]:
    """Return corners turned round their middle, clockwise as the picture is seen."""
    points = np.array(corners, np.float64)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: list[list[float]] = ((points - middle) @ [[cos, sin], [-sin, cos]] + middle).tolist()
    return turned
