"""Learning the alignment template: average, register, average again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_app.alignment import Aligner, small_crop
from edge_app.crop import CropSpec, crop_box
from edge_app.records import BoxCxcywhr, U8Array
from export.workspace import Report

ROUNDS = 2
"""After the second average the template no longer gets sharper (measured on simulated parts)."""

MAX_PARTS = 200
"""More parts make the mean no better and the step slower."""


def learn_alignment(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    is_round: bool,
    report: Report,
) -> Aligner:
    """Return the aligner of good parts whose boxes are the right way round.

    Args:
        pictures: reads the frame of each part; one per box.
        is_round: the parts have no angle.
    """
    step = max(1, len(pictures) // MAX_PARTS)
    frames = [read() for read in pictures[::step][:MAX_PARTS]]
    boxes = list(boxes_cxcywhr[::step][:MAX_PARTS])
    aligner = _averaged(frames, boxes, spec, is_round)
    for round_number in range(ROUNDS):
        boxes = [aligner.aligned(f, b) for f, b in zip(frames, boxes, strict=True)]
        aligner = _averaged(frames, boxes, spec, is_round)
        report("alignment template", (round_number + 1) / ROUNDS)
    return aligner


def _averaged(
    frames: Sequence[U8Array], boxes: Sequence[BoxCxcywhr], spec: CropSpec, is_round: bool
) -> Aligner:
    """Return the aligner whose template is the mean crop and whose box is the median box."""
    crops = [small_crop(f, b, spec) for f, b in zip(frames, boxes, strict=True)]
    in_crop = [_in_crop(box, spec) for box in boxes]
    w, h = (float(v) for v in np.median(np.array(in_crop), axis=0))
    template = np.round(np.mean(np.stack(crops), axis=0, dtype=np.float64)).astype(np.float32)
    return Aligner(template, (w, h), spec, is_round)


def _in_crop(box: BoxCxcywhr, spec: CropSpec) -> tuple[float, float]:
    """Return a box's (w, h) in pixels of its own crop."""
    per_px = spec.crop_hw[1] / crop_box(box, spec)[2]
    return box[2] * per_px, box[3] * per_px


def template_picture(aligner: Aligner) -> U8Array:
    """Return the template as the bundle keeps it, uint8 (h, w)."""
    return aligner.template.astype(np.uint8)
