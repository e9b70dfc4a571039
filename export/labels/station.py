"""Does the product always lie at the same place? Then no detector is needed to find it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.oriented_box import axis_difference_rad
from edge_app.records import BoxCxcywhr, F64Array
from export.labels.part_shape import Kind, PartShape, box_of, kind_of
from export.labels.records import Segmented
from export.labels.rules import LEFTOVER_SHARE

SPREAD_SHARE = 0.9
"""Spreads are read at this quantile: a label in ten may be wrong."""

MAX_CENTRE, MAX_SIZE, MAX_ANGLE_DEG = 0.04, 0.08, 4.0
"""A part that keeps within these is at a fixed place: the neighbourhoods that an inspector compares
are larger, and a fixture leaves no more play."""

MIN_SEEN_SHARE = 0.8
"""Of the pictures that must show the part, before anything is said about its place."""


@dataclass(frozen=True, slots=True)
class StationPose:
    """Where the parts of a data set lie, one part a picture.

    Attributes:
        is_fixed: always at the same place, of the same size, and at the same angle where the
            outline tells one.
        box_cxcywhr: the usual box, frame pixels; None where too few pictures show a part.
        centre_spread: distance from the usual centre, as a share of the usual longer side.
        size_spread: the larger side's difference from the usual one, as a share.
        angle_spread_deg: from the usual axis; None for a round outline, which tells none.
        seen_share: of the pictures that show exactly one part, 0..1.
        reason: one sentence for the report.
    """

    is_fixed: bool
    box_cxcywhr: BoxCxcywhr | None
    centre_spread: float
    size_spread: float
    angle_spread_deg: float | None
    seen_share: float
    reason: str


def is_fixed_station(pictures: Sequence[Segmented], frame_hw: tuple[int, int]) -> StationPose:
    """Return where the segmented parts lie.

    A part that the border cuts in every picture is one that the fixture holds there.

    Args:
        pictures: what each shows (`LabelReport.segmented`).
        frame_hw: (height, width) of the pictures; those of another size are left out.
    """
    single = _single([p for p in pictures if p.frame_hw == frame_hw])
    seen = len(single) / max(1, len(pictures))
    if seen < MIN_SEEN_SHARE or not single:
        reason = f"only {len(single)} of {len(pictures)} pictures show one part of the usual size"
        return StationPose(False, None, math.inf, math.inf, None, seen, reason)
    return _measured(single, seen)


def _single(pictures: Sequence[Segmented]) -> list[PartShape]:
    """Return the part of every picture that shows one.

    Rails and fixtures reach the border; so areas there count only where none is inside.
    """
    inside = [p.whole for p in pictures if p.whole]
    areas = (
        inside
        if 2 * len(inside) >= len(pictures)
        else [p.at_border for p in pictures if not p.whole]
    )
    found = [shapes for shapes in areas if shapes]
    usual_px = float(np.median([shapes[0].area_px for shapes in found] or [0.0]))
    return [s[0] for s in found if not any(o.area_px >= LEFTOVER_SHARE * usual_px for o in s[1:])]


def _measured(shapes: Sequence[PartShape], seen: float) -> StationPose:
    kinds = [kind_of(shape) for shape in shapes]
    kind = max(set(kinds), key=lambda k: (kinds.count(k), k))
    boxes = np.array([box_of(shape, kind) for shape in shapes])  # (n, 5)
    angles, period = boxes[:, 4], math.pi / 2 if kind == "compact" else math.pi
    usual_angle = _usual_angle(angles, period)
    sides = _sides_along(boxes, usual_angle, kind)
    x, y, w, h = np.median(np.column_stack([boxes[:, :2], sides]), axis=0)
    centre = np.hypot(boxes[:, 0] - x, boxes[:, 1] - y) / max(w, h)
    size = np.abs(sides / (w, h) - 1).max(axis=1)
    turned = np.array([axis_difference_rad(a, usual_angle, period) for a in angles])
    box = (float(x), float(y), float(w), float(h), usual_angle)
    return _judged(box, _high(centre), _high(size), _high(np.degrees(turned)), kind, seen)


def _judged(
    box: BoxCxcywhr, centre: float, size: float, angle_deg: float, kind: Kind, seen: float
) -> StationPose:
    angle = None if kind == "round" else angle_deg
    is_fixed = centre <= MAX_CENTRE and size <= MAX_SIZE and (angle or 0.0) <= MAX_ANGLE_DEG
    turned = "" if angle is None else f", the angle by {angle:.1f}°"
    reason = (
        f"{'fixed' if is_fixed else 'free'} place: nine parts in ten are off the usual centre by "
        f"{centre:.1%} of the length at most, the size by {size:.1%}{turned}"
    )
    return StationPose(is_fixed, box, centre, size, angle, seen, reason)


def _usual_angle(angles_rad: F64Array, period_rad: float) -> float:
    """Return the mean axis: the angles' circular mean within their period."""
    turns = 2 * math.pi / period_rad
    mean = np.exp(1j * turns * angles_rad).mean()
    return float(np.angle(mean)) / turns


def _sides_along(boxes: F64Array, usual_rad: float, kind: Kind) -> F64Array:
    """Return (n, 2) sides; of a compact part's box those nearer to the usual axis come first."""
    if kind != "compact":
        return boxes[:, 2:4]
    off = [axis_difference_rad(angle, usual_rad) for angle in boxes[:, 4]]
    swapped = np.array(off) > math.pi / 4
    return np.where(swapped[:, None], boxes[:, [3, 2]], boxes[:, 2:4])


def _high(values: F64Array) -> float:
    return float(np.quantile(values, SPREAD_SHARE))
