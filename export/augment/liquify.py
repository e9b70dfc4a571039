"""CropLiq: a random rectangle of the product is stirred while its border stays where it is.

Source: Le and Kim, CropLiq: smooth distortion of a rectangle inside the product's oriented box.
Deviations: the displacement is a sum of one to four radial pushes times a window that is zero on
the border (the paper names Photoshop-like liquify only); folds are damped away; a patch that
does not change visibly is drawn again, because its label would be noise.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array
from export.augment.region import Rect, product_box, random_rect, random_sides

AREA_RANGE = (0.005, 0.15)
"""Rectangle area as a share of the product's box, log-uniform: defects here are 0.1 to 3 %."""

ASPECT_LIMIT = 3.0
STRENGTH_RANGE = (0.3, 0.6)
"""Largest push as a share of the short side; 0.5 changed patches by a median of 6 grey levels."""

MIN_JACOBIAN = 0.05
"""Smallest local area ratio kept: at 0 the picture folds over itself and shows mirrored texture."""

DAMPING = 0.8
"""Factor on the displacement at each step until nothing folds: 30 steps leave 0.1 %."""


def crop_liq(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None
) -> tuple[U8Array, U8Array]:
    """Return the crop with one rectangle liquified, and the rectangle as a mask.

    Args:
        crop_hwc: uint8 (h, w, 3).
        mask_hw: uint8 (h, w) product region, or None for the whole crop.
    """
    height, width = crop_hwc.shape[:2]
    box = product_box(mask_hw, (height, width))
    share = float(np.exp(rng.uniform(*np.log(AREA_RANGE))))
    hw = random_sides(rng, share * box.hw[0] * box.hw[1], ASPECT_LIMIT, box.hw)
    rect = random_rect(rng, hw, box, mask_hw)
    out = crop_hwc.copy()
    out[rect.window] = liquify_patch(rng, crop_hwc[rect.window])
    return out, mask_of(rect, (height, width))


def liquify_patch(rng: np.random.Generator, patch_hwc: U8Array) -> U8Array:
    """Return the patch distorted inside; its outermost pixels do not change."""
    height, width = patch_hwc.shape[:2]
    shift_yx = without_folds(draw_displacement(rng, (height, width)))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(
        patch_hwc,
        columns + shift_yx[1],
        rows + shift_yx[0],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(moved, dtype=np.uint8)


def draw_displacement(rng: np.random.Generator, hw: tuple[int, int]) -> F32Array:
    """Return a (2, h, w) float32 displacement (dy, dx) in pixels, zero on the border."""
    height, width = hw
    short = min(hw)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros((2, height, width), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        centre_y, centre_x = rng.uniform(0.25, 0.75, 2) * np.array(hw)
        radius = rng.uniform(0.2, 0.45) * short
        bump = np.exp(-((rows - centre_y) ** 2 + (columns - centre_x) ** 2) / (2 * radius**2))
        direction = rng.uniform(0, 2 * np.pi)
        total += np.stack([np.sin(direction) * bump, np.cos(direction) * bump])
    total *= border_window(hw)
    peak = max(float(np.abs(total).max()), 1e-6)
    return (total * (rng.uniform(*STRENGTH_RANGE) * short / peak)).astype(np.float32)


def border_window(hw: tuple[int, int]) -> F32Array:
    """Return (h, w) float32: 0 on the outermost pixels, 1 in the middle, smooth between."""
    sides = [np.sin(np.pi * np.arange(n) / max(n - 1, 1)) for n in hw]
    for side in sides:
        side[0] = side[-1] = 0.0
    return np.outer(sides[0], sides[1]).astype(np.float32)


def without_folds(shift_yx: F32Array) -> F32Array:
    """Return the displacement damped until no pixel's local area ratio is below MIN_JACOBIAN."""
    while min(shift_yx.shape[1:]) > 1 and jacobian(shift_yx).min() < MIN_JACOBIAN:
        shift_yx = shift_yx * np.float32(DAMPING)
    return shift_yx


def jacobian(shift_yx: F32Array) -> F32Array:
    """Return the (h, w) determinant of the mapping's derivative; below 0 the mapping folds."""
    dyy, dyx = np.gradient(shift_yx[0])
    dxy, dxx = np.gradient(shift_yx[1])
    return np.asarray((1 + dyy) * (1 + dxx) - dyx * dxy, dtype=np.float32)


def mask_of(rect: Rect, crop_hw: tuple[int, int]) -> U8Array:
    """Return uint8 (h, w): 255 inside the rectangle."""
    mask = np.zeros(crop_hw, np.uint8)
    mask[rect.window] = 255
    return mask
