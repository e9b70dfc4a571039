"""The product's region in an upright crop: learnt from the mean of the good crops.

Upright crops lie on one another, so their mean shows the product sharp and the background blurred
to one colour; what differs from the border's colour is product.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.records import U8Array
from export.segmentation import background_from_border, components, distance_map, work_lab

GROWN_SHARE = 0.02
"""The region is grown by this share of the crop's shorter side: a burr or a chipped edge lies
on the outline."""

SMALLEST_SHARE = 0.15
"""A smaller region cannot be the product of a crop that was cut along its box."""


def product_mask(crops: Sequence[U8Array]) -> U8Array | None:
    """Return the product's region, uint8 (h, w), 255 inside; None if the mean shows none."""
    h, w = crops[0].shape[:2]
    mean = np.mean(np.stack(crops), axis=0, dtype=np.float64)
    lab = work_lab(np.round(mean).astype(np.uint8))
    areas = components(distance_map(lab, background_from_border(lab)))
    if not areas or areas[0].area_px < SMALLEST_SHARE * lab.shape[0] * lab.shape[1]:
        return None
    region = areas[0].mask_hw.astype(np.uint8) * 255
    region = np.asarray(cv2.resize(region, (w, h), interpolation=cv2.INTER_NEAREST), np.uint8)
    side = 2 * max(1, round(GROWN_SHARE * min(h, w))) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(region, element), np.uint8)
