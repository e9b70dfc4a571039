"""Learning the alignment template: average, register, average again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from edge_app.imaging.registration import Registration
from edge_app.imaging.upright_crop import CropSpec, crop_box
from edge_app.inspection.alignment import Aligner, small_crop, small_spec
from edge_app.records import BoxCxcywhr, U8Array
from export.pose.silhouette import product_silhouette
from export.workspace import OnProgress

TRAINED_REGISTRATION: Registration = "inverse_compositional"
"""How parts are registered by every bundle built from now on."""

ROUNDS = 2
"""After the second average the template no longer gets sharper (measured on simulated parts)."""

GROWN_SHARE = 0.2
"""Of the crop's shorter side, so that the outline and what is left of the coarse step's error lie
inside. Measured: with 0.06 the size was off by up to 3 %, with 0.12 and 0.2 by 1 %."""

SIZE_GAIN = 0.95
"""Sizes are free only where that leaves less than this share of the difference: a repeating pattern
(a screw's thread) otherwise pulls every part to a size of its own. On screws free sizes left 13.0
grey levels and a spread of 3 % in length, the one true size 12.6."""

DEPARTURE_QUANTILE, TOLERANCE_GAIN = 0.95, 2.0
TOLERANCE_LIMITS = (0.03, 0.3)
"""Twice what all but one in twenty good parts depart from the usual size is believed: some of the
parts it is learnt from have slipped themselves (their size was a seventh off)."""

MAX_PARTS = 200
"""More parts make the mean no better and the step slower."""


def learn_alignment(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    is_round: bool,
    report: OnProgress,
) -> Aligner:
    """Return the aligner of good parts whose boxes have their direction.

    Both kinds are learnt, with one size for all parts and with a size for each; the first is kept
    unless the second fits clearly better.

    Args:
        pictures: reads the frame of each part; one per box.
        is_round: the parts have no angle.
    """
    step = max(1, len(pictures) // MAX_PARTS)
    frames = [read() for read in pictures[::step][:MAX_PARTS]]
    boxes = list(boxes_cxcywhr[::step][:MAX_PARTS])
    w, h = (float(v) for v in np.median(np.array(boxes)[:, 2:4], axis=0))
    sized: list[BoxCxcywhr] = [(x, y, w, h, angle) for x, y, _, _, angle in boxes]
    fixed, misfit = _learnt(frames, sized, spec, is_round, (w, h), report)
    free, misfit_free = _learnt(frames, boxes, spec, is_round, None, report)
    return free if misfit_free < SIZE_GAIN * misfit else fixed


def _learnt(
    frames: Sequence[U8Array],
    boxes: list[BoxCxcywhr],
    spec: CropSpec,
    is_round: bool,
    size_px: tuple[float, float] | None,
    report: OnProgress,
) -> tuple[Aligner, float]:
    """Return the aligner of one kind and what it leaves: a mean squared grey difference."""
    everywhere = np.full(small_spec(spec).crop_hw, 255, np.uint8)
    aligner = _averaged(frames, boxes, spec, is_round, everywhere, size_px)
    usual_px = float(np.median([box[2] for box in boxes]))
    for round_number in range(ROUNDS):
        found = [aligner.aligned(f, b) for f, b in zip(frames, boxes, strict=True)]
        zoom = usual_px / float(np.median([box[2] for box in found]))  # sizes must not drift
        boxes = [(x, y, w * zoom, h * zoom, angle) for x, y, w, h, angle in found]
        around = _surroundings(frames, boxes, spec)
        aligner = _averaged(frames, boxes, spec, is_round, around, size_px)
        report("alignment template", (round_number + 1) / ROUNDS)
    misfit = _misfit(aligner, frames, boxes)
    return (aligner if size_px else _with_sizes(aligner, boxes)), misfit


def _with_sizes(aligner: Aligner, boxes: Sequence[BoxCxcywhr]) -> Aligner:
    """Return the aligner that knows the usual size and how far good parts depart from it."""
    sizes = np.array([box[2:4] for box in boxes])
    w, h = (float(v) for v in np.median(sizes, axis=0))
    departure = np.abs(np.log(sizes[:, 0] / w))
    tolerance = float(np.quantile(departure, DEPARTURE_QUANTILE)) * TOLERANCE_GAIN
    return replace(
        aligner, size_px=(w, h), size_tolerance=float(np.clip(tolerance, *TOLERANCE_LIMITS))
    )


def _misfit(aligner: Aligner, frames: Sequence[U8Array], boxes: Sequence[BoxCxcywhr]) -> float:
    """Return the median part's mean squared difference to the template within the mask.

    The median: one part that slipped must not decide which kind of registration is learnt.
    """
    inside = aligner.mask > 0
    left = [
        np.mean((small_crop(f, b, aligner.spec) - aligner.template)[inside] ** 2)
        for f, b in zip(frames, boxes, strict=True)
    ]
    return float(np.median(left))


def _averaged(
    frames: Sequence[U8Array],
    boxes: Sequence[BoxCxcywhr],
    spec: CropSpec,
    is_round: bool,
    mask: U8Array,
    size_px: tuple[float, float] | None,
) -> Aligner:
    """Return the aligner whose template is the mean crop and whose box is the median box."""
    crops = [small_crop(f, b, spec) for f, b in zip(frames, boxes, strict=True)]
    in_crop = [_in_crop(box, spec) for box in boxes]
    w, h = (float(v) for v in np.median(np.array(in_crop), axis=0))
    template = np.round(np.mean(np.stack(crops), axis=0, dtype=np.float64)).astype(np.float32)
    return Aligner(
        template, mask, (w, h), spec, is_round, size_px, registration=TRAINED_REGISTRATION
    )


def _surroundings(
    frames: Sequence[U8Array], boxes: Sequence[BoxCxcywhr], spec: CropSpec
) -> U8Array:
    """Return the product's silhouette in the small crop, grown so that its outline is inside."""
    silhouette = _silhouette(frames, boxes, spec)
    side = 2 * max(2, round(GROWN_SHARE * min(silhouette.shape))) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(silhouette, element), np.uint8)


