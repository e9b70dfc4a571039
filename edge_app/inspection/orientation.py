"""A product's direction: an oriented box knows its axis, this finds which end is which.

The cue is the mean picture of the upright good crops. Only what changes when the part is turned
can tell one direction from another, so each candidate turn is compared with the mean less its
average over all turns (the linear discriminant between turns with equal covariances).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_app.errors import BundleError
from edge_app.imaging.oriented_box import wrap_turn
from edge_app.imaging.registration import halved
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.records import BoxCxcywhr, F32Array, F64Array, U8Array

OrientationKind = Literal["fixed", "two_way", "four_way", "free"]

TURNS: dict[str, int] = {"fixed": 1, "two_way": 2, "four_way": 4, "free": 1}

CUE_LONG_SIDE_PX = 64
"""The cue's resolution: enough for a hole or a taper, coarse enough to ignore small defects."""

SURE = 0.3
"""Of the cue's length, how much likelier a direction is than the next where a glance is believed.
Of 1,485 views of simulated tapered parts, defective ones among them, the least sure was at 0.12,
14 were below this and none was wrong. Square parts, whose cue is a notch, are never sure (0.2 at
most; 6 of 400 wrong, with 0.08 at most) and are always looked at again."""


def cue_spec(spec: CropSpec) -> CropSpec:
    """Return the crop's spec at the cue's small size, same aspect and margin."""
    h, w = spec.crop_hw
    scale = CUE_LONG_SIDE_PX / max(h, w)
    return CropSpec((max(4, round(h * scale)), max(4, round(w * scale))), spec.margin, spec.stretch)


def turned(box_cxcywhr: BoxCxcywhr, kind: str, turn: int) -> BoxCxcywhr:
    """Return the same rectangle with its direction turned by `turn` steps of 2π / turns.

    A quarter turn of a `four_way` part exchanges w and h.
    """
    cx, cy, w, h, angle_rad = box_cxcywhr
    steps = TURNS[kind]
    angle = wrap_turn(angle_rad + turn * 2 * math.pi / steps)
    if steps == 4 and turn % 2:
        w, h = h, w
    return cx, cy, w, h, angle


def candidate_views(
    pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, kind: str, spec: CropSpec
) -> F32Array:
    """Return the small grey crop of every candidate turn, contrast-normalised.

    Returns:
        (turns, h, w) float32, each with mean 0 and norm 1 (0 where the crop is flat).
    """
    return _views_and_crops(pixels_hwc, box_cxcywhr, kind, spec)[0]


