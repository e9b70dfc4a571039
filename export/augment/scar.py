"""Scar: a thin, turned, jittered strip of the product pasted on the product.

Source: Li et al., CutPaste, CVPR 2021: width 2 to 16 px, length 10 to 25 px at 256 px, rotation
−45 to 45 degrees. Deviations: sides scale with the crop's short side; the strip is kept inside
the product; it turns by any angle, because a crop's axes mean nothing to a scratch.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import U8Array
from export.augment.cutpaste import colour_jitter
from export.augment.region import Rect, product_box, random_rect

WIDTH_RANGE = (0.008, 0.06)
LENGTH_RANGE = (0.06, 0.3)
"""Sides of the strip as shares of the product box's short side, at least 2 and 6 pixels."""


def scar(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None
) -> tuple[U8Array, U8Array]:
    """Return the crop with one strip pasted, and the strip as a mask."""
    crop_hw = (crop_hwc.shape[0], crop_hwc.shape[1])
    box = product_box(mask_hw, crop_hw)
    strip = strip_mask(rng, min(box.hw), box.hw)
    source = random_rect(rng, strip.shape, box, mask_hw)
    target = random_rect(rng, strip.shape, box, mask_hw)
    return paste(rng, crop_hwc, mask_hw, strip, source, target)


def strip_mask(rng: np.random.Generator, short: int, limit_hw: tuple[int, int]) -> U8Array:
    """Return the turned strip as uint8 0/255, cut to its own bounds and at most `limit_hw`."""
    width = max(2.0, rng.uniform(*WIDTH_RANGE) * short)
    length = max(6.0, rng.uniform(*LENGTH_RANGE) * short)
    side = int(np.ceil(length + width)) + 4
    canvas = np.zeros((side, side), np.uint8)
    rect = ((side / 2, side / 2), (length, width), float(rng.uniform(-90, 90)))
    cv2.fillConvexPoly(canvas, np.round(cv2.boxPoints(rect)).astype(np.int32), 255)
    rows, columns = np.flatnonzero(canvas.any(1)), np.flatnonzero(canvas.any(0))
    tight = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return tight[: limit_hw[0], : limit_hw[1]]


def paste(
    rng: np.random.Generator,
    crop_hwc: U8Array,
    mask_hw: U8Array | None,
    strip_hw: U8Array,
    source: Rect,
    target: Rect,
) -> tuple[U8Array, U8Array]:
    """Copy the strip's pixels from `source` to `target`, jittered, where the product is."""
    region = np.zeros(crop_hwc.shape[:2], np.uint8)
    region[target.window] = strip_hw
    if mask_hw is not None:
        region[mask_hw == 0] = 0
    out = crop_hwc.copy()
    inside = region[target.window] > 0
    out[target.window][inside] = colour_jitter(rng, crop_hwc[source.window])[inside]
    return out, region
