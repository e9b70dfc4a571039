"""Real defects as a method sees them: upright crops, and in them the regions somebody marked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edge_app.errors import ShapeError
from edge_app.imaging.upright_crop import upright_crop
from edge_app.records import U8Array
from export.data.dataset import Picture
from export.defects.labelled import BRIGHT, mask_of, read_mask
from export.defects.pictures import DefectPictures, find_defective
from export.pose.step import Cutting, cut_all


@dataclass(frozen=True, slots=True, eq=False)
class DefectCrops:
    """Real defects that a method may learn from, cut as the good parts were.

    Attributes:
        crops: uint8 (m, h, w, 3) BGR.
        regions: uint8 (m, h, w), > 0 on the defect; all 0 where nobody marked it.

    Raises:
        ShapeError: another dtype or shape, or regions that do not belong to the crops.
    """

    crops: U8Array
    regions: U8Array

    def __post_init__(self) -> None:
        shape, regions = self.crops.shape, self.regions
        if len(shape) != 4 or shape[3] != 3 or self.crops.dtype != np.uint8:
            raise ShapeError(f"defects must be uint8 (m, h, w, 3), got {self.crops.dtype} {shape}")
        if regions.shape != shape[:3] or regions.dtype != np.uint8:
            raise ShapeError(
                f"defect regions must be uint8 {shape[:3]} like their crops, "
                f"got {regions.dtype} {regions.shape}"
            )

    @property
    def sha256(self) -> str:
        """Hex digest of all pixels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.crops).data)
        digest.update(np.ascontiguousarray(self.regions).data)
        return digest.hexdigest()


def defect_crops(defects: DefectPictures, cutting: Cutting) -> DefectCrops:
    """Return every defective part's crop and its marked region.

    `NAME_mask.png` beside `NAME.png` marks the defect; a picture without one gives empty regions.

    Raises:
        DataError: in none of the pictures a part was found, or a mask cannot be read, has another
            size than its picture, or marks nothing.
    """
    parts = find_defective(defects, cutting)
    crops, boxes = cut_all(cutting, defects.pictures, parts, lambda _share: None)
    masks = {part.picture: _marked(defects.pictures[part.picture]) for part in parts}
    regions = [
        upright_crop(masks[part.picture], box, cutting.spec)[:, :, 0] > BRIGHT
        for part, box in zip(parts, boxes, strict=True)
    ]
    return DefectCrops(np.stack(crops), np.stack(regions).astype(np.uint8))


def _marked(picture: Picture) -> U8Array:
    """Return what is marked, uint8 (h, w, 3), 0 or 255; nothing where there is no mask."""
    mask = mask_of(picture)
    if mask is None:
        return np.zeros((*picture.hw, 3), np.uint8)
    bright = read_mask(mask, picture).max(axis=2, keepdims=True) > BRIGHT
    return np.where(bright.repeat(3, axis=2), 255, 0).astype(np.uint8)
