"""The three products' geometry: outline, holes, height and surface, with each part's tolerances.

A product is drawn lying at angle 0, its own +x to the right, in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_app.records import F32Array, F64Array
from edge_app.simulator.texture import (
    Pen,
    blurred,
    brushed,
    circle,
    f32,
    hull_of_circles,
    smooth_noise,
    turned,
    unit,
)
from edge_app.simulator.truth import Product

PAD_PX = 30
"""Room round a part for its shadow and its soft edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One part's shape and surface before light falls on it. All layers are float32 (h, w).

    Attributes:
        body: coverage 0..1 of the outline, holes filled.
        mask: coverage 0..1 of material: the outline without its through-holes.
        height: surface height in arbitrary units; only its slope is seen.
        tone: diffuse brightness in grey levels, with grain and marks.
        box_xywh: tight box of the outline from the layer's middle: centre x, y, width, height.
        gloss: anisotropic highlight, 1 for a turned face, 0 for none.
        colour_bgr: tint; its luminance is 1.
    """

    body: F32Array
    mask: F32Array
    height: F32Array
    tone: F32Array
    box_xywh: tuple[float, float, float, float]
    gloss: float
    colour_bgr: tuple[float, float, float]


def draw_form(product: Product, rng: np.random.Generator) -> Form:
    """Return one good part of a product with its individual size, tolerances and grain."""
    return _DRAW[product](rng, float(rng.uniform(0.98, 1.02)))


def _tapered(rng: np.random.Generator, s: float) -> Form:
    length, wide, narrow = 380 * s, 115 * s * _near1(rng), 60 * s * _near1(rng)
    pen = Pen((_even(wide + 2 * PAD_PX), _even(length + 2 * PAD_PX)))
    left, right = -length / 2, length / 2
    r, q = 24 * s, 20 * s  # corner radii at the wide and the narrow end
    outline = hull_of_circles(
        [(left + r, y * (wide / 2 - r), r) for y in (-1, 1)]
        + [(right - q, y * (narrow / 2 - q), q) for y in (-1, 1)]
    )
    body = pen.polygon(outline)
    jx, jy = rng.normal(0, 0.5, 2)
    hole_x = left + 58 * s + jx
    hole, rim = pen.disc(hole_x, jy, 20 * s), pen.disc(hole_x, jy, 26 * s)
    groove = _slot(pen, left + 108 * s + rng.normal(0, 0.7), 42 * s, rng.normal(0, 0.5), 8 * s)
    mark = pen.text("K7-38", 98 * s + rng.normal(0, 0.8), rng.normal(0, 0.8), 17 * s)
    dimple = pen.disc(right - 24 * s, 0, 7 * s)
    tone = 146 + 3.6 * brushed(rng, pen.hw, 71) + 1.6 * smooth_noise(rng, pen.hw, 45)
    tone += -17 * groove - 26 * mark + 7 * (rim - hole) - 12 * dimple
    height = -2.4 * (1 - blurred(body, 3.4)) - 0.5 * rim - 0.8 * groove - 0.5 * mark - 0.9 * dimple
    box = _tight_box(outline)
    return Form(body, body * (1 - hole), height, f32(tone), box, 0.0, (0.99, 1.0, 1.0))


def _square(rng: np.random.Generator, s: float) -> Form:
    side = 230 * s
    w, h = side * _near1(rng), side * _near1(rng)
    pen = Pen((_even(h + 2 * PAD_PX), _even(w + 2 * PAD_PX)))
    outline = _rounded(w, h, 20 * s)
    notch = pen.polygon(np.array([(w / 2 + 2, -15.0), (w / 2 - 19 * s, 0), (w / 2 + 2, 15)]))
    body = pen.polygon(outline) * (1 - notch)
    frame = pen.polygon(_rounded(w - 44 * s, h - 44 * s, 14 * s))
    field = pen.polygon(_rounded(w - 60 * s, h - 60 * s, 10 * s))
    boss, bore = pen.disc(0, 0, 36 * s), pen.disc(0, 0, 17 * s)
    holes = np.zeros(pen.hw, np.float32)
    for angle in np.pi / 4 + np.arange(4) * np.pi / 2:
        x, y = 92 * s * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
        holes = np.maximum(holes, pen.disc(x + rng.normal(0, 0.4), y + rng.normal(0, 0.4), 7.5 * s))
    ribs = _ribs(pen, s)
    stipple = unit(blurred(f32(rng.standard_normal(pen.hw, dtype=np.float32)), 0.9))
    tone = 124 + 3.2 * stipple + 2.2 * smooth_noise(rng, pen.hw, 50)
    tone += -9 * field + 8 * boss - 34 * bore - 6 * (frame - field) + 5 * ribs
    height = -2.4 * (1 - blurred(body, 3.2)) - 0.9 * frame + 0.2 * field + 0.8 * boss
    height += -1.2 * bore + 0.35 * ribs
    colour = (1.22, 0.99, 0.94)
    return Form(body, body * (1 - holes), f32(height), f32(tone), _tight_box(outline), 0.0, colour)


def _round(rng: np.random.Generator, s: float) -> Form:
    radius = 115 * s
    pen = Pen((_even(2 * (radius + PAD_PX)),) * 2)
    outline = circle(0, 0, radius)
    body = pen.polygon(outline)
    bore, hub = pen.disc(0, 0, 25 * s), pen.disc(0, 0, 47 * s)
    step = pen.disc(0, 0, (96 + rng.normal(0, 0.4)) * s)
    ring = pen.disc(0, 0, 52 * s) - hub
    holes, sinks = np.zeros(pen.hw, np.float32), np.zeros(pen.hw, np.float32)
    for angle in np.arange(6) * np.pi / 3:
        x, y = 73 * s * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.4, 2)
        holes = np.maximum(holes, pen.disc(x, y, 8 * s))
        sinks = np.maximum(sinks, pen.disc(x, y, 12 * s))
    tone = 140 + 3.6 * turned(rng, pen.hw, pen.middle_xy) + 1.4 * smooth_noise(rng, pen.hw, 45)
    tone += 6 * hub - 20 * ring + 5 * (sinks - holes) - 5 * (body - step)
    height = -2.4 * (1 - blurred(body, 3.4)) + 0.7 * step - 0.9 * ring + 0.5 * hub - 0.6 * sinks
    mask = body * (1 - bore) * (1 - holes)
    return Form(body, mask, f32(height), f32(tone), _tight_box(outline), 1.0, (0.80, 1.0, 1.08))


def _near1(rng: np.random.Generator) -> float:
    """Return a manufacturing tolerance: 1 with a deviation of 0.4 %, cut at 1 %."""
    return float(np.clip(rng.normal(1, 0.004), 0.99, 1.01))


def _even(size_px: float) -> int:
    return 2 * int(np.ceil(size_px / 2))


def _rounded(w: float, h: float, r: float) -> F64Array:
    corners = [(x * (w / 2 - r), y * (h / 2 - r), r) for x in (-1, 1) for y in (-1, 1)]
    return hull_of_circles(corners)


def _slot(pen: Pen, x0: float, x1: float, y: float, half_width: float) -> F32Array:
    return pen.polygon(hull_of_circles([(x0, y, half_width), (x1, y, half_width)]))


def _ribs(pen: Pen, s: float) -> F32Array:
    """Return the square's four stiffening ribs between boss and frame."""
    ribs = np.zeros(pen.hw, np.float32)
    for angle in np.pi / 4 + np.arange(4) * np.pi / 2:
        way = np.array([np.cos(angle), np.sin(angle)])
        ribs = np.maximum(ribs, pen.line(np.stack([40 * s * way, 92 * s * way]), 7 * s))
    return ribs


def _tight_box(outline_xy: F64Array) -> tuple[float, float, float, float]:
    low, high = outline_xy.min(axis=0), outline_xy.max(axis=0)
    (cx, cy), (w, h) = (low + high) / 2, high - low
    return float(cx), float(cy), float(w), float(h)


_DRAW: dict[Product, Callable[[np.random.Generator, float], Form]] = {
    "tapered": _tapered,
    "square": _square,
    "round": _round,
}
