"""The conveyor: one long strip of worn, woven rubber that repeats, and the rails beside it."""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array
from edge_app.simulator.texture import blurred, f32, smooth_noise, u8

STRIP_PX = 3520
"""Length of the belt before it repeats; no multiple of the advance, so patterns rarely recur."""

RAIL_PX = 30
"""Height of the aluminium side rail at the frame's top and bottom."""

BELT_BGR = (62.0, 70.0, 60.0)
"""Mean colour of the rubber: dark grey-green."""

BELT_GREY = 0.114 * BELT_BGR[0] + 0.587 * BELT_BGR[1] + 0.299 * BELT_BGR[2]


class Belt:
    """A belt strip in memory; `view` cuts the picture at a belt position.

    Args:
        rng: decides on weave phase, wear, scratches, stains and dust.
        frame_hw: (height, width) of the pictures it will be seen in.
    """

    def __init__(self, rng: np.random.Generator, frame_hw: tuple[int, int]) -> None:
        self._frame_hw = frame_hw
        grey = _rubber(rng, (frame_hw[0], STRIP_PX))
        grey += _wear(rng, (frame_hw[0], STRIP_PX))
        grey += _dust(rng, (frame_hw[0], STRIP_PX))
        _draw_seam(grey)
        strip = f32(grey[..., None] * (np.array(BELT_BGR) / BELT_GREY))
        self._strip = u8(strip)
        self._rail = _rail(rng, frame_hw[1])

    def view(self, position_px: int) -> U8Array:
        """Return the bare belt, uint8 (h, w, 3), after it has moved on by `position_px`."""
        width = self._frame_hw[1]
        start = -position_px % STRIP_PX  # the belt moves to +x, so the window moves to −x
        picture = np.empty((*self._frame_hw, 3), np.uint8)
        before_seam = min(width, STRIP_PX - start)
        picture[:, :before_seam] = self._strip[:, start : start + before_seam]
        picture[:, before_seam:] = self._strip[:, : width - before_seam]
        picture[:RAIL_PX] = self._rail
        picture[-RAIL_PX:] = self._rail[::-1]
        return picture


def _rubber(rng: np.random.Generator, hw: tuple[int, int]) -> F32Array:
    """Return the weave with its fine grain and slow unevenness, in grey levels."""
    y, x = np.mgrid[0 : hw[0], 0 : hw[1]].astype(np.float32)
    slack = 1.5 * smooth_noise(rng, hw, 120)
    weave = np.sin((x + slack) * 0.78) * np.sin((y + slack) * 0.63)
    twill = np.sin((x + y) * 0.21 + slack)
    grain = blurred(f32(rng.standard_normal(hw, dtype=np.float32)), 0.7)
    uneven = smooth_noise(rng, hw, 90)
    return f32(BELT_GREY + 3.6 * weave + 1.2 * twill + 6.0 * grain + 2.6 * uneven)


def _wear(rng: np.random.Generator, hw: tuple[int, int]) -> F32Array:
    """Return polished tracks along the belt, fine scratches and dried stains, in grey levels."""
    tracks = blurred(smooth_noise(rng, (hw[0], 8), 14), 1.0)[:, :1]  # one value per row
    layer = f32(2.8 * tracks + np.zeros(hw, np.float32))
    layer += _scratches(rng, hw)
    for _ in range(9):
        _add_stain(layer, rng)
    return layer


def _scratches(rng: np.random.Generator, hw: tuple[int, int]) -> F32Array:
    canvas = np.zeros(hw, np.uint8)
    for _ in range(70):
        x, y = rng.uniform(0, hw[1]), rng.uniform(0, hw[0])
        length, angle = rng.uniform(20, 260), rng.normal(0, 0.35)
        end = (round(x + length * np.cos(angle)), round(y + length * np.sin(angle)))
        cv2.line(canvas, (round(x), round(y)), end, rng.uniform(5, 20), 1, cv2.LINE_AA)
    return f32(canvas)


def _add_stain(layer: F32Array, rng: np.random.Generator) -> None:
    size = int(rng.uniform(60, 200))
    y, x = (int(rng.uniform(0, limit - size)) for limit in layer.shape)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    noise = smooth_noise(rng, (size, size), 22)
    bump = 1.3 - 2.2 * np.hypot(axis[:, None], axis[None]) + 0.35 * noise
    layer[y : y + size, x : x + size] += rng.uniform(-16, 7) * np.clip(bump * 1.6, 0, 1)


def _dust(rng: np.random.Generator, hw: tuple[int, int]) -> F32Array:
    """Return harmless specks lying on the belt, in grey levels; parts carry none."""
    layer = np.zeros(hw, np.float32)
    for _ in range(260):
        y, x = int(rng.uniform(3, hw[0] - 3)), int(rng.uniform(3, hw[1] - 3))
        axes = (int(rng.integers(0, 3)), int(rng.integers(0, 2)))
        cv2.ellipse(
            layer, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, rng.uniform(10, 60), -1
        )
    return blurred(layer, 0.6)


def _draw_seam(grey: F32Array) -> None:
    """Draw the vulcanised joint where the strip's end meets its beginning."""
    height, width = grey.shape
    for x, change in ((0, -16), (2, -10), (width - 3, 9), (width - 16, -8)):
        cv2.line(grey, (x, 0), (x, height), float(grey.mean()) + change, 2)
    for y in range(6, height, 15):
        cv2.line(grey, (width - 14, y), (width - 5, y + 5), float(grey.mean()) + 15, 2)


def _rail(rng: np.random.Generator, width: int) -> U8Array:
    """Return the upper rail, uint8 (RAIL_PX, width, 3): bright edge, slot and shadow gap."""
    profile = np.interp(np.arange(RAIL_PX), [0, 8, 10, 15, 17, 23, 25, 29],
                        [118, 130, 70, 64, 128, 140, 52, 30])  # fmt: skip
    grain = f32(cv2.blur(rng.standard_normal((RAIL_PX, width)).astype(np.float32), (91, 1))) * 18
    rail = f32(profile[:, None] + grain)
    return u8(rail[..., None] * np.array([1.03, 1.0, 0.97]))
