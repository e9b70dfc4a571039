"""Random surfaces: smooth noise, brushed and turned metal, and the drawing pen for parts."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import F32Array, F64Array, U8Array

SUPERSAMPLING = 2
"""Outlines are drawn this much larger and averaged down, for soft edges as a lens gives."""

_SHIFT_BITS = 4


def f32(array: object) -> F32Array:
    """Return an OpenCV result as float32 (OpenCV's own annotations leave the type open)."""
    return np.asarray(array, dtype=np.float32)


def u8(array: object) -> U8Array:
    """Return grey levels rounded and cut to uint8."""
    return np.asarray(np.clip(np.rint(f32(array)), 0, 255), dtype=np.uint8)


def blurred(layer: F32Array, sigma_x: float, sigma_y: float | None = None) -> F32Array:
    """Return a layer after a Gaussian blur; sigmas in pixels, y as x when left out."""
    return f32(
        cv2.GaussianBlur(layer, (0, 0), sigma_x, sigmaY=sigma_x if sigma_y is None else sigma_y)
    )


def unit(layer: F32Array) -> F32Array:
    """Return a layer shifted and scaled to mean 0 and standard deviation 1."""
    return f32((layer - layer.mean()) / max(float(layer.std()), 1e-6))


def smooth_noise(rng: np.random.Generator, hw: tuple[int, int], grain_px: float) -> F32Array:
    """Return (h, w) float32 noise, mean 0, deviation 1, with structures about `grain_px` wide."""
    h, w = hw
    coarse = rng.standard_normal((int(h / grain_px) + 3, int(w / grain_px) + 3), dtype=np.float32)
    return unit(f32(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)))


def brushed(rng: np.random.Generator, hw: tuple[int, int], length_px: int) -> F32Array:
    """Return (h, w) float32 streaks along x, mean 0, deviation 1: a brushed or drawn surface."""
    fine = rng.standard_normal(hw, dtype=np.float32)
    streaks = f32(cv2.blur(fine, (length_px, 1)))
    short = f32(cv2.blur(fine[::-1].copy(), (max(3, length_px // 6), 1)))
    return unit(unit(streaks) + 0.5 * unit(short))


def turned(
    rng: np.random.Generator, hw: tuple[int, int], centre_xy: tuple[float, float]
) -> F32Array:
    """Return (h, w) float32 concentric tool marks, mean 0, deviation 1, as a lathe leaves them."""
    radius = max(hw) * 0.75
    polar_hw = (720, int(radius))  # rows: angle, columns: radius
    fine = rng.standard_normal(polar_hw, dtype=np.float32)
    marks = unit(f32(cv2.blur(fine, (1, 181)))) + 0.45 * unit(f32(cv2.blur(fine, (1, 15))))
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    return unit(f32(cv2.warpPolar(marks, (hw[1], hw[0]), centre_xy, radius, flags)))


class Pen:
    """Draws soft-edged shapes, given in pixels from the layer's middle, into (h, w) layers."""

    def __init__(self, hw: tuple[int, int]) -> None:
        self.hw = hw
        self.middle_xy = ((hw[1] - 1) / 2, (hw[0] - 1) / 2)

    def polygon(self, points_xy: F64Array) -> F32Array:
        """Return coverage 0..1 of a filled polygon (n, 2)."""
        canvas = self._canvas()
        cv2.fillPoly(canvas, [self._fixed(points_xy)], 255, cv2.LINE_AA, _SHIFT_BITS)
        return self._reduced(canvas)

    def line(self, points_xy: F64Array, width_px: float) -> F32Array:
        """Return coverage 0..1 of an open polyline (n, 2)."""
        canvas = self._canvas()
        thickness = max(1, round(width_px * SUPERSAMPLING))
        cv2.polylines(
            canvas, [self._fixed(points_xy)], False, 255, thickness, cv2.LINE_AA, _SHIFT_BITS
        )
        return self._reduced(canvas)

    def disc(self, x: float, y: float, radius_px: float) -> F32Array:
        """Return coverage 0..1 of a filled circle."""
        return self.polygon(circle(x, y, radius_px))

    def text(
        self, text: str, x: float, y: float, height_px: float, turned_over: bool = False
    ) -> F32Array:
        """Return coverage 0..1 of a line of text centred on (x, y)."""
        canvas = self._canvas()
        scale = height_px * SUPERSAMPLING / 21.0  # Hershey capitals are 21 units high
        thickness = max(1, round(height_px * SUPERSAMPLING / 9))
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        left = (self.middle_xy[0] + x) * SUPERSAMPLING - w / 2
        base = (self.middle_xy[1] + y) * SUPERSAMPLING + h / 2
        origin = (round(left), round(base))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, text, origin, font, scale, 255, thickness, cv2.LINE_AA)
        return self._reduced(canvas[::-1, ::-1].copy() if turned_over else canvas)

    def _canvas(self) -> U8Array:
        h, w = self.hw
        return np.zeros((h * SUPERSAMPLING, w * SUPERSAMPLING), np.uint8)

    def _fixed(self, points_xy: F64Array) -> NDArray[np.int32]:
        # +0.5: a pixel's centre lies half a pixel inside its corner on the finer grid
        on_canvas = (points_xy + np.array(self.middle_xy) + 0.5) * SUPERSAMPLING - 0.5
        return np.asarray(np.round(on_canvas * 2**_SHIFT_BITS), dtype=np.int32)

    def _reduced(self, canvas: U8Array) -> F32Array:
        size_wh = (self.hw[1], self.hw[0])
        return f32(f32(cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA)) / 255)


def circle(x: float, y: float, radius_px: float, points: int = 72) -> F64Array:
    """Return (points, 2) float64 points on a circle."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + radius_px * np.cos(angle), y + radius_px * np.sin(angle)], axis=1)


def hull_of_circles(circles_xyr: list[tuple[float, float, float]]) -> F64Array:
    """Return the (n, 2) convex outline round some circles: a body with rounded corners."""
    points = np.concatenate([circle(x, y, r) for x, y, r in circles_xyr]).astype(np.float32)
    return np.asarray(cv2.convexHull(points), dtype=np.float64).reshape(-1, 2)