def _views_and_crops(
    pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, kind: str, spec: CropSpec
) -> tuple[F32Array, list[U8Array]]:
    """Return `candidate_views` and the crops they were made from, of the first turns."""
    small = cue_spec(spec)
    turns = TURNS[kind]
    views: list[F32Array] = []
    crops: list[U8Array] = []
    for turn in range(turns):
        if turns % 2 == 0 and turn >= turns // 2:  # half a turn on: the same pixels, backwards
            views.append(views[turn - turns // 2][::-1, ::-1])
            continue
        if turn == 1 and small.crop_hw[0] == small.crop_hw[1] and not spec.stretch:
            views.append(np.rot90(views[0]))  # a quarter turn on: the same pixels of a square
            continue
        # The shrink is large: average over pixels first, so that grain does not alias.
        crops.append(upright_crop(pixels_hwc, turned(box_cxcywhr, kind, turn), spec))
        grey = cv2.cvtColor(crops[-1], cv2.COLOR_BGR2GRAY)
        shrunk = cv2.resize(grey, small.crop_hw[::-1], interpolation=cv2.INTER_AREA)
        views.append(_normalised(shrunk.astype(np.float32)))
    return np.stack(views), crops


def _shrunk(grey_hw: F32Array, hw: tuple[int, int]) -> F32Array:
    """Return a grey picture made smaller; halving first is quicker, where it goes."""
    while grey_hw.shape[0] >= 4 * hw[0] and grey_hw.shape[1] >= 4 * hw[1]:
        grey_hw = halved(grey_hw)
    return np.asarray(cv2.resize(grey_hw, hw[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _normalised(grey_hw: F32Array) -> F32Array:
    centred = grey_hw - grey_hw.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm > 1e-6 else centred, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DirectionCue:
    """Finds the direction of a part among its candidate turns.

    Attributes:
        kind: `two_way` or `four_way`.
        templates: (turns, h, w) float32: the discriminant template as each turn would show it.
        spec: the full-size crop.
    """

    kind: str
    templates: F32Array
    spec: CropSpec

    def directed(self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
        """Return the box with its angle in the product's own direction."""
        return self.resolve_direction(pixels_hwc, box_cxcywhr)[0]

    def glance(self, crops: Sequence[F32Array]) -> tuple[int, float]:
        """Return the likeliest turn as small crops show it, and how much likelier it is than the
        next: the difference of their correlations over the cue's own length. Below `SURE`,
        `resolve_direction` has to tell.

        Args:
            crops: float32 (h, w) grey, what `spec` cuts at another size: of the first turn, and of
                a quarter turn too where there are four.
        """
        cue = self.templates[0].ravel()
        likely: list[float] = []
        backwards: list[float] = []  # half a turn on: the same pixels
        for crop in crops:
            seen = _shrunk(crop, cue_spec(self.spec).crop_hw).ravel()
            mean = float(seen.mean())
            length = math.sqrt(max(float(seen @ seen) - seen.size * mean * mean, 1e-9))
            likely.append(float(seen @ cue) / length)  # the cue's mean is 0: the view's drops out
            backwards.append(float(seen[::-1] @ cue) / length)
        likely += backwards
        *_, second, first = sorted(likely)
        cue_length = max(math.sqrt(float(cue @ cue)), 1e-9)
        return likely.index(first), (first - second) / cue_length

    def resolve_direction(
        self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr
    ) -> tuple[BoxCxcywhr, U8Array | None]:
        """Return the directed box and, where it was cut on the way, its full-size crop."""
        views, crops = _views_and_crops(pixels_hwc, box_cxcywhr, self.kind, self.spec)
        turn = int(np.argmax(self._correlations(views)))
        crop = crops[turn] if turn < len(crops) else None
        return turned(box_cxcywhr, self.kind, turn), crop

    def scores(self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> F64Array:
        """Return (turns,) correlations; the largest is the product's direction."""
        return self._correlations(candidate_views(pixels_hwc, box_cxcywhr, self.kind, self.spec))

    def _correlations(self, views: F32Array) -> F64Array:
        return np.asarray((views * self.templates[0]).sum(axis=(1, 2)), dtype=np.float64)


def cue_from_template(template: U8Array, kind: str, spec: CropSpec) -> DirectionCue:
    """Return the cue for a bundle's template picture.

    Args:
        template: uint8 (turns * h, w): the mean good crop as each candidate turn shows it, one
            below the other, the product's own direction first.

    Raises:
        BundleError: the picture's shape does not fit the crop.
    """
    turns = TURNS[kind]
    h, w = cue_spec(spec).crop_hw
    if template.shape != (turns * h, w):
        raise BundleError(
            f"Orientation cue is {template.shape} pixels, expected {(turns * h, w)} for a "
            f"{kind} product with crops of {spec.crop_hw}. Build the bundle again."
        )
    means = np.stack([_normalised(m) for m in template.astype(np.float32).reshape(turns, h, w)])
    return DirectionCue(kind, means - means.mean(axis=0), spec)


def template_from_means(means: F32Array) -> U8Array:
    """Return the template picture of the mean good crop in each of its turns.

    Args:
        means: (turns, h, w) float32, the product's own direction first.

    Returns:
        uint8 (turns * h, w), as `cue_from_template` reads it.
    """
    low, high = float(means.min()), float(means.max())
    scaled = (means - low) / max(high - low, 1e-9) * 255
    return np.asarray(np.round(scaled), np.uint8).reshape(-1, means.shape[2])
