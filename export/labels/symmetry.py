"""How often a part's outline looks the same in one turn, and whether its mirror image does.

Measured on the outline alone: a print or a thread may still tell the turns apart, which the
direction cue finds out (`export/pose/orientation.py`). It knows half and quarter turns. A part that
looks the same after a third or a sixth of a turn has no stable smallest rectangle either: its crops
are not turned, as those of a round part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import F64Array
from export.labels.part_shape import ROUND_SPREAD, PartShape

FOLDS = (6, 4, 3, 2)
"""Looked for from the most symmetric down: six-fold is three- and two-fold too."""

MIN_OVERLAP = 0.94
"""IoU of an outline with itself turned or mirrored. A square turned by 60° keeps 0.80, a hexagon by
90° 0.93."""

SIDE_PX = 160
SAMPLED = 20


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What the outlines of the parts are alike to.

    Attributes:
        fold: 1 (none), 2, 3, 4 or 6; 0: round.
        is_mirrored: it equals its mirror image.
    """

    fold: int
    is_mirrored: bool

    @property
    def has_stable_axis(self) -> bool:
        """Tell whether a box's angle, up to half or quarter turns, is the part's own."""
        return self.fold in (1, 2, 4)

    def sentence(self) -> str:
        """Return one sentence for the report."""
        turns = {0: "round", 1: "no symmetry of turns"}.get(self.fold, f"{self.fold}-fold symmetry")
        mirror = "equal to its mirror image" if self.is_mirrored else "no mirror image of itself"
        return f"the outline: {turns}, {mirror}"


def symmetry_of(shapes: Sequence[PartShape]) -> Symmetry:
    """Return the symmetry that most of the parts' outlines have.

    Args:
        shapes: whole parts of one product, at any angle; at least one.
    """
    some = list(shapes)[:: max(1, len(shapes) // SAMPLED)]
    masks = [_centred(shape) for shape in some]
    mirrored = float(np.median([_mirror_overlap(mask) for mask in masks])) >= MIN_OVERLAP
    if float(np.median([shape.radius_spread for shape in some])) < ROUND_SPREAD:
        return Symmetry(0, mirrored)
    overlaps = {fold: float(np.median([_overlap(m, fold) for m in masks])) for fold in FOLDS}
    fold = next((fold for fold in FOLDS if overlaps[fold] >= MIN_OVERLAP), 1)
    return Symmetry(fold, mirrored)


def _centred(shape: PartShape) -> F64Array:
    """Return the outline filled, its centre of mass in the middle, in a square of SIDE_PX."""
    points = np.asarray(shape.outline_xy, np.float64) - shape.centre_xy
    reach = float(np.hypot(*points.T).max())
    placed = points * (0.47 * SIDE_PX / max(reach, 1e-6)) + (SIDE_PX - 1) / 2
    canvas = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.fillPoly(canvas, [np.rint(placed * 16).astype(np.int32)], 1, shift=4)
    return canvas.astype(np.float64)


def _overlap(mask: F64Array, fold: int) -> float:
    """Return the least IoU with the mask turned by each of the fold's steps up to half a turn."""
    turns = range(1, fold // 2 + 1)
    return min(_iou(mask, _turned(mask, 360.0 * turn / fold)) for turn in turns)


def _mirror_overlap(mask: F64Array) -> float:
    """Return the largest IoU with the mask mirrored at any axis through its middle."""
    flipped = mask[:, ::-1]
    coarse = max(range(0, 360, 6), key=lambda deg: _iou(mask, _turned(flipped, float(deg))))
    fine = np.arange(coarse - 5.0, coarse + 6.0)
    return max(_iou(mask, _turned(flipped, float(deg))) for deg in fine)


def _turned(mask: F64Array, degrees: float) -> F64Array:
    middle = ((SIDE_PX - 1) / 2, (SIDE_PX - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    return np.asarray(cv2.warpAffine(mask, matrix, (SIDE_PX, SIDE_PX)), np.float64)


def _iou(a: F64Array, b: F64Array) -> float:
    return float(np.minimum(a, b).sum() / max(math.ulp(1.0), np.maximum(a, b).sum()))