def _silhouette(frames: Sequence[U8Array], boxes: Sequence[BoxCxcywhr], spec: CropSpec) -> U8Array:
    """Return where in the small crop the product is, uint8 (h, w); everywhere if unsure."""
    crops = [small_crop(f, b, spec).astype(np.uint8) for f, b in zip(frames, boxes, strict=True)]
    everywhere = np.full(crops[0].shape, 255, np.uint8)
    colour = np.repeat(np.stack(crops)[..., None], 3, axis=3)  # (n, h, w, 3)
    return product_silhouette(colour, everywhere)


def learnt_silhouette(
    aligner: Aligner,
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
) -> U8Array | None:
    """Return the product's silhouette in the small crop, uint8 (h, w); None if it is unsure.

    Args:
        pictures: reads the frame of each part; one per box.
        boxes_cxcywhr: with their direction, not registered yet.
    """
    step = max(1, len(pictures) // MAX_PARTS)
    frames = [read() for read in pictures[::step][:MAX_PARTS]]
    found = [aligner.aligned(f, b) for f, b in zip(frames, boxes_cxcywhr[::step], strict=False)]
    silhouette = _silhouette(frames, found, aligner.spec)
    return None if silhouette.all() else silhouette


def _in_crop(box: BoxCxcywhr, spec: CropSpec) -> tuple[float, float]:
    """Return a box's (w, h) in pixels of its own crop."""
    per_px = spec.crop_hw[1] / crop_box(box, spec)[2]
    return box[2] * per_px, box[3] * per_px


def template_picture(aligner: Aligner, silhouette: U8Array | None = None) -> U8Array:
    """Return the template as the bundle keeps it: picture, below it the mask and the silhouette.

    Returns:
        uint8 (2 h, w), or (3 h, w) with a silhouette.
    """
    rows = [aligner.template.astype(np.uint8), aligner.mask]
    return np.vstack(rows if silhouette is None else [*rows, silhouette])
