"""Adding one defect: draw, measure on rendered pixels, correct, accept or redraw.

Frozen rules (docs/decisions/0004): area 0.1 to 3 % of the product, contrast 6 to 40 grey levels,
visible by at least 4 standard errors. What is measured is the part under nominal optics with the
defect minus the same part without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.errors import EdgeError
from edge_app.records import F32Array, F64Array
from edge_app.simulator.belt import BELT_GREY
from edge_app.simulator.defect_shapes import SHAPES, DefectLayer, Site
from edge_app.simulator.look import GREY_OF_BGR, Look, altered, composed
from edge_app.simulator.optics import NOISE_SIGMA_ON_PARTS, NOMINAL_BLUR_PX
from edge_app.simulator.texture import Pen, blurred, f32
from edge_app.simulator.truth import AREA_LIMITS, CONTRAST_LIMITS

MIN_STANDARD_ERRORS = 4.0
MAX_TRIES = 300
TRIES_PER_AREA = 12
"""After this many rejected draws with one area, another area is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A defect as measured on its part, from the layer's middle, lying at angle 0.

    Attributes:
        polygon_xy: float64 (n, 2), n >= 3.
        area_px: changed pixels.
        area_fraction: of the product's own area.
        contrast: mean absolute change in grey levels.
        standard_errors: contrast over σ/√area; σ is the part's local deviation and the noise.
    """

    kind: str
    polygon_xy: F64Array
    area_px: int
    area_fraction: float
    contrast: float
    standard_errors: float


@dataclass(frozen=True, slots=True)
class Redraw:
    """One rejected draw: part, defect class, and its measured values."""

    number: int
    kind: str
    area_fraction: float
    contrast: float
    standard_errors: float


def plant(
    look: Look, rng: np.random.Generator, kind: str, number: int
) -> tuple[Look, Mark, list[Redraw]]:
    """Return the look with one visible defect of a kind, its measure, and the rejected draws.

    Raises:
        EdgeError: no draw was acceptable in MAX_TRIES, so the limits are too tight for the product.
    """
    refused: list[Redraw] = []
    product_px = float(look.mask.sum())
    for attempt in range(MAX_TRIES):
        if attempt % TRIES_PER_AREA == 0:
            fraction = float(np.exp(rng.uniform(*np.log(AREA_LIMITS))))
        defective, mark = _draw(look, rng, kind, fraction * product_px)
        if mark is not None and _is_acceptable(mark):
            return defective, mark, refused
        refused.append(_refusal(number, kind, mark))
    raise EdgeError(f"no acceptable {kind} in {MAX_TRIES} draws on part {number}; limits too tight")


def _draw(
    look: Look, rng: np.random.Generator, kind: str, area_px: float
) -> tuple[Look, Mark | None]:
    """Draw once, measure, and draw the same again with area and strength corrected."""
    contrast = float(rng.uniform(*CONTRAST_LIMITS))
    shape_seed = int(rng.integers(2**32))
    site = Site(look, Pen((look.mask.shape[0], look.mask.shape[1])), _surface_point(look, rng))
    drawn_area, drawn_strength = area_px, contrast
    for _ in range(3):
        layer = SHAPES[kind](np.random.default_rng(shape_seed), site, drawn_area, drawn_strength)
        defective = _with_defect(look, layer)
        mark = measure(kind, look, defective)
        if mark is None:
            return look, None
        drawn_area *= float(np.clip(area_px / mark.area_px, 0.3, 3.0))
        drawn_strength *= float(np.clip(contrast / mark.contrast, 0.4, 2.5))
    return defective, mark


def _is_acceptable(mark: Mark) -> bool:
    return (
        AREA_LIMITS[0] <= mark.area_fraction <= AREA_LIMITS[1]
        and CONTRAST_LIMITS[0] <= mark.contrast <= CONTRAST_LIMITS[1]
        and mark.standard_errors >= MIN_STANDARD_ERRORS
    )


def measure(kind: str, good: Look, defective: Look) -> Mark | None:
    """Return what a defect changed, seen under nominal optics; None when it changed nothing."""
    before = _rendered_grey(good)
    change = np.abs(_rendered_grey(defective) - before)
    if change.max() < 1.0:
        return None
    peak = float(np.percentile(change[change > 1.0], 90))
    seen = change > max(1.0, 0.4 * peak)
    area_px = int(seen.sum())
    contrast = float(change[seen].mean())
    error = _local_sigma(before, seen, good.mask) / np.sqrt(area_px)
    fraction = area_px / float(good.mask.sum())
    return Mark(kind, _outline(seen), area_px, fraction, contrast, contrast / error)


def _with_defect(look: Look, layer: DefectLayer) -> Look:
    change = layer.change[..., None] * np.array(layer.tint_bgr, np.float32)
    cut = np.zeros_like(look.mask) if layer.cut is None else layer.cut
    return altered(look, f32(change), cut)


def _rendered_grey(look: Look) -> F32Array:
    """Return the part on a plain belt, shadow included, in grey levels after the nominal blur."""
    sent, passed = composed(look)
    grey = np.clip(sent, 0, 255) @ GREY_OF_BGR + BELT_GREY * passed
    return blurred(f32(grey), NOMINAL_BLUR_PX)


def _local_sigma(before: F32Array, seen: NDArray[np.bool_],
                 mask: F32Array) -> float:  # fmt: skip
    """Return the deviation of the good surface round the defect, sensor noise included.

    Slow shading is subtracted: what counts is the contrast to the surroundings.
    """
    near = cv2.dilate(seen.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    surface = near & (mask > 0.98)
    if surface.sum() < 20:
        surface = near
    texture = float((before - blurred(before, 8.0))[surface].std())
    return float(np.hypot(texture, NOISE_SIGMA_ON_PARTS))


def _outline(seen: NDArray[np.bool_]) -> F64Array:
    """Return one polygon round everything seen, from the layer's middle."""
    grown = cv2.dilate(seen.astype(np.uint8), np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) == 1:
        outline = cv2.approxPolyDP(contours[0], 0.8, True)
    else:
        outline = cv2.convexHull(np.concatenate(contours))
    middle = (np.array(seen.shape[::-1]) - 1) / 2
    return np.asarray(outline, dtype=np.float64).reshape(-1, 2) - middle


def _surface_point(look: Look, rng: np.random.Generator) -> tuple[float, float]:
    """Return a random point on the material, a few pixels from holes and outline."""
    inner = cv2.erode((look.mask > 0.98).astype(np.uint8), np.ones((9, 9), np.uint8))
    candidates = np.flatnonzero(inner)
    y, x = np.unravel_index(int(rng.choice(candidates)), inner.shape)
    return float(x - (inner.shape[1] - 1) / 2), float(y - (inner.shape[0] - 1) / 2)


def _refusal(number: int, kind: str, mark: Mark | None) -> Redraw:
    if mark is None:
        return Redraw(number, kind, 0.0, 0.0, 0.0)
    return Redraw(number, kind, mark.area_fraction, mark.contrast, mark.standard_errors)
