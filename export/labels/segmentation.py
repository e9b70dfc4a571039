"""Finding what lies on a plain-ish background: distance from a background model, then Otsu.

Pure functions of arrays. The distance is taken in CIE Lab, so parts brighter, darker or of
another colour than the background all come out positive; the background may be lit unevenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import F32Array, U8Array

BoolArray = NDArray[np.bool_]

WORK_SIDE_PX = 512
"""Pictures are segmented at this longer side: fine enough for a box, four times faster."""

BORDER_SHARE = 0.06
"""Width of the frame of pixels that shows background, as a fraction of the shorter side."""

CAP_PERCENTILE = 99.5
"""Larger distances (glints) count as this one, so that they do not pull Otsu's threshold up."""

HALF = 0.5
"""A part's outline is where the distance is half of the part's own: soft shadows stay below."""

SMALLEST_CAP = 6.0
"""In background spreads: a picture without any part is not stretched until its noise shows."""

MIN_AREA_SHARE = 0.002
"""Smaller components are dust, as a fraction of the picture."""

CLEAN_SHARE = 0.008
"""Structuring element, as a fraction of the shorter side: removes hairs, closes gaps."""


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One connected foreground area with its holes filled, in the working picture.

    Attributes:
        mask_hw: bool (h, w).
        area_px: its area.
        border_px: length of the picture's border that it covers; 0 where it reaches none.
    """

    mask_hw: BoolArray
    area_px: int
    border_px: int


def work_scale(frame_hw: tuple[int, int]) -> float:
    """Return the factor from frame pixels to working pixels, at most 1."""
    return min(1.0, WORK_SIDE_PX / max(frame_hw))


def work_lab(pixels_hwc: U8Array) -> F32Array:
    """Return the picture reduced and in Lab: float32 (h, w, 3), lightness 0..100."""
    h, w = pixels_hwc.shape[:2]
    scale = work_scale((h, w))
    small_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(pixels_hwc, small_wh, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    return np.asarray(lab, np.float32)


def border_mask(work_hw: tuple[int, int]) -> BoolArray:
    """Return bool (h, w): the outer frame of the picture."""
    width = max(1, round(min(work_hw) * BORDER_SHARE))
    mask = np.ones(work_hw, np.bool_)
    mask[width:-width, width:-width] = False
    return mask


def background_from_border(lab_hwc: F32Array) -> F32Array:
    """Return a smooth background fitted to the border: a quadratic per channel, float32 (h, w, 3).

    Pixels far from the first fit (a part or a shadow at the border) are left out of a second.
    """
    h, w = lab_hwc.shape[:2]
    y, x = np.mgrid[-1 : 1 : complex(h), -1 : 1 : complex(w)]
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1).reshape(-1, 6)
    values = lab_hwc.reshape(-1, 3)
    rows = np.flatnonzero(border_mask((h, w)))
    for _ in range(3):
        fit = np.linalg.lstsq(terms[rows], values[rows], rcond=None)[0]  # (6, 3)
        off = np.linalg.norm(values[rows] - terms[rows] @ fit, axis=1)
        rows = rows[off <= 2.5 * max(float(np.median(off)), 0.5)]
    return np.asarray((terms @ fit).reshape(h, w, 3), np.float32)


def background_from_stack(labs: Sequence[F32Array]) -> F32Array:
    """Return the per-pixel median of pictures from one fixed camera, float32 (h, w, 3).

    Rails and fixtures belong to it; parts do not, as long as they lie elsewhere most of the time.
    """
    return np.asarray(np.median(np.stack(labs), axis=0), np.float32)


def distance_map(lab_hwc: F32Array, background_hwc: F32Array) -> F32Array:
    """Return how far each pixel is from the background, in background spreads, float32 (h, w).

    A uniform change of light between picture and model is taken out by the median difference.
    """
    difference = cv2.GaussianBlur(lab_hwc - background_hwc, (0, 0), 1.2)
    difference = difference - np.median(difference, axis=(0, 1))
    spread = 1.4826 * np.median(np.abs(difference), axis=(0, 1)) + 1.0
    return np.asarray(np.linalg.norm(difference / spread, axis=2), np.float32)


def components(distance_hw: F32Array) -> list[Component]:
    """Return the foreground areas, largest first; dust is left out."""
    mask = _cleaned(_foreground(distance_hw))
    found, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    smallest = MIN_AREA_SHARE * mask.size
    kept = [i for i in range(1, found) if stats[i, cv2.CC_STAT_AREA] >= smallest]
    whole = [_filled(labels == i) for i in kept]
    return sorted(whole, key=lambda component: -component.area_px)


def _foreground(distance_hw: F32Array) -> U8Array:
    cap = max(float(np.percentile(distance_hw, CAP_PERCENTILE)), SMALLEST_CAP)
    grey = np.rint(np.minimum(distance_hw, cap) * (255 / cap)).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    foreground = grey[grey > otsu]
    half_height = np.median(foreground) * HALF if foreground.size else 0.0
    return (grey > max(otsu, half_height)).astype(np.uint8)


def _cleaned(mask_hw: U8Array) -> U8Array:
    side = 2 * round(min(mask_hw.shape) * CLEAN_SHARE / 2) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, side), max(3, side)))
    closed = cv2.morphologyEx(mask_hw, cv2.MORPH_CLOSE, element)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, element), np.uint8)


def _filled(mask_hw: BoolArray) -> Component:
    outlines, _ = cv2.findContours(
        mask_hw.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros(mask_hw.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    edges = (filled[0], filled[-1], filled[:, 0], filled[:, -1])
    return Component(filled > 0, int(filled.sum()), sum(int(edge.sum()) for edge in edges))
