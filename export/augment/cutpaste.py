"""CutPaste: a jittered patch of the product is pasted at another place of the same product.

Source: Li et al., CutPaste, CVPR 2021: area 2 to 15 %, aspect 0.3 to 1/0.3, colour jitter 0.1.
Deviations: source and target lie inside the product's region, because a patch on the background
teaches nothing about parts; the area starts at 0.4 %, because defects here are small.
"""

from __future__ import annotations

import numpy as np

from edge_app.records import U8Array
from export.augment.liquify import mask_of
from export.augment.region import product_box, random_rect, random_sides

AREA_RANGE = (0.004, 0.15)
"""Patch area as a share of the product's box, log-uniform."""

ASPECT_LIMIT = 1 / 0.3
JITTER = 0.1
"""Largest relative change of brightness, contrast and each colour channel."""

GREY_SPREAD = 3.0
"""Mean difference between a pixel's channels, grey levels, up to which a patch counts as grey."""


def cut_paste(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None
) -> tuple[U8Array, U8Array]:
    """Return the crop with a patch of itself pasted elsewhere, and the patch as a mask."""
    crop_hw = (crop_hwc.shape[0], crop_hwc.shape[1])
    box = product_box(mask_hw, crop_hw)
    share = float(np.exp(rng.uniform(*np.log(AREA_RANGE))))
    hw = random_sides(rng, share * box.hw[0] * box.hw[1], ASPECT_LIMIT, box.hw)
    source = random_rect(rng, hw, box, mask_hw)
    target = random_rect(rng, hw, box, mask_hw)
    out = crop_hwc.copy()
    out[target.window] = colour_jitter(rng, crop_hwc[source.window])
    return out, mask_of(target, crop_hw)


def colour_jitter(rng: np.random.Generator, patch_hwc: U8Array) -> U8Array:
    """Return the patch with brightness, contrast and channels changed by up to ±JITTER."""
    tint = rng.uniform(-JITTER, JITTER, 3) / 2 * is_coloured(patch_hwc)
    gain = 1 + rng.uniform(-JITTER, JITTER) + tint
    contrast = 1 + rng.uniform(-JITTER, JITTER)
    middle = patch_hwc.mean((0, 1))
    jittered = ((patch_hwc - middle) * contrast + middle) * gain
    return np.asarray(np.clip(jittered + 0.5, 0, 255), dtype=np.uint8)


def is_coloured(patch_hwc: U8Array) -> bool:
    """Return whether the channels differ: a tint on a grey product would give the paste away."""
    spread = patch_hwc.max(2).astype(np.int16) - patch_hwc.min(2)
    return float(spread.mean()) > GREY_SPREAD
