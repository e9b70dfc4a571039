"""Product boxes without hand labels: segment every picture, then believe what they agree on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_app.errors import DataError
from edge_app.records import F32Array, U8Array
from export.data.yolo_dataset import read_bgr
from export.labels.overview_sheet import write_overview
from export.labels.part_shape import ELONGATED_RATIO, PartShape, measured
from export.labels.records import WEAK_CONTRAST, AutoLabel, LabelReport, Segmented
from export.labels.rules import CUT_AT_BORDER, judged, usual_of
from export.labels.segmentation import (
    Component,
    background_from_border,
    background_from_stack,
    components,
    distance_map,
    work_lab,
)

__all__ = [
    "AutoLabel",
    "LabelReport",
    "autolabel",
    "autolabel_folder",
    "product_fills_frame",
    "segment",
    "write_overview",
]

STACK_PICTURES = 64
STACK_MIN_PICTURES = 12
RETRY_SHARE = 0.3
"""With more doubtful pictures than this, the median picture is tried as the background."""

GRAZING_CHORD = 0.15
GRAZING_DEPTH_PX = 2.0
"""What a part may cover of the border and still be whole: so much of the square root of its area
(less than a hundredth cut off a square's corner; a screw's shaft is 0.2 wide), and where it has no
long axis as much as a disc of its area that reaches two working pixels over the border, one of them
blur (1.1 % of a disc of 60 px, 0.2 % of one of 160)."""

FILL_SAMPLE = 32
FILL_SURE_SHARE = 0.6
FILL_WHOLE_SHARE = 0.25
"""Of the sampled pictures: so many show a separate object, so many show it wholly inside."""


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
    cut = sum(CUT_AT_BORDER in reasons for reasons in report.unsure.values())
    seen = f"{sure} of {len(sample)} sampled pictures"
    if sure >= FILL_WHOLE_SHARE * len(sample) and sure + cut >= FILL_SURE_SHARE * len(sample):
        also = f" ({cut} more at the border)" if cut else ""
        return False, f"{seen}{also} show separate objects of like area and shape on a background."
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
    found = [(c, measured(c, distance, frame_hw)) for c in components(distance)]
    pairs = [(is_at_border(component, shape), shape) for component, shape in found]
    clear = [(at_border, shape) for at_border, shape in pairs if shape.contrast >= WEAK_CONTRAST]
    whole = tuple(shape for at_border, shape in clear if not at_border)
    return Segmented(frame_hw, whole, tuple(shape for at_border, shape in clear if at_border))


def is_at_border(component: Component, shape: PartShape) -> bool:
    """Return whether an area runs along the picture's border, so that some of it may be outside.

    What only grazes the border is whole.
    """
    chord_px = GRAZING_CHORD * math.sqrt(component.area_px)
    if shape.elongation < ELONGATED_RATIO:
        radius_px = math.sqrt(component.area_px / math.pi)
        chord_px = max(chord_px, math.sqrt(8 * radius_px * GRAZING_DEPTH_PX))
    return component.border_px > chord_px


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
    background = "border" if background_hwc is None else "stack"
    return LabelReport(tuple(paths), labels, usual, background, tuple(segmented))


def _stack_background(paths: Sequence[Path]) -> F32Array | None:
    """Return the median of some pictures, or None if they are too few or of several sizes."""
    step = max(1, len(paths) // STACK_PICTURES)
    pictures = [read_bgr(path) for path in list(paths)[::step][:STACK_PICTURES]]
    if len(pictures) < STACK_MIN_PICTURES or len({p.shape for p in pictures}) > 1:
        return None
    return background_from_stack([work_lab(picture) for picture in pictures])
