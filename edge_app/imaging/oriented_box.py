"""Oriented boxes: the definition of what an angle means.

Convention. Image axes: x to the right, y down. A box is (cx, cy, w, h, angle_rad): `w` runs along
the direction (cos angle, sin angle), `h` along (−sin angle, cos angle), so a positive angle turns
the box clockwise on the screen. This is the convention of Ultralytics' OBB head and, with
degrees for radians, of cv2.RotatedRect. A box alone knows its axis, not its direction: angles
that differ by π are the same box. Once `orientation.py` has found the direction, the angle is the
direction of the product's own +x axis, in (−π, π].

Hand-computed example (tested): box (100, 50, 40, 20, π/6) has its first corner (−w/2, −h/2) at
x = 100 − 20·cos 30° + 10·sin 30° = 87.6795, y = 50 − 20·sin 30° − 10·cos 30° = 31.3397.
"""

from __future__ import annotations

import math

import cv2

from edge_app.records import BoxCxcywhr, F64Array, PointXy


def corners_of(box_cxcywhr: BoxCxcywhr) -> tuple[PointXy, PointXy, PointXy, PointXy]:
    """Return the four corners: (−w/2, −h/2), (+w/2, −h/2), (+w/2, +h/2), (−w/2, +h/2), turned.

    For angle 0 that is top left, top right, bottom right, bottom left.
    """
    cx, cy, w, h, angle_rad = box_cxcywhr
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    half = ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    a, b, c, d = ((cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in half)
    return a, b, c, d


def wrap_half_turn(angle_rad: float) -> float:
    """Return the same axis with its angle in [−π/2, π/2)."""
    return (angle_rad + math.pi / 2) % math.pi - math.pi / 2


def wrap_turn(angle_rad: float) -> float:
    """Return the same direction with its angle in (−π, π]."""
    return -((-angle_rad + math.pi) % (2 * math.pi) - math.pi)


def long_side_first(box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
    """Return the same rectangle with w >= h and the angle in [−π/2, π/2)."""
    cx, cy, w, h, angle_rad = box_cxcywhr
    if w < h:
        w, h, angle_rad = h, w, angle_rad + math.pi / 2
    return cx, cy, w, h, wrap_half_turn(angle_rad)


def axis_difference_rad(a: float, b: float, period_rad: float = math.pi) -> float:
    """Return the smallest angle between two axes, in [0, period/2].

    Args:
        period_rad: π for axes, 2π for directions, π/2 for square parts.
    """
    d = abs(a - b) % period_rad
    return min(d, period_rad - d)


def rotated_iou(a: BoxCxcywhr, b: BoxCxcywhr) -> float:
    """Return intersection over union of two oriented boxes, 0..1."""
    rect_a = ((a[0], a[1]), (a[2], a[3]), math.degrees(a[4]))
    rect_b = ((b[0], b[1]), (b[2], b[3]), math.degrees(b[4]))
    kind, points = cv2.rotatedRectangleIntersection(rect_a, rect_b)
    if kind == cv2.INTERSECT_NONE or points is None or len(points) < 3:
        return 0.0
    inter = float(cv2.contourArea(cv2.convexHull(points)))
    union = a[2] * a[3] + b[2] * b[3] - inter
    return inter / union if union > 0 else 0.0


def as_box(row: F64Array) -> BoxCxcywhr:
    """Return a (5,) array as a plain tuple of floats."""
    cx, cy, w, h, angle_rad = (float(v) for v in row)
    return cx, cy, w, h, angle_rad


def touches_border(box_cxcywhr: BoxCxcywhr, frame_hw: tuple[int, int], margin_px: float) -> bool:
    """Return whether any corner lies within `margin_px` of the frame's border, or beyond it."""
    h, w = frame_hw
    return any(
        x < margin_px or y < margin_px or x > w - 1 - margin_px or y > h - 1 - margin_px
        for x, y in corners_of(box_cxcywhr)
    )


def share_outside(box_cxcywhr: BoxCxcywhr, frame_hw: tuple[int, int]) -> float:
    """Return how much of a box's area lies beyond the frame's border, 0..1."""
    h, w = frame_hw
    frame = ((w - 1) / 2, (h - 1) / 2), (float(w), float(h)), 0.0
    cx, cy, bw, bh, angle_rad = box_cxcywhr
    box = (cx, cy), (bw, bh), math.degrees(angle_rad)
    kind, points = cv2.rotatedRectangleIntersection(frame, box)
    if kind == cv2.INTERSECT_NONE or points is None or len(points) < 3 or bw * bh <= 0:
        return 1.0
    inside = float(cv2.contourArea(cv2.convexHull(points))) / (bw * bh)
    return min(1.0, max(0.0, 1.0 - inside))
