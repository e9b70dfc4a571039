"""A part in a fixture: the camera sees it upright and alone, in a picture of one size.

What a station with a nest or a gripper delivers: no detector is needed, the picture is the part.
It is cut out of the belt's by the truth, so that the same part looks the same in both.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edge_app.imaging.oriented_box import wrap_turn
from edge_app.imaging.upright_crop import CropSpec, crop_box, crop_to_frame, upright_crop
from edge_app.records import F64Array, U8Array
from edge_app.simulator.truth import DefectTruth, FrameTruth, PartTruth, Product

MARGIN = 0.08
"""Of the part's box, shown on each side."""

FIXTURES: dict[Product, CropSpec] = {
    "tapered": CropSpec((72, 224), MARGIN),
    "square": CropSpec((160, 160), MARGIN),
    "round": CropSpec((160, 160), MARGIN),
}


def in_fixture(pixels_hwc: U8Array, truth: FrameTruth) -> tuple[U8Array, FrameTruth]:
    """Return a triggered picture as a fixture shows its part, with the truth in its pixels.

    Args:
        pixels_hwc: uint8 (h, w, 3) of `SimulatedLine.single`.
        truth: of exactly one part.
    """
    (part,) = truth.parts
    spec = _spec_of(part)
    cut = upright_crop(pixels_hwc, part.box_cxcywhr, spec)
    return cut, FrameTruth(truth.frame_id, (_moved(part, spec),))


def _spec_of(part: PartTruth) -> CropSpec:
    return next(spec for product, spec in FIXTURES.items() if product == part.product)


def _moved(part: PartTruth, spec: CropSpec) -> PartTruth:
    """Return a part's truth in the fixture's pixels."""
    _, _, width, height, turn_rad = part.box_cxcywhr
    scale = spec.crop_hw[1] / crop_box(part.box_cxcywhr, spec)[2]
    cx, cy = (spec.crop_hw[1] - 1) / 2, (spec.crop_hw[0] - 1) / 2
    defect = None
    if part.defect is not None:
        to_crop = cv2.invertAffineTransform(crop_to_frame(part.box_cxcywhr, spec))
        defect = _moved_defect(part.defect, np.asarray(to_crop, np.float64), scale)
    return replace(
        part,
        box_cxcywhr=(cx, cy, width * scale, height * scale, 0.0),
        is_whole=True,
        defect=defect,
        pose_rad=wrap_turn(part.pose_rad - turn_rad),
    )


def _moved_defect(defect: DefectTruth, to_crop: F64Array, scale: float) -> DefectTruth:
    points = np.column_stack([defect.polygon_xy, np.ones(len(defect.polygon_xy))]) @ to_crop.T
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return replace(
        defect,
        polygon_xy=tuple((float(x), float(y)) for x, y in points),
        box_xyxy=(float(x0), float(y0), float(x1), float(y1)),
        area_px=round(defect.area_px * scale**2),
    )
