"""Whether all of a product is in the frame, by its silhouette laid into the registered box.

The corners of a box round a disc, a wedge or a screw hold background. Where a product nearly fills
the picture they reach over the border and the product does not: by its corners such a part would be
left out, by its outline it is judged. The part of its crop that lies beyond the frame repeats the
border and is no product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_app.errors import BundleError
from edge_app.imaging.oriented_box import share_outside
from edge_app.imaging.upright_crop import CropSpec, crop_to_frame
from edge_app.inspection.alignment import small_spec
from edge_app.inspection.tracker import MAX_OUTSIDE_SHARE
from edge_app.records import BoxCxcywhr, F64Array, U8Array

MAX_REACH = 0.3
"""A box with more of its area beyond the border is cut, whatever the outline says."""

SHORT_SHARE = 0.93
"""At the border a box shorter than this share of the usual length is a part's visible rest."""

MOST_POINTS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class ProductOutline:
    """A product's silhouette in its upright crop.

    Attributes:
        points_xy: (n, 2) float64, pixels of the silhouette in the small crop.
        spec: how full-size crops are cut.
        size_px: the usual part's (w, h) in frame pixels; None where nothing is known of it.
    """

    points_xy: F64Array
    spec: CropSpec
    size_px: tuple[float, float] | None = None

    def may_be_inside(self, box_cxcywhr: BoxCxcywhr, frame_hw: tuple[int, int]) -> bool:
        """Return whether a box as it was found is worth registering."""
        return share_outside(box_cxcywhr, frame_hw) <= MAX_REACH

    def is_inside(
        self, box_cxcywhr: BoxCxcywhr, frame_hw: tuple[int, int], margin_px: float
    ) -> bool:
        """Return whether the silhouette lies in the frame.

        Args:
            box_cxcywhr: registered, its angle the product's direction.
            frame_hw: (height, width) of the frame.
            margin_px: with 0 a hundredth of the silhouette may lie outside (a picture taken of one
                part). With more (a belt) none of it may be nearer to the border than this, and a
                part shorter than usual is taken for the visible rest of one.
        """
        is_short = self.size_px is not None and box_cxcywhr[2] < SHORT_SHARE * self.size_px[0]
        if is_short and margin_px > 0:
            return False
        to_frame = crop_to_frame(box_cxcywhr, small_spec(self.spec))
        x, y = (self.points_xy @ to_frame[:, :2].T + to_frame[:, 2]).T
        h, w = frame_hw
        reach = margin_px - 0.5
        out = (x < reach) | (y < reach) | (x > w - 1 - reach) | (y > h - 1 - reach)
        return float(out.mean()) <= (0.0 if margin_px > 0 else MAX_OUTSIDE_SHARE)


def outline_from_silhouette(
    silhouette: U8Array, spec: CropSpec, size_px: tuple[float, float] | None
) -> ProductOutline:
    """Return the outline for a bundle's silhouette picture.

    Args:
        silhouette: uint8 (h, w) at `small_spec`'s size, > 0 on the product.

    Raises:
        BundleError: the picture's size does not fit the crop, or it shows no product.
    """
    wanted = small_spec(spec).crop_hw
    if silhouette.shape != wanted or not silhouette.any():
        raise BundleError(
            f"The product's silhouette must be {wanted} pixels and not empty, got "
            f"{silhouette.shape}. Build the bundle again."
        )
    rows, columns = np.nonzero(silhouette)
    step = max(1, len(rows) // MOST_POINTS)
    points = np.column_stack([columns, rows])[::step]
    return ProductOutline(np.asarray(points, np.float64), spec, size_px)
