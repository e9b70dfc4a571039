"""Real defects as a method sees them: upright crops, and in them the regions somebody marked."""

from __future__ import annotations

import numpy as np

from edge_app.imaging.upright_crop import upright_crop
from edge_app.records import U8Array
from export.bundle_build.steps import Cutting, cut_all
from export.data.dataset import Picture
from export.defects.labelled import BRIGHT, mask_of, read_mask
from export.defects.pictures import DefectPictures, find_defective
from export.methods.protocol import DefectCrops


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
