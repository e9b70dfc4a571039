"""A folder of known defects, one sub-folder per kind, becomes labelled defects in pictures.

Where `NAME_mask.png` lies beside `NAME.png` its bright areas are the defects; otherwise the
strongest area that the freshly trained inspector outlines is the one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.pictures import PICTURE_ENDINGS, read_values
from edge_app.errors import CameraError, DataError
from edge_app.imaging.oriented_box import corners_of
from edge_app.inspection.judge import find_defects
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import Look, look_at
from edge_app.records import F64Array, PointXy, U8Array
from export.data.dataset import Picture
from export.data.layouts import masks_beside
from export.data.masks import marked_pixels
from export.defects.pictures import DefectPictures

SPECK_SHARE = 0.1
"""Areas of a mask below this share of its largest one are specks, not defects of their own."""

BRIGHT = 127
"""Mask pixels above it are defective, in 0..255."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownDefect:
    """One labelled defect.

    Attributes:
        source: names the picture; defects of one picture are never split between folds.
        read: returns the picture, uint8 (h, w, 3) BGR.
        polygon_xy: the defect's outline in picture pixels.
        angle_rad: the product's direction.
        kind: its label.
    """

    source: str
    read: Callable[[], U8Array]
    polygon_xy: tuple[PointXy, ...]
    angle_rad: float
    kind: str


def mask_of(picture: Picture) -> Path | None:
    """Return the mask beside a picture, if there is one.

    Raises:
        DataError: there are two.
    """
    path = picture.path
    alike = [
        p
        for p in sorted(path.parent.iterdir())
        if p.stem.lower().startswith(path.stem.lower()) and p.suffix.lower() in PICTURE_ENDINGS
    ]
    masks = masks_beside(alike).get(path, [])
    if len(masks) > 1:
        raise DataError(
            f"{picture.name} has {len(masks)} masks: {', '.join(m.name for m in masks)}. Keep one."
        )
    return masks[0] if masks else None


def known_defects(
    pictures: DefectPictures, model: LoadedModel
) -> tuple[list[KnownDefect], tuple[str, ...]]:
    """Return every labelled defect, and sentences on pictures that gave none.

    Args:
        model: finds the parts, and the defects where there is no mask.

    Raises:
        DataError: a mask is empty, cannot be read or has another size than its picture.
    """
    found: list[KnownDefect] = []
    partless = []
    for picture, kind in zip(pictures.pictures, pictures.classes, strict=True):
        if not kind:
            continue
        looks = look_at(model, picture.read())
        if not looks:
            partless.append(picture.name)
            continue
        for outline, angle_rad in _outlines(picture, looks, model):
            found.append(KnownDefect(picture.name, picture.read, outline, angle_rad, kind))
    if not partless:
        return found, ()
    names = ", ".join(partless[:5]) + (", ..." if len(partless) > 5 else "")
    return found, (f"known defects: no product was found in {len(partless)} pictures: {names}",)


def _outlines(
    picture: Picture, looks: Sequence[Look], model: LoadedModel
) -> list[tuple[tuple[PointXy, ...], float]]:
    mask = mask_of(picture)
    if mask is not None:
        outlines = outlines_of(read_mask(mask, picture))
        return [(outline, _angle_at(outline, looks)) for outline in outlines]
    look = max(looks, key=lambda k: k.anomaly.score)
    defects = find_defects(look.anomaly, look.box_cxcywhr, model.spec, model.limits)
    return [(d.polygon_xy, look.box_cxcywhr[4]) for d in defects[:1]]


def read_mask(mask: Path, picture: Picture) -> U8Array:
    """Return a picture's mask, uint8 (h, w, 3), 255 on the defect and 0 elsewhere.

    `export/data/masks.py` says what marks.

    Raises:
        DataError: it cannot be read, has another size than its picture, or marks nothing.
    """
    try:
        values = read_values(mask)
    except CameraError as error:
        raise DataError(f"The mask of {picture.name}: {error}") from error
    if values.shape[:2] != picture.hw:
        raise DataError(
            f"The mask of {picture.name} is {values.shape[:2]} (height, width), the picture "
            f"{picture.hw}: draw it on the picture itself."
        )
    marked = marked_pixels(values)
    if not marked.any():
        raise DataError(
            f"The mask of {picture.name} marks nothing: draw the defect white on black, or delete "
            "the mask to have the inspector find it."
        )
    return np.repeat(np.where(marked, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)


def outlines_of(mask_hwc: U8Array) -> list[tuple[PointXy, ...]]:
    """Return the outlines of a mask's areas, largest first, specks left out.

    Args:
        mask_hwc: uint8 (h, w, 3), defects bright.
    """
    mask = (mask_hwc.max(axis=2) > BRIGHT).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(c) for c in contours]
    areas = [w * h for _, _, w, h in boxes]
    order = sorted(range(len(contours)), key=lambda i: -areas[i])
    return [
        tuple((float(x), float(y)) for x, y in contours[i].reshape(-1, 2))
        for i in order
        if areas[i] >= SPECK_SHARE * areas[order[0]]
    ]


def _angle_at(outline_xy: tuple[PointXy, ...], looks: Sequence[Look]) -> float:
    """Return the direction of the part that an outline lies on, or lies nearest to."""
    points: F64Array = np.asarray(outline_xy)
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
    return max(looks, key=lambda k: _depth(k, float(x), float(y))).box_cxcywhr[4]


def _depth(look: Look, x: float, y: float) -> float:
    """Return how deep a point lies inside a part's box, in pixels; negative outside."""
    corners = np.asarray(corners_of(look.box_cxcywhr), np.float32)
    depth = cv2.pointPolygonTest(corners, (x, y), True)
    return depth if math.isfinite(depth) else -math.inf
