"""From good pictures and a detector to upright crops: the same boxes the device will see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.imaging.oriented_box import share_outside, touches_border
from edge_app.imaging.upright_crop import CropSpec, crop_to_frame, upright_crop
from edge_app.inspection.outline import MAX_REACH, SHORT_SHARE
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import ProductFinder
from edge_app.inspection.tracker import BORDER_MARGIN_PX, is_inside
from edge_app.records import BoxCxcywhr, U8Array
from export.data.dataset import Picture

MARGIN = 0.08
"""Of the box on each side: a chipped edge must lie inside, the belt is no product."""

MAX_CROP_PIXELS = 64 * 1024
"""About 224 × 224 and a quarter: one crop stays near 10 ms on two cores."""

WHOLE_PIXELS, FINE_PIXELS = 224 * 224, 320 * 320
"""Of a picture inspected as a whole, and where small defects ask for more."""

MOST_ENLARGED = 1.25
"""A picture smaller than FINE_PIXELS is enlarged by no more."""

SIDE_STEP_PX = 32
"""Crop sides are multiples of the backbone's stride, so that its grids lie on one another."""

MIN_SIDE_PX = 64

OutlineInside = Callable[[U8Array, BoxCxcywhr], bool]
"""Returns whether the outline of the product in a box lies inside the picture; False where none
can be told from the background."""


class NoUprightViewError(DataError):
    """The pictures give no trustworthy labels, detector or whole parts: no upright crops.

    The whole picture can still be judged.
    """


@dataclass(frozen=True, slots=True)
class FoundPart:
    """One product a detector found in one picture.

    Attributes:
        picture: index into the list of pictures.
        box_cxcywhr: frame pixels; direction not known yet.
        by_outline: its box reaches over the border, its outline does not.
    """

    picture: int
    box_cxcywhr: BoxCxcywhr
    by_outline: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PartsFound:
    """What a detector found in a set of pictures.

    Attributes:
        parts: every product that lies wholly inside its picture.
        empty: names of the pictures without any product.
        cut: names of the pictures where products only touch the border.
    """

    parts: list[FoundPart]
    empty: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return sentences for the terminal and the report."""
        warnings = []
        if self.empty:
            warnings.append(f"no product found in {len(self.empty)} pictures: {_first(self.empty)}")
        if self.cut:
            warnings.append(
                f"in {len(self.cut)} pictures the product touches the border and was not used: "
                f"{_first(self.cut)}"
            )
        return tuple(warnings)


def _first(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def find_parts(
    finder: ProductFinder,
    pictures: Sequence[Picture],
    fills_frame: bool,
    progress: Callable[[float], None],
    outline_inside: OutlineInside | None = None,
) -> PartsFound:
    """Return every whole product, and which pictures show none.

    Args:
        outline_inside: asked where a box reaches over the border; None: such a part is cut.
    """
    seen = []
    for number, picture in enumerate(pictures, 1):
        seen.append([d.box_cxcywhr for d in finder.find(picture.read())])
        progress(number / len(pictures))
    if fills_frame:
        return PartsFound([FoundPart(i, box) for i, boxes in enumerate(seen) for box in boxes])
    usual_px = float(np.median([box[2] for boxes in seen for box in boxes] or [0.0]))
    found = PartsFound([])
    for index, (picture, boxes) in enumerate(zip(pictures, seen, strict=True)):
        whole = [box for box in boxes if _is_whole(picture, box, usual_px, outline_inside)]
        found.parts.extend(FoundPart(index, box, not is_inside(box, picture.hw)) for box in whole)
        if not boxes:
            found.empty.append(picture.name)
        elif not whole:
            found.cut.append(picture.name)
    return found


def _is_whole(
    picture: Picture, box: BoxCxcywhr, usual_px: float, outline_inside: OutlineInside | None
) -> bool:
    """Return whether a picture shows all of a part: its box, or else its outline, is inside.

    At the border a part shorter than usual may be a part's visible rest, or a detector's error: its
    outline decides.
    """
    is_short = min(box[2], usual_px) < SHORT_SHARE * usual_px
    is_doubtful = is_short and touches_border(box, picture.hw, BORDER_MARGIN_PX)
    if is_inside(box, picture.hw) and not is_doubtful:
        return True
    if outline_inside is None or share_outside(box, picture.hw) > MAX_REACH:
        return False
    return outline_inside(picture.read(), box)


def crop_spec_for(
    boxes_cxcywhr: Sequence[BoxCxcywhr], fills_frame: bool, is_fine: bool = False
) -> CropSpec:
    """Return how to cut: the median box's own aspect, its own scale up to the pixel limit.

    A product that fills the frame is stretched to the median picture's aspect, so that pictures of
    mixed sizes give one crop size.

    Args:
        is_fine: a whole frame at twice as many pixels, small pictures a little enlarged.
    """
    margin = 0.0 if fills_frame else MARGIN
    w = float(np.median([b[2] for b in boxes_cxcywhr])) * (1 + 2 * margin)
    h = float(np.median([b[3] for b in boxes_cxcywhr])) * (1 + 2 * margin)
    limit = WHOLE_PIXELS if fills_frame else MAX_CROP_PIXELS
    if is_fine:
        limit = FINE_PIXELS
    scale = min(MOST_ENLARGED if is_fine else 1.0, (limit / (w * h)) ** 0.5)
    return CropSpec((_side(h * scale), _side(w * scale)), margin, stretch=fills_frame)


def _side(length_px: float) -> int:
    return max(MIN_SIDE_PX, round(length_px / SIDE_STEP_PX) * SIDE_STEP_PX)


def cut_crops(
    pictures: Sequence[Picture],
    parts: Sequence[FoundPart],
    pose: PoseFinder,
    spec: CropSpec,
    progress: Callable[[float], None],
) -> tuple[list[U8Array], list[BoxCxcywhr]]:
    """Return the upright crop and the pose of every part."""
    crops: list[U8Array] = []
    boxes: list[BoxCxcywhr] = []
    for part in parts:
        pixels = pictures[part.picture].read()
        box = pose.find(pixels, part.box_cxcywhr)
        crops.append(upright_crop(pixels, box, spec))
        boxes.append(box)
        progress(len(crops) / len(parts))
    return crops, boxes


def paste_into_frame(
    pixels_hwc: U8Array, crop: U8Array, changed: U8Array, box: BoxCxcywhr, spec: CropSpec
) -> U8Array:
    """Return the frame with what was changed in a crop pasted where the crop was cut out.

    Only the change is added, so that the rest of the frame keeps its own pixels and noise.
    """
    h, w = pixels_hwc.shape[:2]
    change = changed.astype(np.float32) - crop.astype(np.float32)
    there = cv2.warpAffine(change, crop_to_frame(box, spec), (w, h), flags=cv2.INTER_LINEAR)
    return np.clip(np.round(pixels_hwc + there), 0, 255).astype(np.uint8)
