"""Light comes from one side of the frame, not of the part: taken out before a direction is learnt.

Parts lie at all angles, the light does not turn with them. Bright and dark flanks, shadows and
where a detector puts its box then tell the frame's directions apart, and on a nearly symmetric part
they outweigh its own small mark. On the simulated square part (a notch of 1 % of its area) a
cue learnt from the plain views followed the light, with an agreement of 0.98, and the
notch lay at all four sides; learnt as here all 160 parts came out in the same direction.

Views differ with the frame angle φ of their crop as A + B cos φ + C sin φ + ..., while the part's
own direction is independent of φ: B and C are found by least squares over all parts and turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_app.imaging.upright_crop import CropSpec, crop_box
from edge_app.inspection.alignment import Aligner, small_crop
from edge_app.inspection.orientation import TURNS
from edge_app.records import BoxCxcywhr, F32Array, F64Array, U8Array

HARMONICS = 2
"""Of the frame angle. Measured with 1 and 2 on the simulated square part: both 160 of 160."""

SPREAD, GATHERED = 0.8, 0.3
"""Resultant lengths, 0 to 1. Boxes below SPREAD lie at all angles; turned parts above GATHERED all
look one way in the frame, which parts that lie anyhow do not (square part, plain views: 0.63)."""

_REGISTRATIONS = 2


def follows_the_frame(angles_rad: F64Array, turns: NDArray[np.int64], kind: str) -> bool:
    """Return whether parts that lie at all angles were turned to the frame's own direction.

    Args:
        angles_rad: (n,) of the boxes as they were found.
        turns: (n,) how often each was turned.
    """
    steps = TURNS[kind]
    placed = abs(np.exp(1j * steps * angles_rad).mean())
    gathered = abs(np.exp(1j * (angles_rad + turns * 2 * math.pi / steps)).mean())
    return bool(placed < SPREAD and gathered > GATHERED)


def registered_to_symmetry(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    kind: str,
) -> list[BoxCxcywhr]:
    """Return the boxes registered to the mean of all parts in all their turns.

    A box that is off to one side looks like a direction; this takes it away, and no turn is
    preferred. Quarter turns need a square crop: with another one the boxes stay as they are.
    """
    boxes = list(boxes_cxcywhr)
    steps = TURNS[kind]
    if steps == 4 and spec.crop_hw[0] != spec.crop_hw[1]:
        return boxes
    w, h = (float(v) for v in np.median(np.array(boxes)[:, 2:4], axis=0))
    if steps == 4:
        w = h = (w + h) / 2
    scale = spec.crop_hw[1] / crop_box((0.0, 0.0, w, h, 0.0), spec)[2]
    for _ in range(_REGISTRATIONS):
        mean = np.mean(
            [small_crop(read(), b, spec) for read, b in zip(pictures, boxes, strict=True)], axis=0
        )
        symmetric = np.mean([_turned_picture(mean, t, steps) for t in range(steps)], axis=0)
        everywhere = np.full(mean.shape, 255, np.uint8)
        template = np.asarray(symmetric, np.float32)
        aligner = Aligner(template, everywhere, (w * scale, h * scale), spec, False, (w, h))
        boxes = [aligner.aligned(read(), b) for read, b in zip(pictures, boxes, strict=True)]
    return boxes


def without_light(views: F32Array, angles_rad: F64Array) -> tuple[F32Array, F64Array]:
    """Return the views less what follows the frame, and that light's pictures.

    Args:
        views: (n, turns, h, w) of `candidate_views`.
        angles_rad: (n,) of the boxes.

    Returns:
        (n, turns, h, w) float32, and (2 * HARMONICS, h, w) float64.
    """
    n, steps, h, w = views.shape
    frame_rad = (angles_rad[:, None] + np.arange(steps) * 2 * math.pi / steps).ravel()
    waves = [f(k * frame_rad) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)]
    design = np.stack([np.ones_like(frame_rad), *waves], axis=1)  # (n * turns, 1 + 2 harmonics)
    flat = views.reshape(n * steps, h * w).astype(np.float64)
    found, *_ = np.linalg.lstsq(design, flat, rcond=None)
    light = found[1:]
    return (
        np.asarray(flat - design[:, 1:] @ light, np.float32).reshape(views.shape),
        light.reshape(-1, h, w),
    )


def across_light(means: F32Array, light: F64Array) -> F32Array:
    """Return each turn's mean view with its contrast at right angles to the light.

    The device then correlates plain views with it, and the light adds nothing.

    Args:
        means: (turns, h, w), the mean view of each turn.
        light: (k, h, w) from `without_light`.
    """
    steps = len(means)
    turned = [_turned_picture(picture, t, steps) for picture in light for t in range(steps)]
    pictures = np.stack([picture.ravel() for picture in turned], axis=1)
    basis, lengths, _ = np.linalg.svd(pictures, full_matrices=False)
    basis = basis[:, lengths > 1e-3 * lengths[0]]
    common = means.mean(axis=0)
    contrast = (means - common).reshape(steps, -1)
    return np.asarray(
        common + (contrast - contrast @ basis @ basis.T).reshape(means.shape), np.float32
    )


def _turned_picture(picture_hw: F64Array | F32Array, turn: int, steps: int) -> F64Array:
    """Return a picture turned by so many of a full turn's steps; quarter turns keep a square."""
    if steps == 4 and picture_hw.shape[0] == picture_hw.shape[1]:
        return np.asarray(np.rot90(picture_hw, turn), np.float64)
    return np.asarray(picture_hw[::-1, ::-1] if turn * 2 % steps else picture_hw, np.float64)
