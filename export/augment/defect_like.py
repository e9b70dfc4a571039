"""Synthetic defects as varied as real ones: what a limit and a default are judged by.

The pretext's anomalies (CropLiq, CutPaste, Scar) are local and made of the product's own pixels. A
judge that sees only those favours whatever looks at single places, and a limit that catches them
all may still be deaf to a stain, a missing piece or a bent outline. The kinds here are those that
MVTec AD, VisA and BTAD name again and again. They are drawings, not defects: a share caught of
them compares settings of one product, and promises nothing about real defects.

Every picture is uint8 (h, w, 3) BGR, every mask uint8 (h, w), 0 = outside, > 0 = inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import F32Array, U8Array
from export.augment.cutpaste import is_coloured
from export.augment.liquify import draw_displacement, without_folds
from export.augment.region import product_box

Size = Literal["small", "medium", "large"]

EXTENT_RANGE: dict[Size, tuple[float, float]] = {
    "small": (0.035, 0.11),
    "medium": (0.14, 0.24),
    "large": (0.30, 0.50),
}
"""A defect's extent as a share of the product box's shorter side, log-uniform."""

MIN_EXTENT_PX = 4.0
"""Less than this is noise at any crop size in use."""

VISIBLE_GREY = 18.0
"""Smallest 75th percentile of |change| inside the region, grey levels: a person sees it."""

ABSENT_GROWN, ABSENT_PX = 0.12, 96
"""The mask is grown by this share of the product's extent, for its shadow; the tones beside it are
spread at this many pixels."""

OPAQUE = 0.3
"""A pixel with more of the defect than this belongs to its region."""

WINDOW_EXTENTS, MIN_WINDOW_PX = 4.0, 48
"""A defect is drawn within a window of so many of its extents, so that large pictures cost no more
than small ones."""

TONE_PIXELS = 256 * 256
"""So many tell a picture's tones and whether it has colour."""

DRAWS = 30
"""Draws before a place or a crop is called featureless."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticDefect:
    """A good picture with one synthetic defect.

    Attributes:
        pixels_hwc: uint8 (h, w, 3).
        region_hw: uint8 (h, w), 255 where the picture was changed.
        kind: one of DEFECT_KINDS.
        size: its extent's class.
    """

    pixels_hwc: U8Array
    region_hw: U8Array
    kind: str
    size: Size


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a defect goes.

    Attributes:
        middle_xy: in pixels.
        extent_px: its diameter.
        mask_hw: uint8, the product; None for the whole picture.
        background_bgr: (3,) what lies beside the product, or the picture's darkest tone.
    """

    middle_xy: tuple[float, float]
    extent_px: float
    mask_hw: U8Array | None
    background_bgr: F32Array


Draw = Callable[[np.random.Generator, F32Array, Place], tuple[F32Array, F32Array]]
"""Takes float32 (h, w, 3) pixels; returns changed pixels and their opacity (h, w), 0..1."""


