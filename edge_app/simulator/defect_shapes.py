"""The appearance of each defect class: one function per class, from area and strength to a change.

These functions ignore limits and visibility: `defects.py` measures and redraws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import F32Array, F64Array
from edge_app.simulator.look import Look
from edge_app.simulator.texture import Pen, blurred, f32, smooth_noise

GREY_TINT = (1.0, 1.0, 1.0)
RUST_TINT = (2.0, 1.0, 0.62)  # luminance 1; darkens blue most: dried coolant, rust
INK_TINT = (0.85, 1.02, 1.02)  # luminance 1; a bluish black


@dataclass(frozen=True, slots=True, eq=False)
class DefectLayer:
    """How a defect changes a part's appearance.

    Attributes:
        change: float32 (h, w), grey levels to add (signed).
        tint_bgr: colour of the change; its luminance is about 1.
        cut: float32 (h, w) coverage 0..1 of material that is missing, or None.
    """

    change: F32Array
    tint_bgr: tuple[float, float, float] = GREY_TINT
    cut: F32Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Where a defect is drawn: the part, and a point on its surface from the layer's middle."""

    look: Look
    pen: Pen
    at_xy: tuple[float, float]


Shape = Callable[[np.random.Generator, Site, float, float], DefectLayer]


def scratch(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return one to three nearly parallel bright lines with a dark flank, slightly bent."""
    strands = 1 if area_px < 250 else int(rng.integers(1, 4))
    angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.25)
    width = float(np.clip(rng.uniform(1.3, 2.6) * (area_px / 150) ** 0.25, 1.2, 4.5))
    length = min(area_px / strands / (width + 1.2), 0.9 * max(site.pen.hw))
    bright, dark = np.zeros(site.pen.hw, np.float32), np.zeros(site.pen.hw, np.float32)
    for strand in range(strands):
        piece = length * rng.uniform(0.7, 1.0) if strand else length
        offset = (strand * rng.uniform(4, 11), rng.normal(0, 0.1 * length))
        line = _bent_line(piece, bend, angle, offset) + np.array(site.at_xy)
        bright = np.maximum(bright, site.pen.line(line, width))
        dark = np.maximum(dark, site.pen.line(line + np.array((0.6, 1.3)), width))
    sign = 1.0 if rng.random() < 0.75 else -1.0
    return DefectLayer(f32(sign * strength * (bright - 0.5 * np.clip(dark - bright, 0, 1))))


def pit(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return one to four blowholes: dark, ragged, with a lit far rim."""
    count = int(rng.integers(1, 5)) if area_px > 120 else int(rng.integers(1, 3))
    shares = rng.dirichlet(np.full(count, 2.0))
    spread = 1.6 * np.sqrt(area_px)
    hole = np.zeros(site.pen.hw, np.float32)
    for i, share in enumerate(shares):
        offset = rng.normal(0, spread * 0.5, 2) if i else np.zeros(2)
        radius = max(np.sqrt(area_px * share / np.pi), 1.2)
        outline = _ragged(rng, radius, 0.22) * (1, rng.uniform(0.6, 1.0))
        hole = np.maximum(hole, site.pen.polygon(outline + np.array(site.at_xy) + offset))
    rim = np.clip(blurred(hole, 1.4) - hole, 0, 1)
    return DefectLayer(f32(strength * (-hole * (0.8 + 0.2 * blurred(hole, 2.0)) + 0.9 * rim)))


def stain(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return a cloudy discoloured patch with a darker drying edge."""
    blob = _cloud(rng, site, area_px, softness=0.35)
    edge = np.clip(4 * blob * (1 - blob), 0, 1)
    sign = -1.0 if rng.random() < 0.8 else 0.8
    tint = RUST_TINT if sign < 0 and rng.random() < 0.6 else GREY_TINT
    return DefectLayer(f32(sign * strength * (0.85 * blob + 0.25 * edge)), tint)


def crack(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return a thin, jagged dark line that may fork once, thinning towards its ends."""
    width = float(np.clip(1.2 * (area_px / 120) ** 0.3, 1.0, 3.4))
    length = min(area_px / (width + 1.2), 0.9 * max(site.pen.hw))
    path = _jagged(rng, length * 0.75) + np.array(site.at_xy)
    fork = _jagged(rng, length * 0.35) + path[len(path) // 2]
    half = len(path) // 3
    line = site.pen.line(path, width * 0.75)
    line = np.maximum(line, site.pen.line(path[half : 2 * half + 1], width))
    if rng.random() < 0.6:
        line = np.maximum(line, 0.8 * site.pen.line(fork, width * 0.7))
    return DefectLayer(f32(-strength * line))


def chip(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return a corner broken out of the outline: some material gone, a rough face left."""
    edge = _nearest_edge(site)
    radius = np.sqrt(area_px * 2.0 / np.pi)
    bite = site.pen.polygon(_ragged(rng, radius, 0.25) * (1.15, 0.85) + edge) * site.look.body
    outer = site.pen.polygon(_ragged(rng, radius * rng.uniform(0.3, 0.5), 0.3) + edge)
    rough = 0.75 + 0.25 * smooth_noise(rng, site.pen.hw, 3.0)
    sign = -1.0 if rng.random() < 0.6 else 1.0
    return DefectLayer(
        f32(sign * strength * bite * rough), GREY_TINT, f32(outer * min(1.0, strength / 40))
    )


def scuff(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return a rubbed patch: the surface's texture is smeared out and new streaks lie on it."""
    patch = _cloud(rng, site, area_px, softness=0.5, stretch=rng.uniform(1.2, 2.4))
    grey = f32(site.look.colour.mean(axis=2))
    smeared = blurred(grey, 6.0) - grey
    streaks = blurred(smooth_noise(rng, site.pen.hw, 2.0), 5.0, 0.6)
    sign = 1.0 if rng.random() < 0.6 else -1.0
    rubbed = 0.8 * np.clip(smeared, -10, 10) + sign * strength + 0.7 * strength * streaks
    return DefectLayer(f32(patch * rubbed))


def misprint(rng: np.random.Generator, site: Site, area_px: float, strength: float) -> DefectLayer:
    """Return a stray or doubled mark: characters printed where none belong, perhaps overturned."""
    text = "".join(rng.choice(list("CEHKLNTZ3789"), int(rng.integers(2, 5))))
    height = np.sqrt(area_px / (0.26 * len(text)))  # strokes cover about a quarter of the glyphs
    x, y = site.at_xy
    overturned = bool(rng.random() < 0.5)
    if overturned:
        x, y = -x, -y  # the whole layer is turned round, the place must stay
    ink = site.pen.text(text, x, y, max(float(height), 4.0), overturned)
    return DefectLayer(f32(-strength * ink), INK_TINT)


def foreign_fibre(
    rng: np.random.Generator, site: Site, area_px: float, strength: float
) -> DefectLayer:
    """Return a curly thread lying on the part, with its narrow shadow."""
    width = float(np.clip(1.4 * (area_px / 150) ** 0.3, 1.2, 4.0))
    length = area_px / (width + 1.6)
    steps = max(12, int(length / 3))
    turns = np.cumsum(blurred(f32(rng.normal(0, 1.1, (1, steps))), 3.0, 1.0)[0])
    heading = rng.uniform(0, 2 * np.pi) + turns
    way = np.stack([np.cos(heading), np.sin(heading)], axis=1).cumsum(axis=0) * length / steps
    thread = way - way.mean(axis=0) + np.array(site.at_xy)
    line = site.pen.line(thread, width)
    shade = np.clip(site.pen.line(thread + np.array((1.4, 1.8)), width) - line, 0, 1)
    sign, tint = (1.0, GREY_TINT) if rng.random() < 0.5 else (-1.0, (0.3, 1.1, 1.05))
    return DefectLayer(f32(strength * (sign * line - 0.4 * shade)), tint)


SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (scratch, pit, stain, crack, chip, scuff, misprint, foreign_fibre)
}


def _bent_line(length: float, bend: float, angle: float, offset: tuple[float, float]) -> F64Array:
    t = np.linspace(-0.5, 0.5, 25)
    line = np.stack([t * length + offset[1], bend * length * (t**2 - 0.08) + offset[0]], axis=1)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(line @ np.array([[cos, sin], [-sin, cos]]))


def _ragged(rng: np.random.Generator, radius: float, roughness: float) -> F64Array:
    """Return an irregular closed outline round the origin."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    wave = sum(
        rng.normal(0, roughness / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        for k in (2, 3, 5, 8)
    )
    r = radius * np.clip(1 + np.asarray(wave), 0.4, 1.7)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


def _jagged(rng: np.random.Generator, length: float) -> F64Array:
    steps = max(4, int(length / 5))
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, steps))
    heading = heading + rng.normal(0, 0.35, steps)
    way = np.stack([np.cos(heading), np.sin(heading)], axis=1).cumsum(axis=0) * length / steps
    return np.asarray(way - way[steps // 2])


def _cloud(
    rng: np.random.Generator, site: Site, area_px: float, softness: float, stretch: float = 1.4
) -> F32Array:
    """Return a soft irregular blob, coverage 0..1, of about the given area."""
    h, w = site.pen.hw
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    dx, dy = x - site.pen.middle_xy[0] - site.at_xy[0], y - site.pen.middle_xy[1] - site.at_xy[1]
    angle, radius = rng.uniform(0, np.pi), np.sqrt(area_px / np.pi)
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / (radius * np.sqrt(stretch))
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / (radius / np.sqrt(stretch))
    distance = np.hypot(along, across) + 0.16 * smooth_noise(rng, (h, w), max(radius * 0.6, 2.0))
    return f32(np.clip((1 - distance) / softness + 0.5, 0, 1))


def _nearest_edge(site: Site) -> F64Array:
    """Return the point of the outline nearest to the site, from the layer's middle."""
    solid = (site.look.body > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = np.asarray(max(contours, key=len), dtype=np.float64).reshape(-1, 2)
    outline = outline - np.array(site.pen.middle_xy)
    nearest = np.argmin(((outline - np.array(site.at_xy)) ** 2).sum(axis=1))
    return np.asarray(outline[nearest])
