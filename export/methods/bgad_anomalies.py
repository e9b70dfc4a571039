"""What BGAD takes for anomalous: real defects, their changed copies, and synthetic textures.

Source: Yao et al., BGAD, CVPR 2023, section 3.4: real defects are used again and again, and their
regions are cut out, changed by RandAugment and pasted on good parts; where there are none, changed
textures are pasted (its code's third strategy).
Deviations: regions are turned by quarter turns, mirrored and moved, with three of DRAEM's seven
picture operations, instead of RandAugment's list; textures are DRAEM's drawn ones; real defects
come on top of the synthetic ones, not instead of it, so that kinds nobody has seen stay anomalous.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import U8Array
from export.augment.cutpaste import is_coloured
from export.defects.crops import DefectCrops
from export.methods.draem_anomalies import add_texture, changed
from export.methods.protocol import TrainingSet

PASTED_SHARE = 0.25
"""Of the crops with real defects: pasted copies; the others are the pictures as they are. With half
of them pasted small defects gained less (docs/methods_table.md)."""

PASTE_DRAWS = 20
"""Places tried until one lies on the product."""

Anomaly = tuple[U8Array, U8Array]
"""A crop, uint8 (h, w, 3), and the anomaly in it, uint8 (h, w), 1 where it is."""


def marked(defects: DefectCrops | None) -> DefectCrops | None:
    """Return the defects whose region somebody marked; None where there is none."""
    if defects is None:
        return None
    has_region = defects.regions.any(axis=(1, 2))
    if not has_region.any():
        return None
    return DefectCrops(defects.crops[has_region], defects.regions[has_region])


def draw_synthetic(rng: np.random.Generator, data: TrainingSet) -> Anomaly:
    """Return a good crop with a synthetic texture."""
    good = data.crops[int(rng.integers(len(data.crops)))]
    return add_texture(rng, good, data.mask, [])


def draw_real(rng: np.random.Generator, data: TrainingSet, defects: DefectCrops) -> Anomaly:
    """Return a real defect, or now and then a pasted copy of one.

    Args:
        rng: source of all randomness.
        defects: marked ones.
    """
    good = data.crops[int(rng.integers(len(data.crops)))]
    index = int(rng.integers(len(defects.crops)))
    crop, region = defects.crops[index], (defects.regions[index] > 0).astype(np.uint8)
    if rng.random() < PASTED_SHARE:
        return paste_defect(rng, good, data.mask, (crop, region))
    return crop, region


def paste_defect(
    rng: np.random.Generator, good_hwc: U8Array, mask_hw: U8Array | None, defect: Anomaly
) -> Anomaly:
    """Return the good crop with the defect's region, changed and turned, somewhere on the product.

    Args:
        rng: source of all randomness.
        good_hwc: uint8 (h, w, 3).
        mask_hw: uint8 (h, w), > 0 on the product; None for the whole crop.
        defect: its region is not empty.
    """
    patch, shape = _turned(rng, *_cut_out(*defect))
    patch = changed(rng, patch)
    if not is_coloured(good_hwc):
        patch = np.asarray(patch.mean(2, keepdims=True).repeat(3, 2), np.uint8)
    hw = (good_hwc.shape[0], good_hwc.shape[1])
    patch, shape = patch[: hw[0], : hw[1]], shape[: hw[0], : hw[1]]
    out, region = good_hwc.copy(), np.zeros(hw, np.uint8)
    for _ in range(PASTE_DRAWS):
        y = int(rng.integers(hw[0] - shape.shape[0] + 1))
        x = int(rng.integers(hw[1] - shape.shape[1] + 1))
        window = np.s_[y : y + shape.shape[0], x : x + shape.shape[1]]
        on_product = shape if mask_hw is None else shape * (mask_hw[window] > 0)
        if on_product.any():
            region[window] = on_product
            out[window] = np.where(on_product[:, :, None] > 0, patch, out[window])
            break
    return out, region


def _cut_out(crop_hwc: U8Array, region_hw: U8Array) -> Anomaly:
    x, y, w, h = cv2.boundingRect(region_hw)
    return crop_hwc[y : y + h, x : x + w], region_hw[y : y + h, x : x + w]


def _turned(rng: np.random.Generator, patch_hwc: U8Array, shape_hw: U8Array) -> Anomaly:
    """Return both after the same quarter turns and, every second time, mirrored."""
    turns, is_mirrored = int(rng.integers(4)), rng.random() < 0.5
    patch, shape = np.rot90(patch_hwc, turns), np.rot90(shape_hw, turns)
    if is_mirrored:
        patch, shape = patch[:, ::-1], shape[:, ::-1]
    return np.ascontiguousarray(patch), np.ascontiguousarray(shape)
