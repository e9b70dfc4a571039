"""What can be measured of a picture without knowing what it shows. Pure functions, no state."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array

SPARSE_SIDE = 128
"""Longer side, in pixels, of the sparse picture that every frame's brightness is read from."""

THUMB_SIDE = 256
"""Longer side of the averaged picture scenes are compared by: 1 % of the width is 2.6 pixels."""

EXTREME_SHARE = 0.001
"""Share of pixels left out at either end: hot pixels and glints say nothing of the picture."""

SEARCH_SHARE = 0.06
"""How far a moved scene is looked for, as a share of the picture's sides."""

CENTRE_SHARE = 0.5
"""The focus figure is taken in the middle half of height and width, where people put the part."""


def sparse_grey(pixels_hwc: U8Array) -> U8Array:
    """Return every k-th pixel as grey, (h', w') uint8 with about SPARSE_SIDE a side.

    Nothing is averaged: a small bright or dark spot keeps its value.
    """
    step = max(1, max(pixels_hwc.shape[:2]) // SPARSE_SIDE)
    return grey(np.ascontiguousarray(pixels_hwc[::step, ::step]))


def grey(pixels_hwc: U8Array) -> U8Array:
    """Return a picture's brightness, (h, w) uint8."""
    return np.asarray(cv2.cvtColor(pixels_hwc, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def histogram(grey_hw: U8Array) -> F32Array:
    """Return how many pixels have each of the 256 grey levels, (256,) float32."""
    counts = cv2.calcHist([grey_hw], [0], None, [256], [0, 256])
    return np.asarray(counts, dtype=np.float32).ravel()


def grey_range(grey_hw: U8Array) -> tuple[int, int]:
    """Return the darkest and the brightest grey level, EXTREME_SHARE left out at either end."""
    share = np.cumsum(histogram(grey_hw)) / grey_hw.size
    darkest = int(np.searchsorted(share, EXTREME_SHARE, side="right"))
    return darkest, int(np.searchsorted(share, 1 - EXTREME_SHARE, side="left"))


def focus_figure(grey_hw: U8Array) -> float:
    """Return how sharp a picture is: the variance of its Laplacian in the middle.

    Returns:
        >= 0, grey levels squared; larger is sharper. Compare only pictures of the same scene under
        the same light, as while turning a lens.

    Source: LAP4 in Pertuz et al., Analysis of focus measure operators for shape-from-focus, 2013.
    """
    laplacian = cv2.Laplacian(_centre(grey_hw), cv2.CV_32F)
    return float(laplacian.var())


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How steep a picture's steepest edge is.

    Attributes:
        acuity: steepest slope over the picture's contrast, 1/px; the same for a dim and a bright
            picture. An ideal edge behind a Gaussian blur of sigma px has 0.4 / sigma.
        contrast: brightest minus darkest grey level; an edge needs some to be measured.
    """

    acuity: float
    contrast: int


def sharpness(grey_hw: U8Array) -> Sharpness:
    """Return the sharpness of a picture of any scene, at full resolution."""
    smooth = cv2.GaussianBlur(grey_hw, (3, 3), 0)
    darkest, brightest = grey_range(np.asarray(smooth, dtype=np.uint8))
    contrast = brightest - darkest
    if contrast == 0:
        return Sharpness(0.0, 0)
    dx = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    slope = cv2.magnitude(dx, dy)  # grey levels per pixel
    kept = max(1, round(EXTREME_SHARE * slope.size))
    steepest = np.partition(slope.ravel(), slope.size - kept)[slope.size - kept]
    return Sharpness(float(steepest) / contrast, contrast)


def thumbnail(grey_hw: U8Array) -> F32Array:
    """Return the picture averaged down to at most THUMB_SIDE a side, float32."""
    h, w = grey_hw.shape
    scale = min(1.0, THUMB_SIDE / max(h, w))
    size_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(grey_hw, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like two thumbnails are, where they are and where they fit best.

    Attributes:
        in_place: normalised cross-correlation, -1..1, of the two as they lie.
        best: the same at the best place within SEARCH_SHARE.
        shift_xy: that place: how far the scene has moved right and down, thumbnail pixels.
    """

    in_place: float
    best: float
    shift_xy: tuple[int, int]


def likeness(before_hw: F32Array, now_hw: F32Array) -> Likeness:
    """Return how like two thumbnails of the same size are; light that changes evenly is no matter.

    A picture without any structure is like nothing: in_place is 0.
    """
    h, w = before_hw.shape
    ry, rx = (max(1, round(SEARCH_SHARE * side)) for side in (h, w))
    if min(h - 2 * ry, w - 2 * rx) < 1:
        return Likeness(0.0, 0.0, (0, 0))
    inner = now_hw[ry : h - ry, rx : w - rx]
    fits = cv2.matchTemplate(before_hw, inner, cv2.TM_CCOEFF_NORMED)  # (2 ry + 1, 2 rx + 1)
    fits = np.nan_to_num(fits, posinf=0.0, neginf=0.0)
    y, x = np.unravel_index(int(fits.argmax()), fits.shape)
    return Likeness(float(fits[ry, rx]), float(fits.max()), (rx - int(x), ry - int(y)))


def _centre(grey_hw: U8Array) -> U8Array:
    h, w = grey_hw.shape
    dy, dx = round(h * (1 - CENTRE_SHARE) / 2), round(w * (1 - CENTRE_SHARE) / 2)
    return grey_hw[dy : h - dy, dx : w - dx]
