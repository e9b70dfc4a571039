"""Product boxes without hand labels: segment every picture, then believe what they agree on.

One picture alone cannot tell a part from a stain. All pictures together can: the usual area and
elongation are medians over the data set, and what differs from them is named, not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import BoxCxcywhr, F32Array, F64Array, U8Array
from export.part_shape import Kind, PartShape, box_of, has_direction, kind_of, measured
from export.segmentation import (
    background_from_border,
    background_from_stack,
    components,
    distance_map,
    work_lab,
)
from export.yolo_dataset import LabelledPicture, read_bgr

AREA_RATIO = 1.6
ELONGATION_RATIO = 1.35
"""A part's area and elongation may differ from the data set's medians by these factors."""

WEAK_CONTRAST = 2.5
"""Median distance of a part from the background, in background spreads; less is guesswork."""

LEFTOVER_SHARE = 0.35
"""Another object of at least this share of the usual area makes a picture doubtful."""

CUT_SHARE = 0.08
CUT_WIDTH_SHARE = 0.3
"""What touches the border and has at least this share of the usual area and width is a part cut
by the border; thinner things are rails."""

STACK_PICTURES = 64
STACK_MIN_PICTURES = 12
RETRY_SHARE = 0.3
"""With more doubtful pictures than this, the median picture is tried as the background."""

FILL_SAMPLE = 32
FILL_SURE_SHARE = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """What one picture shows, before anything is known about the others.

    Attributes:
        whole: areas inside the picture, largest first.
        at_border: areas that reach the border.
    """

    frame_hw: tuple[int, int]
    whole: tuple[PartShape, ...]
    at_border: tuple[PartShape, ...]


@dataclass(frozen=True, slots=True)
class Usual:
    """What the pictures agree on: medians over each picture's largest whole area.

    Attributes:
        area_px: in frame pixels.
        elongation: long over short spread, >= 1.
        kind: the most frequent one.
    """

    area_px: float
    elongation: float
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class AutoLabel:
    """One picture's label.

    Attributes:
        frame_hw: picture size.
        boxes: one per part, largest first; convention in `edge_app/obb.py`.
        has_direction: per part: the angle is a direction (heavy end to light end), not an axis.
        shapes: per part, its outline and measures; `shapes[i].mask(frame_hw)` is its mask.
        cut: areas that are parts cut by the border.
        unsure: why a person should look at it; empty when there is no doubt.
    """

    frame_hw: tuple[int, int]
    boxes: tuple[BoxCxcywhr, ...]
    has_direction: tuple[bool, ...]
    shapes: tuple[PartShape, ...]
    cut: tuple[PartShape, ...]
    unsure: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """Return the least contrasted part's contrast over twice the weakest allowed, 0..1."""
        if self.unsure or not self.shapes:
            return 0.0
        return min(1.0, min(shape.contrast for shape in self.shapes) / (2 * WEAK_CONTRAST))


@dataclass(frozen=True, slots=True, eq=False)
class LabelReport:
    """The labels of a data set.

    Attributes:
        paths: the pictures, in the order given.
        labels: one per picture.
        usual: what they agree on.
        background: "border" (fitted to each picture's border) or "stack" (median picture).
    """

    paths: tuple[Path, ...]
    labels: tuple[AutoLabel, ...]
    usual: Usual
    background: str

    @property
    def unsure(self) -> dict[Path, tuple[str, ...]]:
        """Return the doubtful pictures and why."""
        pairs = zip(self.paths, self.labels, strict=True)
        return {path: label.unsure for path, label in pairs if label.unsure}

    def labelled(self) -> list[LabelledPicture]:
        """Return the pictures without doubt, ready for training; cut parts are hidden."""
        pairs = zip(self.paths, self.labels, strict=True)
        return [_as_training(path, label) for path, label in pairs if not label.unsure]


def autolabel(pixels_hwc: U8Array) -> AutoLabel:
    """Return the label of a single picture, judged by itself alone.

    Args:
        pixels_hwc: uint8 (h, w, 3), BGR, one or several alike parts on a plain background.
    """
    segmented = segment(pixels_hwc)
    return judged(segmented, usual_of([segmented]))


