"""Whether all of a product is in its picture: decided by its outline, not by its box's corners.

A box round a disc, a wedge or a nut holds background in its corners. In pictures that the product
nearly fills they reach over the border while the product does not.
"""

from __future__ import annotations

from edge_app.imaging.oriented_box import rotated_iou
from edge_app.records import BoxCxcywhr, U8Array
from export.labels.autolabel import segment
from export.labels.part_shape import box_of, kind_of

MIN_OVERLAP = 0.4
"""IoU of the box round a segmented area with a detected one from which they are one product. A
thin part's box, off by a fourteenth of its length and by 5 degrees, keeps 0.5; the area itself
fills half of its box, so it would be no measure."""


def outline_inside(pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> bool:
    """Return whether the product in a box is wholly in the picture.

    It is segmented from the background. An outline that runs along the border is cut by it; one
    that grazes it is not (`autolabel.is_at_border`). Where nothing in the box can be told from
    the background the answer is no.

    Args:
        pixels_hwc: uint8 (h, w, 3), BGR.
    """
    return any(
        rotated_iou(box_of(shape, kind_of(shape)), box_cxcywhr) >= MIN_OVERLAP
        for shape in segment(pixels_hwc).whole
    )
