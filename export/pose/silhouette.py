"""Which pixels of an upright crop are product: found from the good crops themselves.

A box round a tapered part holds belt in its corners. Belt is never twice the same, so its
"anomalies" drown small defects: on the simulated tapered part the true outline instead of the box
raised recall at 1 % false alarms from 72 to 92 %.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import U8Array

MIN_SHARE, MAX_SHARE = 0.15, 0.97
"""Share of the given mask a believable silhouette covers; outside it the mask is kept as it is."""

MIN_AGREEMENT = 0.8
"""Mean IoU of single crops' silhouettes with the common one; less means Otsu found texture."""

CROPS_COMPARED = 40
"""Crops used: enough for a median, cheap enough not to be noticed."""


def product_silhouette(crops: U8Array, mask_hw: U8Array) -> U8Array:
    """Return the mask narrowed to the product's outline, holes filled; the mask itself if unsure.

    Args:
        crops: uint8 (n, h, w, 3) good crops, upright.
        mask_hw: uint8 (h, w), > 0 where the product may be (its box).

    Returns:
        uint8 (h, w), 0 or 255.
    """
    given = np.where(mask_hw > 0, 255, 0).astype(np.uint8)
    some = crops[:: max(1, len(crops) // CROPS_COMPARED)]
    common = outline_of(np.median(some, axis=0).astype(np.uint8), given)
    share = np.count_nonzero(common) / max(1, int(np.count_nonzero(given)))
    if not MIN_SHARE <= share <= MAX_SHARE:
        return given
    agreement = np.mean([_iou(outline_of(crop, given), common) for crop in some])
    return common if agreement >= MIN_AGREEMENT else given


def outline_of(crop_hwc: U8Array, mask_hw: U8Array) -> U8Array:
    """Return the largest region of one crop that differs from its border's grey, holes filled."""
    grey = cv2.GaussianBlur(cv2.cvtColor(crop_hwc, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    product = cv2.bitwise_not(bright) if rim.mean() > 127 else bright
    contours, _ = cv2.findContours(
        cv2.bitwise_and(product, mask_hw), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros_like(mask_hw)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    return filled


def _iou(a: U8Array, b: U8Array) -> float:
    return float(np.count_nonzero(a & b) / max(1, int(np.count_nonzero(a | b))))
