"""DRAEM's pseudo-anomalies: foreign texture shining through a cloud-shaped hole.

I_a = M̄⊙I + (1 − β)(M⊙I) + β(M⊙A): M a thresholded Perlin noise, A a texture, β its opacity.

Source: Zavrtanik et al., DRAEM, ICCV 2021, section 3.3: β from 0.1 to 1.0 (the authors' code
draws 0.2 to 1.0), three random ones of seven picture operations on the texture.
Deviations:
- Without a texture folder the textures are drawn (clouds, stripes, grain).
- The hole lies on the product.
- Perlin cells are no finer than 8 px, the finest at the paper's 256 px: with 32 cells a side a crop
  of 64 × 96 px has holes of two or three pixels, from which nothing learns to see a spot.
- On a grey product a texture is one of its channels, because colour alone would give it away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.pictures import read_picture
from edge_app.records import F32Array, U8Array
from export.augment.cutpaste import is_coloured

OPACITY_RANGE = (0.1, 1.0)
NOISE_THRESHOLD = 0.5
MAX_OCTAVE = 6
"""Perlin cells along a side are 2^0 to 2^5, drawn for each axis on its own."""

FINEST_CELL_PX = 8
"""What the finest of the paper's cells measures at its 256 px; on smaller crops there are fewer."""

HOLE_DRAWS = 20
"""Draws for a hole that meets the product; a full-size threshold misses it in one of four."""

OPERATIONS_DRAWN = 3

Operation = Callable[[np.random.Generator, U8Array], U8Array]


def add_texture(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None, textures: Sequence[Path]
) -> tuple[U8Array, U8Array]:
    """Return the crop with a textured hole and the hole as uint8 (h, w) 0 / 1.

    Args:
        rng: source of all randomness.
        crop_hwc: uint8 (h, w, 3).
        mask_hw: uint8 (h, w), > 0 on the product; None for the whole crop.
        textures: picture files; empty: textures are drawn.
    """
    hw = (crop_hwc.shape[0], crop_hwc.shape[1])
    hole = _hole(rng, hw, mask_hw)
    texture = changed(rng, _texture(rng, hw, textures))
    if not is_coloured(crop_hwc):
        texture = greyed(rng, texture)
    opacity = rng.uniform(*OPACITY_RANGE)
    mixed = (1 - opacity) * crop_hwc.astype(np.float32) + opacity * texture
    filled = np.where(hole[:, :, None] > 0, np.round(mixed), crop_hwc)
    return np.clip(filled, 0, 255).astype(np.uint8), hole


