"""Whether all of a product is in its picture: decided by its outline, not by its box's corners.

A box round a disc, a wedge or a nut holds background in its corners. In pictures that the product
nearly fills they reach over the border while the product does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.imaging.oriented_box import corners_of
from edge_app.records import BoxCxcywhr, U8Array
from export.labels.autolabel import segment
from export.labels.part_shape import PartShape
from export.labels.segmentation import BoolArray

MIN_OVERLAP = 0.5
"""IoU of a segmented area with the box's visible rest from which it is the box's product. A disc
fills 0.79 of its box, a thin tapered part half."""


def outline_inside(pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> bool:
    """Return whether the product in a box is wholly in the picture.

    It is segmented from the background. An outline that runs along the border is cut by it; one
    that grazes it is not (`autolabel.is_at_border`). Where nothing in the box can be told from
    the background the answer is no.

    Args:
        pixels_hwc: uint8 (h, w, 3), BGR.
    """
    found = segment(pixels_hwc)
    inside = _filled(pixels_hwc.shape[:2], np.array(corners_of(box_cxcywhr)))
    return any(_overlap(shape, inside) >= MIN_OVERLAP for shape in found.whole)


def _filled(frame_hw: tuple[int, ...], corners_xy: np.ndarray) -> BoolArray:
    canvas = np.zeros(frame_hw, np.uint8)
    return cv2.fillPoly(canvas, [np.rint(corners_xy).astype(np.int32)], 1) > 0


def _overlap(shape: PartShape, inside: BoolArray) -> float:
    h, w = inside.shape
    area = shape.mask((h, w))
    return float((area & inside).sum() / max(1, int((area | inside).sum())))