def blob(
    rng: np.random.Generator, hw: tuple[int, int], place: Place, aspect: float = 2.0
) -> F32Array:
    """Return (h, w) float32 opacity: 1 inside a smooth random outline, soft over its border."""
    count = 24
    turn = np.linspace(0, 2 * math.pi, count, endpoint=False)
    radius = np.ones(count)
    for wave in (2, 3, 4, 5):
        radius += rng.normal(0, 0.25 / wave) * np.cos(wave * turn + rng.uniform(0, 2 * math.pi))
    radius = np.clip(radius, 0.35, 1.7) * place.extent_px / 2
    stretch = math.sqrt(math.exp(rng.uniform(-math.log(aspect), math.log(aspect))))
    angle = rng.uniform(0, math.pi)
    x, y = radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch
    points = np.stack(
        [
            place.middle_xy[0] + x * math.cos(angle) - y * math.sin(angle),
            place.middle_xy[1] + x * math.sin(angle) + y * math.cos(angle),
        ],
        1,
    )
    canvas = np.zeros(hw, np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(canvas / 255.0, np.float32)


def stain(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """A soft spot of another tone over what is there, whose texture shines through."""
    hw = (pixels.shape[0], pixels.shape[1])
    tint = np.full(3, rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0) * 110, np.float32)
    if rng.random() < 0.5:
        tint *= rng.uniform(0.2, 1.0, 3).astype(np.float32)
    opacity = _soft(blob(rng, hw, place), place.extent_px * 0.12)
    strength = np.float32(rng.uniform(0.5, 0.95))
    return np.asarray(pixels + tint, np.float32), np.asarray(opacity * strength, np.float32)


def crack(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """A thin wandering line, dark or bright, one to three pixels wide."""
    steps = 14
    heading = rng.uniform(0, 2 * math.pi)
    points = [np.array(place.middle_xy)]
    for _ in range(steps):
        heading += rng.normal(0, 0.45)
        points.append(
            points[-1]
            + place.extent_px / steps * 1.3 * np.array([math.cos(heading), math.sin(heading)])
        )
    line = np.array(points) - np.mean(points, 0) + np.array(place.middle_xy)
    canvas = np.zeros(pixels.shape[:2], np.uint8)
    width = max(1, round(rng.uniform(0.6, 1.6) * max(1.0, min(pixels.shape[:2]) / 160)))
    cv2.polylines(canvas, [np.round(line * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    tone = np.float32(rng.choice([-1.0, 1.0], p=[0.7, 0.3]) * rng.uniform(35, 90))
    return np.asarray(pixels + tone, np.float32), np.asarray(canvas / 255.0, np.float32)


def foreign_body(
    rng: np.random.Generator, pixels: F32Array, place: Place
) -> tuple[F32Array, F32Array]:
    """Something that lies on the product: a tone of its own, shaded, with a sharp border."""
    hw = (pixels.shape[0], pixels.shape[1])
    shape = blob(rng, hw, place, 3.0)
    tone = rng.uniform(10, 245, 3).astype(np.float32)
    if rng.random() < 0.5:
        tone[:] = tone.mean()
    rows, columns = np.mgrid[0 : hw[0], 0 : hw[1]].astype(np.float32)
    slope = rng.normal(0, 25, 2) / place.extent_px
    shade = slope[0] * (columns - place.middle_xy[0]) + slope[1] * (rows - place.middle_xy[1])
    body = tone + np.clip(shade, -40, 40)[:, :, None]
    return np.asarray(body + rng.normal(0, 3, (*hw, 1)), np.float32), shape


def missing_piece(
    rng: np.random.Generator, pixels: F32Array, place: Place
) -> tuple[F32Array, F32Array]:
    """A piece that is not there: what lies beside the product shows."""
    hw = (pixels.shape[0], pixels.shape[1])
    beside = np.broadcast_to(place.background_bgr, pixels.shape)
    return np.asarray(beside + rng.normal(0, 2, (*hw, 1)), np.float32), blob(rng, hw, place)


def smear(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """The surface wiped in one direction."""
    hw = (pixels.shape[0], pixels.shape[1])
    side = max(3, round(place.extent_px * rng.uniform(0.25, 0.6))) | 1
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, math.pi)
    reach = side / 2 * np.array([math.cos(angle), math.sin(angle)])
    middle = np.array([side // 2, side // 2])
    ends = [tuple(int(v) for v in np.round(middle + s * reach)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    wiped = cv2.filter2D(pixels, -1, kernel / max(float(kernel.sum()), 1.0))
    tone = np.float32(rng.normal(0, 18))
    return np.asarray(wiped + tone, np.float32), _soft(blob(rng, hw, place), place.extent_px * 0.06)


def colour(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """An area of another colour or brightness, its texture kept."""
    hw = (pixels.shape[0], pixels.shape[1])
    gain = np.exp(rng.uniform(-0.7, 0.7, 3)).astype(np.float32)
    if rng.random() < 0.3:
        gain[:] = np.float32(math.exp(rng.choice([-1, 1]) * rng.uniform(0.25, 0.7)))
    return pixels * gain, _soft(blob(rng, hw, place), place.extent_px * 0.05)


def bent(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """The product pushed out of its shape: pixels move, outline and print with them."""
    h, w = pixels.shape[:2]
    side = max(8, round(place.extent_px * 1.6))
    shift = without_folds(draw_displacement(rng, (side, side)) * np.float32(0.9))
    x0, y0 = round(place.middle_xy[0] - side / 2), round(place.middle_xy[1] - side / 2)
    whole = np.zeros((2, h, w), np.float32)
    ys, xs = slice(max(0, y0), min(h, y0 + side)), slice(max(0, x0), min(w, x0 + side))
    whole[:, ys, xs] = shift[:, ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0]
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    moved = cv2.remap(
        pixels, columns + whole[1], rows + whole[0], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    reach = np.asarray(np.abs(whole).max(0) > 0.3, np.float32)
    return np.asarray(moved, np.float32), reach


def texture_break(
    rng: np.random.Generator, pixels: F32Array, place: Place
) -> tuple[F32Array, F32Array]:
    """The texture of another place, turned or flattened or roughened, in a blob."""
    hw = (pixels.shape[0], pixels.shape[1])
    way = int(rng.integers(3))
    changed = cv2.GaussianBlur(pixels, (0, 0), max(2.0, place.extent_px / 12))
    if way == 0:
        turned = cv2.rotate(pixels, cv2.ROTATE_180)[:, :: int(rng.choice([-1, 1]))]
        changed = np.roll(turned, tuple(int(rng.integers(n)) for n in hw), (0, 1))
    elif way == 1:
        pass  # flattened
    else:
        rough = cv2.GaussianBlur(
            rng.normal(0, 1, (*hw, 1)).astype(np.float32), (0, 0), rng.uniform(0.6, 1.6)
        )
        grain = np.asarray(rough / max(float(rough.std()), 1e-6) * rng.uniform(10, 28), np.float32)
        changed = pixels + grain[:, :, None]
    return np.asarray(changed, np.float32), _soft(blob(rng, hw, place), place.extent_px * 0.04)


def pasted(rng: np.random.Generator, pixels: F32Array, place: Place) -> tuple[F32Array, F32Array]:
    """A piece of the product at a place where it does not belong (CutPaste with a free outline)."""
    hw = (pixels.shape[0], pixels.shape[1])
    shape = blob(rng, hw, place, 3.0)
    x, y = _place_on(rng, hw, place.mask_hw)
    matrix = cv2.getRotationMatrix2D(
        place.middle_xy, float(rng.uniform(0, 360)), float(math.exp(rng.uniform(-0.3, 0.3)))
    )
    shift = matrix[:, :2] @ np.subtract(place.middle_xy, (x, y))
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + shift])
    moved = cv2.warpAffine(pixels, matrix, (hw[1], hw[0]), borderMode=cv2.BORDER_REFLECT_101)
    jitter = np.float32(math.exp(rng.uniform(-0.12, 0.12)))
    return np.asarray(moved * jitter, np.float32), shape


DEFECTS: dict[str, Draw] = {
    "stain": stain,
    "crack": crack,
    "foreign body": foreign_body,
    "missing piece": missing_piece,
    "smear": smear,
    "colour": colour,
    "bent": bent,
    "texture break": texture_break,
    "pasted": pasted,
}

ABSENT = "absent"
"""The product is not there: its place is filled from its surroundings; needs a mask."""

DEFECT_KINDS: tuple[str, ...] = (*DEFECTS, ABSENT)
SIZES: tuple[Size, ...] = ("small", "medium", "large")


def synthetic_defect(
    rng: np.random.Generator,
    pixels_hwc: U8Array,
    mask_hw: U8Array | None,
    kind: str,
    size: Size,
) -> SyntheticDefect:
    """Return the picture with one visible synthetic defect on the product.

    Args:
        rng: source of all randomness.
        pixels_hwc: uint8 (h, w, 3) BGR, a good part.
        mask_hw: uint8 (h, w) product region, or None for the whole picture.
        kind: one of DEFECT_KINDS.

    Raises:
        DataError: the kind is unknown, the mask does not fit, or nothing visible can be drawn.
    """
    if kind == ABSENT and mask_hw is not None:
        return _absent(rng, pixels_hwc, mask_hw)
    if kind not in DEFECTS:
        raise DataError(f"Unknown synthetic defect {kind!r}: one of {', '.join(DEFECT_KINDS)}.")
    box = product_box(mask_hw, (pixels_hwc.shape[0], pixels_hwc.shape[1]))
    background = _background(pixels_hwc, mask_hw)
    has_colour = is_coloured(_thinned(pixels_hwc))
    best: tuple[float, SyntheticDefect] | None = None
    for _ in range(DRAWS):
        share = math.exp(rng.uniform(*np.log(EXTENT_RANGE[size])))
        extent = max(MIN_EXTENT_PX, share * min(box.hw))
        middle = _place_on(rng, pixels_hwc.shape[:2], mask_hw)
        window = _window(middle, extent, (pixels_hwc.shape[0], pixels_hwc.shape[1]))
        before = pixels_hwc[window]
        inside = None if mask_hw is None else mask_hw[window]
        at = (middle[0] - window[1].start, middle[1] - window[0].start)
        place = Place(at, extent, inside, background)
        changed, opacity = DEFECTS[kind](rng, before.astype(np.float32), place)
        if not has_colour:
            changed = np.repeat(changed.mean(2, keepdims=True), 3, axis=2)
        if inside is not None and kind != "bent":
            opacity = opacity * (inside > 0)
        drawn, seen = _mixed(before, changed, opacity)
        pixels, region = pixels_hwc.copy(), np.zeros(pixels_hwc.shape[:2], np.uint8)
        pixels[window] = drawn
        region[window] = np.where(opacity > OPAQUE, 255, 0)
        found = SyntheticDefect(pixels, region, kind, size)
        if seen >= VISIBLE_GREY:
            return found
        best = max(best or (-1.0, found), (seen, found), key=lambda pair: pair[0])
    if best is None or best[0] <= 0.0:
        raise DataError(
            f"No visible {kind} could be drawn in {DRAWS} draws: the picture is featureless there."
        )
    return best[1]


def _absent(rng: np.random.Generator, pixels_hwc: U8Array, mask_hw: U8Array) -> SyntheticDefect:
    """Return the picture without its product: every place gets the tone of what lies beside it."""
    reach = max(3, round(ABSENT_GROWN * math.sqrt(float(np.count_nonzero(mask_hw))))) | 1
    grown = cv2.dilate(mask_hw, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    beside = np.asarray(grown == 0, np.float32)
    h, w = mask_hw.shape
    scale = min(1.0, ABSENT_PX / max(h, w))
    small = (max(2, round(w * scale)), max(2, round(h * scale)))
    weight = cv2.resize(beside, small, interpolation=cv2.INTER_AREA)
    tone = cv2.resize(pixels_hwc * beside[:, :, None], small, interpolation=cv2.INTER_AREA)
    sigma = ABSENT_PX / 6
    spread = cv2.GaussianBlur(weight, (0, 0), sigma)[:, :, None] + 1e-3
    filled = cv2.resize(cv2.GaussianBlur(tone, (0, 0), sigma) / spread, (w, h))
    noisy = filled + rng.normal(0, 2, (h, w, 1))
    opacity = cv2.GaussianBlur(1 - beside, (0, 0), 1.5)[:, :, None]
    mixed = pixels_hwc + opacity * (noisy - pixels_hwc)
    pixels = np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
    return SyntheticDefect(pixels, np.where(grown > 0, 255, 0).astype(np.uint8), ABSENT, "large")


def _window(
    middle_xy: tuple[float, float], extent_px: float, hw: tuple[int, int]
) -> tuple[slice, slice]:
    """Return rows and columns of the surroundings that a defect may reach or borrow from."""
    reach = math.ceil(max(MIN_WINDOW_PX, WINDOW_EXTENTS * extent_px) / 2)
    x, y = round(middle_xy[0]), round(middle_xy[1])
    rows = slice(max(0, y - reach), min(hw[0], y + reach + 1))
    return rows, slice(max(0, x - reach), min(hw[1], x + reach + 1))


def defect_series(rounds: int, has_mask: bool) -> list[tuple[str, Size]]:
    """Return kinds and sizes: each kind in each size once a round, ABSENT once where it can be."""
    pairs = [(kind, SIZES[(i + turn) % 3]) for turn in range(3) for i, kind in enumerate(DEFECTS)]
    if has_mask:
        pairs.append((ABSENT, "large"))
    return pairs * rounds


def _mixed(before_hwc: U8Array, changed: F32Array, opacity: F32Array) -> tuple[U8Array, float]:
    """Return the mixed picture and the 75th percentile of |change| where it is opaque."""
    mixed = before_hwc + opacity[:, :, None] * (changed - before_hwc)
    drawn = np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
    inside = opacity > OPAQUE
    if not inside.any():
        return drawn, 0.0
    change = np.abs(drawn.astype(np.int16) - before_hwc).max(2)[inside]
    return drawn, float(np.quantile(change, 0.75))


def _place_on(
    rng: np.random.Generator, hw: tuple[int, ...], mask_hw: U8Array | None
) -> tuple[float, float]:
    """Return a random (x, y) on the product, in pixels."""
    if mask_hw is None:
        return float(rng.uniform(0, hw[1] - 1)), float(rng.uniform(0, hw[0] - 1))
    at = np.flatnonzero(mask_hw)
    y, x = divmod(int(at[int(rng.integers(len(at)))]), hw[1])
    return float(x), float(y)


def _background(pixels_hwc: U8Array, mask_hw: U8Array | None) -> F32Array:
    """Return (3,) the median tone beside the product; without a mask the 2nd percentile."""
    thinned = _thinned(pixels_hwc)
    if mask_hw is not None:
        beside = thinned[_thinned(mask_hw) == 0]
        if len(beside):
            return np.asarray(np.median(beside, axis=0), np.float32)
    return np.asarray(np.quantile(thinned.reshape(-1, 3), 0.02, axis=0), np.float32)


def _thinned(array_hw: U8Array) -> U8Array:
    """Return about TONE_PIXELS of the pixels, every so many in both directions."""
    step = max(1, round(math.sqrt(array_hw.shape[0] * array_hw.shape[1] / TONE_PIXELS)))
    return array_hw[::step, ::step]


def _soft(opacity: F32Array, sigma_px: float) -> F32Array:
    return np.asarray(cv2.GaussianBlur(opacity, (0, 0), max(0.5, sigma_px)), np.float32)
