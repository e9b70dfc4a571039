"""What makes one training scene into many: turns, shifts, flips, light. numpy and cv2 only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.imaging.oriented_box import as_box, corners_of
from edge_app.imaging.upright_crop import LETTERBOX_GREY
from edge_app.records import F64Array, U8Array

TURN_SHARE = 0.75
"""Share of scenes that are turned by any angle; the rest keep the camera's own framing."""

SHIFT = 0.1
"""Largest shift, as a fraction of the picture."""

SCALE = (0.75, 1.3)
"""Smallest and largest zoom."""

VIEW_SCALE, VIEW_SHIFT = (0.8, 1.0), 0.03
WHOLE_SHARE = 0.99
"""Of views that a training is stopped by: what is cut off says nothing about a pose."""

GAIN = (0.7, 1.35)
OFFSET = 20.0
COLOUR = 0.06
"""Contrast factor, brightness in grey levels, and each channel's own factor."""

BLUR_SHARE = 0.15

VISIBLE_SHARE = 0.6
"""A part with less of its box inside the picture is no target: its extent cannot be seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One training input.

    Attributes:
        pixels_hwc: uint8 (h, w, 3), BGR, letterboxed.
        boxes_cxcywhr: (n, 5) float64, in pixels counted from the picture's edge.
        class_ids: (n,) int64.
    """

    pixels_hwc: U8Array
    boxes_cxcywhr: F64Array
    class_ids: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def augmented(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene turned, shifted, zoomed, flipped and relit; boxes follow."""
    return _under(scene, random_affine(_hw(scene), rng), VISIBLE_SHARE, rng)


def turned_view(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene turned and relit, and so little shifted and zoomed that parts stay in it.

    Parts that do not are none of its boxes.
    """
    matrix = random_affine(_hw(scene), rng, 1.0, VIEW_SCALE, VIEW_SHIFT)
    return _under(scene, matrix, WHOLE_SHARE, rng)


def _hw(scene: Scene) -> tuple[int, int]:
    return scene.pixels_hwc.shape[0], scene.pixels_hwc.shape[1]


def _under(scene: Scene, matrix: F64Array, least: float, rng: np.random.Generator) -> Scene:
    """Return the scene under a map; boxes visible by less than a share are left out."""
    h, w = _hw(scene)
    moved = np.array([moved_box(box, matrix) for box in scene.boxes_cxcywhr]).reshape(-1, 5)
    visible = [i for i, box in enumerate(moved) if visible_share(box, (h, w)) >= least]
    pixels = relit(warped(scene.pixels_hwc, matrix), rng)
    return Scene(pixels, moved[visible], scene.class_ids[visible])


def random_affine(
    frame_hw: tuple[int, int],
    rng: np.random.Generator,
    turn_share: float = TURN_SHARE,
    scale: tuple[float, float] = SCALE,
    shift: float = SHIFT,
) -> F64Array:
    """Return a (2, 3) float64 map of edge-counted pixels: flip, turn, zoom and shift."""
    h, w = frame_hw
    angle_rad = rng.uniform(-math.pi, math.pi) if rng.random() < turn_share else 0.0
    zoom = math.exp(rng.uniform(math.log(scale[0]), math.log(scale[1])))
    cos, sin = zoom * math.cos(angle_rad), zoom * math.sin(angle_rad)
    flip = np.diag(rng.choice([-1.0, 1.0], 2))
    linear = np.array([[cos, -sin], [sin, cos]]) @ flip
    middle = np.array([w / 2, h / 2])
    moved = middle + rng.uniform(-shift, shift, 2) * (w, h)
    return np.column_stack([linear, moved - linear @ middle])


def moved_box(box_cxcywhr: F64Array, matrix: F64Array) -> F64Array:
    """Return the (5,) box after a map made of turn, flip, uniform zoom and shift."""
    cx, cy, w, h, angle_rad = box_cxcywhr
    centre = matrix @ (cx, cy, 1.0)
    axis = matrix[:, :2] @ (math.cos(angle_rad), math.sin(angle_rad))
    zoom = float(np.hypot(*axis))
    return np.array([*centre, w * zoom, h * zoom, math.atan2(axis[1], axis[0])])


def visible_share(box_cxcywhr: F64Array, frame_hw: tuple[int, int]) -> float:
    """Return the fraction of the box's area that lies inside the picture, 0..1."""
    h, w = frame_hw
    corners = np.array(corners_of(as_box(box_cxcywhr)), np.float32)
    frame = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    inside, _ = cv2.intersectConvexConvex(corners, frame)
    return float(inside / max(box_cxcywhr[2] * box_cxcywhr[3], 1e-9))


def warped(pixels_hwc: U8Array, matrix: F64Array) -> U8Array:
    """Return the picture under a map of edge-counted pixels; outside is the letterbox's grey."""
    h, w = pixels_hwc.shape[:2]
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # cv2 counts from pixel centres
    grey = (LETTERBOX_GREY,) * 3
    out = cv2.warpAffine(pixels_hwc, centred, (w, h), flags=cv2.INTER_LINEAR, borderValue=grey)
    return np.asarray(out, np.uint8)


def relit(pixels_hwc: U8Array, rng: np.random.Generator) -> U8Array:
    """Return the picture with other light: contrast, brightness, tint, sometimes blur."""
    gain = rng.uniform(*GAIN) * rng.uniform(1 - COLOUR, 1 + COLOUR, 3)
    offset = rng.uniform(-OFFSET, OFFSET)
    levels = np.arange(256)[:, None] * gain + (1 - gain) * LETTERBOX_GREY + offset
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
    out = cv2.LUT(pixels_hwc, table)
    if rng.random() < BLUR_SHARE:
        out = cv2.blur(out, (3, 3))
    return np.asarray(out, np.uint8)