def autolabel_folder(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> LabelReport:
    """Label pictures of one product and say which of them are doubtful.

    Args:
        paths: picture files.
        progress: called with (done, all) after each picture.

    Raises:
        DataError: there are no pictures, or one cannot be decoded.
    """
    if not paths:
        raise DataError("There are no pictures to label. Name a folder with pictures.")
    report = _label_all(paths, None, progress)
    if len(report.unsure) <= RETRY_SHARE * len(paths):
        return report
    stack = _stack_background(paths)
    if stack is None:
        return report
    retried = _label_all(paths, stack, progress)
    return retried if len(retried.unsure) < len(report.unsure) else report


def product_fills_frame(paths: Sequence[Path]) -> tuple[bool, str]:
    """Return whether the whole picture is the product, and why, from a sample of the pictures.

    Raises:
        DataError: there are no pictures, or one cannot be decoded.
    """
    step = max(1, len(paths) // FILL_SAMPLE)
    sample = list(paths)[::step][:FILL_SAMPLE]
    report = autolabel_folder(sample)
    sure = len(sample) - len(report.unsure)
    seen = f"{sure} of {len(sample)} sampled pictures"
    if sure >= FILL_SURE_SHARE * len(sample):
        return False, f"{seen} show separate objects of like area and shape on a background."
    return True, f"Only {seen} show a separate object of the usual area and shape."


def segment(pixels_hwc: U8Array, background_hwc: F32Array | None = None) -> Segmented:
    """Return the areas of one picture that differ from the background.

    Args:
        pixels_hwc: uint8 (h, w, 3), BGR.
        background_hwc: in Lab at the working size; None fits one to the picture's border.
    """
    lab = work_lab(pixels_hwc)
    background = background_from_border(lab) if background_hwc is None else background_hwc
    distance = distance_map(lab, background)
    frame_hw = (pixels_hwc.shape[0], pixels_hwc.shape[1])
    found = components(distance)
    whole = (measured(c, distance, frame_hw) for c in found if not c.touches_border)
    at_border = (measured(c, distance, frame_hw) for c in found if c.touches_border)
    return Segmented(frame_hw, tuple(whole), tuple(at_border))


def usual_of(pictures: Sequence[Segmented]) -> Usual:
    """Return what the pictures agree on."""
    largest = [p.whole[0] for p in pictures if p.whole]
    if not largest:
        return Usual(0.0, 1.0, "compact")
    area_px = float(np.median([shape.area_px for shape in largest]))
    typical = [s for s in largest if _ratio(s.area_px, area_px) <= AREA_RATIO]
    kinds = Counter(kind_of(shape) for shape in typical)
    elongation = float(np.median([shape.elongation for shape in typical]))
    return Usual(area_px, elongation, max(kinds, key=lambda kind: kinds[kind]))


def judged(segmented: Segmented, usual: Usual) -> AutoLabel:
    """Return the label of one picture, given what all of them agree on."""
    parts = tuple(s for s in segmented.whole if not _misfit(s, usual))
    cut = tuple(s for s in segmented.at_border if _is_cut_part(s, usual))
    return AutoLabel(
        frame_hw=segmented.frame_hw,
        boxes=tuple(box_of(shape, usual.kind) for shape in parts),
        has_direction=tuple(usual.kind == "elongated" and has_direction(s) for s in parts),
        shapes=parts,
        cut=cut,
        unsure=_doubts(segmented, parts, cut, usual),
    )


def _doubts(
    segmented: Segmented, parts: tuple[PartShape, ...], cut: tuple[PartShape, ...], usual: Usual
) -> tuple[str, ...]:
    reasons = []
    for shape in segmented.whole:
        misfit = _misfit(shape, usual)
        if misfit and shape.area_px >= LEFTOVER_SHARE * usual.area_px:
            reasons.append(misfit)
    if not parts and cut:
        reasons.append("the part touches the picture's border")
    elif not parts and not reasons:
        reasons.append("no part found")
    if any(shape.contrast < WEAK_CONTRAST for shape in parts):
        reasons.append("the part hardly differs from the background")
    return tuple(reasons)


def _misfit(shape: PartShape, usual: Usual) -> str:
    """Return why an area is not one usual part; empty if it is."""
    if _ratio(shape.area_px, usual.area_px) > AREA_RATIO:
        return f"area is {shape.area_px / max(usual.area_px, 1.0):.2f} times the usual"
    if _ratio(shape.elongation, usual.elongation) > ELONGATION_RATIO:
        return f"elongation is {shape.elongation:.2f}, usually {usual.elongation:.2f}"
    return ""


def _is_cut_part(shape: PartShape, usual: Usual) -> bool:
    _, (a, b), _ = cv2.minAreaRect(shape.outline_xy)
    usual_width = np.sqrt(usual.area_px / usual.elongation)
    is_large = CUT_SHARE <= shape.area_px / max(usual.area_px, 1.0) <= AREA_RATIO
    return bool(is_large and min(a, b) >= CUT_WIDTH_SHARE * usual_width)


def _ratio(a: float, b: float) -> float:
    low, high = sorted((max(a, 1e-9), max(b, 1e-9)))
    return high / low


def _label_all(
    paths: Sequence[Path],
    background_hwc: F32Array | None,
    progress: Callable[[int, int], None] | None,
) -> LabelReport:
    segmented = []
    for number, path in enumerate(paths, 1):
        segmented.append(segment(read_bgr(path), background_hwc))
        if progress is not None:
            progress(number, len(paths))
    usual = usual_of(segmented)
    labels = tuple(judged(picture, usual) for picture in segmented)
    return LabelReport(
        tuple(paths), labels, usual, "border" if background_hwc is None else "stack"
    )


def _stack_background(paths: Sequence[Path]) -> F32Array | None:
    """Return the median of some pictures, or None if they are too few or of several sizes."""
    step = max(1, len(paths) // STACK_PICTURES)
    pictures = [read_bgr(path) for path in list(paths)[::step][:STACK_PICTURES]]
    if len(pictures) < STACK_MIN_PICTURES or len({p.shape for p in pictures}) > 1:
        return None
    return background_from_stack([work_lab(picture) for picture in pictures])


def _as_training(path: Path, label: AutoLabel) -> LabelledPicture:
    boxes: F64Array = np.array(label.boxes, np.float64).reshape(-1, 5)
    return LabelledPicture(path, boxes, hidden_xy=tuple(shape.outline_xy for shape in label.cut))
