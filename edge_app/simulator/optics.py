"""Lamp, lens and sensor: from an ideal scene to uint8 pixels."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import U8Array
from edge_app.simulator.texture import blurred, u8

NOMINAL_BLUR_PX = 0.75
"""Sigma of the usual defocus; frames differ by a little, and motion adds along the belt."""

NOISE_SIGMA_ON_PARTS = 2.3
"""Deviation of one pixel's noise at a part's brightness, grey levels, after the sensor."""

_READ_NOISE = 1.3
_SHOT_NOISE_PER_ROOT = 0.165  # grey levels per root of a grey level
_BANK_SCALE = 32.0
_CAST_BGR = (1.015, 1.0, 0.985)


class Optics:
    """Turns a scene into a camera's picture. One instance per line; frames bring their own rng."""

    def __init__(self, frame_hw: tuple[int, int]) -> None:
        self._gain = _gain_map(frame_hw)
        self._noise = _noise_bank()
        self._sigma_of_grey = np.sqrt(_READ_NOISE**2 + _SHOT_NOISE_PER_ROOT**2 * np.arange(256))
        self._lut = np.rint(self._sigma_of_grey * 64).astype(np.uint8)

    def expose(self, scene: U8Array, rng: np.random.Generator, brightness: float) -> U8Array:
        """Return the picture uint8 (h, w, 3) of a scene at a lamp brightness of about 1."""
        blur_x, blur_y = rng.uniform((0.9, 0.65), (1.1, 0.85))  # the belt moves during exposure
        soft = cv2.GaussianBlur(scene, (5, 5), blur_x, sigmaY=blur_y)
        lit = cv2.multiply(soft, self._gain, scale=brightness / 128)
        return self._with_noise(np.asarray(lit, dtype=np.uint8), rng)

    def _with_noise(self, lit: U8Array, rng: np.random.Generator) -> U8Array:
        h, w = lit.shape[:2]
        y, x = (int(v) for v in rng.integers(0, _BANK_MARGIN_PX, 2))
        noise = self._noise[y : y + h, x : x + w]
        sigma = cv2.LUT(lit, self._lut)
        scaled = cv2.multiply(sigma, noise, scale=1 / (64 * _BANK_SCALE), dtype=cv2.CV_16S)
        return np.asarray(cv2.add(lit, scaled, dtype=cv2.CV_8U), dtype=np.uint8)


def brightness_at(time_index: int, phase: float) -> float:
    """Return the lamp's slow drift (about ±4 %) and its flicker at a frame number."""
    slow = 0.03 * np.sin(time_index / 95 + phase) + 0.012 * np.sin(time_index / 23 + 2 * phase)
    return float(1 + slow + 0.004 * np.sin(time_index * 2.4))


_BANK_MARGIN_PX = 509


@lru_cache(maxsize=4)
def _gain_map(frame_hw: tuple[int, int]) -> U8Array:
    """Return the fixed light field, uint8 (h, w, 3), 128 = 1: gradient, vignette, colour cast."""
    h, w = frame_hw
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    field = 1.05 - 0.05 * x - 0.045 * y - 0.10 * (x**2 + 0.8 * y**2) / 1.8
    gain = 128 * field[..., None] * np.array(_CAST_BGR)
    dither = np.random.default_rng(5).uniform(-0.5, 0.5, (h, w, 1))  # no contour lines
    return u8(gain + dither)


@lru_cache(maxsize=2)
def _noise_bank() -> NDArray[np.int8]:
    """Return int8 (h, w, 3) noise, deviation 32, correlated as after demosaicing."""
    rng = np.random.default_rng(7)
    shape = (_BANK_HW[0] + _BANK_MARGIN_PX, _BANK_HW[1] + _BANK_MARGIN_PX, 3)
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise += 0.8 * rng.standard_normal((*shape[:2], 1), dtype=np.float32)
    soft = blurred(noise, 0.45)
    levels = np.clip(np.rint(soft * (_BANK_SCALE / soft.std())), -127, 127)
    return np.asarray(levels, dtype=np.int8)


_BANK_HW = (1280, 1600)
"""Largest frame the noise bank serves."""
