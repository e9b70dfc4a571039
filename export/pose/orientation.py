"""Which turns a product has, and the cue that tells them apart: learnt from good parts alone.

For an elongated part the sign problem has a closed form. With d_i the difference between a part's
picture and the same picture turned by half a turn, the signs that make Σ s_i d_i longest are those
of the leading eigenvector of the Gram matrix of the d_i. For a square part the four turns are
found by alternating between aligning to the mean and taking the mean, from several starts.
A direction that turns out to be the frame's is learnt again without the light (`frame_light.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.orientation import TURNS, candidate_views, template_from_means
from edge_app.records import BoxCxcywhr, F32Array, U8Array
from export.labels.part_shape import ELONGATED_ASPECT, Kind
from export.pose.frame_light import (
    across_light,
    follows_the_frame,
    registered_to_symmetry,
    without_light,
)

MIN_AGREEMENT = 0.9
"""Share of parts whose turn, given by a cue learnt without them, agrees; below it the part looks
the same both ways and turning it would be guessing (chance: 1 / turns)."""

_STARTS, _ROUNDS = 6, 12


@dataclass(frozen=True, slots=True, eq=False)
class Orientation:
    """What was learnt.

    Attributes:
        kind: as in the manifest.
        turns: (n,) int: for each part, the turn that brings it upright.
        template: the bundle's cue picture, None where turning does not matter.
        agreement: share of parts whose turn a cue learnt without them confirms, 0..1.
        reason: one sentence for the report.
    """

    kind: Literal["fixed", "two_way", "four_way", "free"]
    turns: NDArray[np.int64]
    template: U8Array | None
    agreement: float
    reason: str


def choose_kind(
    boxes_cxcywhr: Sequence[BoxCxcywhr], shape: Kind | None
) -> Literal["two_way", "four_way", "free"]:
    """Return what kind of axis the parts have.

    Args:
        boxes_cxcywhr: one per part.
        shape: what segmentation saw; None where a person's labels leave only the boxes' aspect.
    """
    if shape == "round":
        return "free"
    aspects = [max(b[2], b[3]) / max(min(b[2], b[3]), 1e-6) for b in boxes_cxcywhr]
    return "two_way" if float(np.median(aspects)) >= ELONGATED_ASPECT else "four_way"


def learn_orientation(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    shape: Kind | None,
) -> Orientation:
    """Learn the kind of orientation and the cue from good parts.

    Args:
        pictures: reads the frame of each part, uint8 (h, w, 3); one per box.
        boxes_cxcywhr: the parts' boxes, w >= h, angle known up to the kind's turns.
        spec: how parts are cut out.
        shape: see `choose_kind`.
    """
    kind = choose_kind(boxes_cxcywhr, shape)
    n = len(boxes_cxcywhr)
    if kind == "free":
        return Orientation(
            kind, np.zeros(n, np.int64), None, 1.0, "round: no axis, crops are not turned"
        )
    views = _views(pictures, boxes_cxcywhr, spec, kind)
    turns, agreement = _turns_of(views, kind)
    angles = np.array([box[4] for box in boxes_cxcywhr])
    if agreement >= MIN_AGREEMENT and follows_the_frame(angles, turns, kind):
        unlit = _learnt_without_light(pictures, boxes_cxcywhr, spec, kind)
        if unlit.agreement >= MIN_AGREEMENT:
            return unlit
    if agreement < MIN_AGREEMENT:
        reason = f"looks the same in {TURNS[kind]} directions (agreement {agreement:.2f})"
        return Orientation(kind, np.zeros(n, np.int64), None, agreement, reason)
    reason = (
        f"{TURNS[kind]} directions told apart by the mean good part (agreement {agreement:.2f})"
    )
    template = template_from_means(_turned_back(views, turns).mean(axis=0))
    return Orientation(kind, turns, template, agreement, reason)


def _views(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    kind: str,
) -> F32Array:
    """Return (n, turns, h, w) candidate views."""
    pairs = zip(pictures, boxes_cxcywhr, strict=True)
    return np.stack([candidate_views(read(), box, kind, spec) for read, box in pairs])


def _turns_of(views: F32Array, kind: str) -> tuple[NDArray[np.int64], float]:
    """Return (n,) turns that make all parts alike, and their agreement."""
    turns = _signs(views) if kind == "two_way" else _align(views)
    return turns, _held_out_agreement(views, turns)


def _turned_back(views: F32Array, turns: NDArray[np.int64]) -> F32Array:
    """Return the views with every part's upright view first."""
    return np.stack([np.roll(v, -t, axis=0) for v, t in zip(views, turns, strict=True)])


def _learnt_without_light(
    pictures: Sequence[Callable[[], U8Array]],
    boxes_cxcywhr: Sequence[BoxCxcywhr],
    spec: CropSpec,
    kind: Literal["two_way", "four_way"],
) -> Orientation:
    """Return what is learnt from registered parts once the frame's light is taken out."""
    boxes = registered_to_symmetry(pictures, boxes_cxcywhr, spec, kind)
    angles = np.array([box[4] for box in boxes])
    views, light = without_light(_views(pictures, boxes, spec, kind), angles)
    turns, agreement = _turns_of(views, kind)
    means = across_light(_turned_back(views, turns).mean(axis=0), light)
    reason = (
        f"{TURNS[kind]} directions told apart by the mean good part once the light, which comes "
        f"from one side of the frame, is taken out (agreement {agreement:.2f})"
    )
    return Orientation(kind, turns, template_from_means(means), agreement, reason)


def _signs(views: F32Array) -> NDArray[np.int64]:
    """Return (n,) 0 or 1: the half-turns that make all parts most alike."""
    d = (views[:, 0] - views[:, 1]).reshape(len(views), -1).astype(np.float64)  # (n, h*w)
    _, vectors = np.linalg.eigh(d @ d.T)
    leading = vectors[:, -1]
    if leading[np.argmax(np.abs(leading))] < 0:
        leading = -leading
    return (leading < 0).astype(np.int64)


def _align(views: F32Array) -> NDArray[np.int64]:
    """Return (n,) turns 0..3 by alternating alignment, the best of several starts."""
    best, best_fit = np.zeros(len(views), np.int64), -np.inf
    for start in np.linspace(0, len(views) - 1, min(_STARTS, len(views))).astype(int):
        template = views[start]  # (turns, h, w)
        for _ in range(_ROUNDS):
            fits = _fits(views, template)
            turns = fits.argmax(axis=1)
            template = _turned_back(views, turns).mean(axis=0)
        fit = float(fits.max(axis=1).mean())
        if fit > best_fit:
            best, best_fit = turns.astype(np.int64), fit
    return best


def _fits(views: F32Array, template: F32Array) -> F32Array:
    """Return (n, turns): how well each part fits the template when turned by each turn."""
    contrast = template[0] - template.mean(axis=0)
    return np.asarray(np.einsum("nthw,hw->nt", views, contrast), dtype=np.float32)


def _held_out_agreement(views: F32Array, turns: NDArray[np.int64]) -> float:
    """Return the share of parts whose turn a template learnt from the other half confirms."""
    aligned = _turned_back(views, turns)
    agree = 0
    for half in (0, 1):
        template = aligned[half::2].mean(axis=0)
        predicted = _fits(views[1 - half :: 2], template).argmax(axis=1)
        agree += int((predicted == turns[1 - half :: 2]).sum())
    return agree / len(views)