def perlin(rng: np.random.Generator, hw: tuple[int, int], cells_yx: tuple[int, int]) -> F32Array:
    """Return Perlin gradient noise, float32 (h, w), about −1..1.

    Source: Perlin, An image synthesizer, SIGGRAPH 1985, with the quintic fade of 2002.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells_yx[0] + 1, cells_yx[1] + 1))
    slope_y, slope_x = np.sin(angles), np.cos(angles)
    y = np.linspace(0, cells_yx[0], hw[0], endpoint=False)[:, None]
    x = np.linspace(0, cells_yx[1], hw[1], endpoint=False)[None, :]
    row, column = y.astype(int), x.astype(int)
    y, x = y - row, x - column

    def corner(dy: int, dx: int) -> F32Array:
        at = (row + dy, column + dx)
        return np.asarray(slope_y[at] * (y - dy) + slope_x[at] * (x - dx), np.float32)

    fade_y, fade_x = (t**3 * (t * (t * 6 - 15) + 10) for t in (y, x))
    top = corner(0, 0) + fade_x * (corner(0, 1) - corner(0, 0))
    bottom = corner(1, 0) + fade_x * (corner(1, 1) - corner(1, 0))
    return np.asarray(np.sqrt(2) * (top + fade_y * (bottom - top)), np.float32)


def changed(rng: np.random.Generator, picture_hwc: U8Array) -> U8Array:
    """Return the picture after three random ones of OPERATIONS."""
    for index in rng.choice(len(OPERATIONS), OPERATIONS_DRAWN, replace=False):
        picture_hwc = OPERATIONS[int(index)](rng, picture_hwc)
    return picture_hwc


def greyed(rng: np.random.Generator, picture_hwc: U8Array) -> U8Array:
    """Return one of its channels in all three; their mean has less contrast."""
    return picture_hwc[:, :, rng.integers(3), None].repeat(3, 2)


def octaves(side_px: int) -> int:
    """Return how many Perlin octaves a side has: 2^0 cells to the finest of FINEST_CELL_PX."""
    return max(1, min(MAX_OCTAVE, (side_px // FINEST_CELL_PX).bit_length()))


def _hole(rng: np.random.Generator, hw: tuple[int, int], mask_hw: U8Array | None) -> U8Array:
    """Return a thresholded, turned Perlin noise on the product; empty if none meets it."""
    hole = np.zeros(hw, np.uint8)
    for _ in range(HOLE_DRAWS):
        octave_y, octave_x = (int(rng.integers(octaves(side))) for side in hw)
        noise = perlin(rng, hw, (2**octave_y, 2**octave_x))
        middle = ((hw[1] - 1) / 2, (hw[0] - 1) / 2)
        turn = cv2.getRotationMatrix2D(middle, float(rng.uniform(-90, 90)), 1.0)
        hole = (cv2.warpAffine(noise, turn, hw[::-1]) > NOISE_THRESHOLD).astype(np.uint8)
        if mask_hw is not None:
            hole[mask_hw == 0] = 0
        if hole.any():
            break
    return hole


def _texture(rng: np.random.Generator, hw: tuple[int, int], textures: Sequence[Path]) -> U8Array:
    if not textures:
        return drawn_texture(rng, hw)
    picture = read_picture(textures[int(rng.integers(len(textures)))])
    return np.asarray(cv2.resize(picture, hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def drawn_texture(rng: np.random.Generator, hw: tuple[int, int]) -> U8Array:
    """Return clouds, stripes or grain between two random colours, uint8 (h, w, 3)."""
    kind = int(rng.integers(3))
    if kind == 0:
        cells = 2 ** rng.integers(1, MAX_OCTAVE, 2)
        level = perlin(rng, hw, (int(cells[0]), int(cells[1])))
    elif kind == 1:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        y, x = np.mgrid[: hw[0], : hw[1]]
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
        level = np.asarray(wave, np.float32)
    else:
        grain = rng.standard_normal(hw, np.float32)
        soft = cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.5, 4)))
        level = np.asarray(soft / max(float(np.abs(soft).max()), 1e-6), np.float32)
    share = np.clip(level[:, :, None] / 2 + 0.5, 0, 1)
    colours = rng.uniform(0, 255, (2, 3))
    return np.asarray(colours[0] * share + colours[1] * (1 - share), np.uint8)


def _posterize(rng: np.random.Generator, x: U8Array) -> U8Array:
    step = 2 ** int(rng.integers(3, 7))  # 5 to 2 bits stay
    return np.asarray(x // step * step, np.uint8)


def _sharpness(rng: np.random.Generator, x: U8Array) -> U8Array:
    soft = cv2.blur(x, (3, 3)).astype(np.float32)
    return _bytes(soft + rng.uniform(0, 3) * (x - soft))


def _solarize(rng: np.random.Generator, x: U8Array) -> U8Array:
    return np.where(x >= rng.integers(32, 224), 255 - x, x).astype(np.uint8)


def _equalize(_rng: np.random.Generator, x: U8Array) -> U8Array:
    return np.dstack([cv2.equalizeHist(np.ascontiguousarray(x[:, :, c])) for c in range(3)])


def _brightness(rng: np.random.Generator, x: U8Array) -> U8Array:
    return _bytes(x * np.float32(rng.uniform(0.5, 1.5)))


def _colour(rng: np.random.Generator, x: U8Array) -> U8Array:
    grey = x.mean(2, keepdims=True, dtype=np.float32)
    return _bytes(grey + rng.uniform(0, 2) * (x - grey))


def _auto_contrast(_rng: np.random.Generator, x: U8Array) -> U8Array:
    low, high = x.min((0, 1)).astype(np.float32), x.max((0, 1)).astype(np.float32)
    return _bytes((x - low) * (255 / np.maximum(high - low, 1)))


def _bytes(x: F32Array) -> U8Array:
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


OPERATIONS: tuple[Operation, ...] = (
    _posterize, _sharpness, _solarize, _equalize, _brightness, _colour, _auto_contrast,
)  # fmt: skip
