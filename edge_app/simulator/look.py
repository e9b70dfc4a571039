"""From a part's form to its picture: light on its slopes, colour, shadow, and the sprite."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array
from edge_app.simulator.products import Form
from edge_app.simulator.texture import blurred, f32, u8

LIGHT_XY = (-0.6, -0.8)
"""Where the lamp stands, seen from the part, in frame axes: upper left."""

SHADOW_PX = 9.0
SHADOW_DEPTH = 0.5
HOLE_SHADOW_DEPTH = 0.55
SHEEN = 6.0
"""Grey levels by which the end towards the lamp is brighter than a part's middle."""

SLOPE_GAIN = 95.0
"""Grey levels per unit of slope."""

GREY_OF_BGR = np.array([0.114, 0.587, 0.299], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A lit part lying at angle 0.

    Attributes:
        colour: float32 (h, w, 3) BGR of the surface, also defined outside the mask.
        mask: float32 (h, w) material coverage 0..1.
        body: float32 (h, w) outline coverage 0..1, holes filled.
        box_xywh: tight box from the layer's middle.
        turned_by_rad: how it will lie under the lamp.
    """

    colour: F32Array
    mask: F32Array
    body: F32Array
    box_xywh: tuple[float, float, float, float]
    turned_by_rad: float


def light(form: Form, rng: np.random.Generator, turned_by_rad: float) -> Look:
    """Return the part as it looks when it lies turned by `turned_by_rad` under the lamp.

    Each part reflects up to 5 % more or less than the next one.
    """
    lx, ly = _turned(LIGHT_XY, -turned_by_rad)
    height = blurred(form.height, 0.8)
    slope_x = f32(cv2.Scharr(height, cv2.CV_32F, 1, 0, scale=1 / 32))
    slope_y = f32(cv2.Scharr(height, cv2.CV_32F, 0, 1, scale=1 / 32))
    # a slope that rises away from the lamp faces it
    grey = form.tone - SLOPE_GAIN * (slope_x * lx + slope_y * ly)
    grey = grey + _highlight(form, (lx, ly))
    grey = grey * np.float32(rng.uniform(0.95, 1.05))
    colour = grey[..., None] * np.array(form.colour_bgr, np.float32)
    return Look(f32(colour), form.mask, form.body, form.box_xywh, turned_by_rad)


def composed(look: Look) -> tuple[F32Array, F32Array]:
    """Return the light the part sends, (h, w, 3) grey levels, and the belt's share let by, (h, w).

    The second is 1 where the belt lies in full light and 0 where the part covers it.
    """
    ux, uy = _turned(LIGHT_XY, -look.turned_by_rad)
    h, w = look.mask.shape
    shift = np.array([[1, 0, -ux * SHADOW_PX], [0, 1, -uy * SHADOW_PX]], np.float32)
    shadow = SHADOW_DEPTH * blurred(f32(cv2.warpAffine(look.body, shift, (w, h))), 5.0)
    shadow = np.maximum(shadow, HOLE_SHADOW_DEPTH * look.body)
    return f32(look.colour * look.mask[..., None]), f32((1 - look.mask) * (1 - shadow))


def sprite_of(look: Look) -> U8Array:
    """Return uint8 (h, w, 4): what `composed` says, the belt's share as 0..255 in the last channel.

    A picture with the part is `belt * sprite[..., 3] / 255 + sprite[..., :3]`.
    """
    sent, passed = composed(look)
    return u8(np.dstack([sent, 255 * passed]))


def altered(look: Look, change: F32Array, cut: F32Array) -> Look:
    """Return the look with `change` (h, w, 3) added to its colour and `cut` (0..1) cut away."""
    return replace(look, colour=look.colour + change, mask=look.mask * (1 - cut),
                   body=look.body * (1 - cut))  # fmt: skip


def _turned(vector_xy: tuple[float, float], angle_rad: float) -> tuple[float, float]:
    cos, sin = float(np.cos(angle_rad)), float(np.sin(angle_rad))
    x, y = vector_xy
    return x * cos - y * sin, x * sin + y * cos


def _highlight(form: Form, light_xy: tuple[float, float]) -> F32Array:
    """Return the sheen towards the lamp and a turned face's bow tie across it, grey levels."""
    h, w = form.tone.shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    y, x = y - (h - 1) / 2, x - (w - 1) / 2
    sheen = SHEEN * (x * light_xy[0] + y * light_xy[1]) / (max(h, w) / 2)
    if not form.gloss:
        return f32(sheen)
    towards = float(np.arctan2(light_xy[1], light_xy[0]))
    bow_tie = 17 * np.abs(np.cos(np.arctan2(y, x) - towards)) ** 3 - 5
    return f32(sheen + form.gloss * bow_tie)
