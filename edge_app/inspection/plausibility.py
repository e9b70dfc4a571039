"""Can this be a picture of the station at all? Asked before a part may be called good.

A score says how unlike good parts a crop is, in the terms that its method learnt. Some methods find
nothing odd in a blank, noisy or blurred crop, or in another scene. What the golden pictures look
like, which every bundle carries, tells such pictures without training anything: their light, their
contrast, their detail from fine to coarse, their colour, and their likeness. A crop that is far
outside is not inspected; one that is bad by its score stays bad.

The limits are wide, since a golden set is small. They were set on the training pictures of eight
products (docs/decisions/0020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array

IMPLAUSIBLE = "implausible_picture"
"""Reason of a part whose picture cannot be one of its station."""

FEWEST = 4
FEWEST_FOR_LIKENESS = 6
"""Golden parts below which nothing is asked: they do not show how parts vary."""

MEAN_FACTORS, MEAN_SLACK = (0.5, 1.6), 8.0
STD_FACTORS, STD_SLACK = (0.4, 1.7), 3.0
"""On the lowest and the highest of the golden parts, and grey levels beside that."""

SOFTER = (5.0, 4.0, 4.0, 4.0)
SHARPER = (8.0, 5.0, 4.0, 4.0)
"""How much less and more detail there may be, from pixel to eight pixels: a blur by 2 pixels leaves
a tenth of the finest. JPEG takes noise out of golden pictures, so live ones may have more."""

CORRELATION_SLACK = 0.2
"""How much less alike neighbouring pixels may be, at a half to an eighth of the crop's size, beside
what the golden parts differ. Noise of any strength has about 0 there; a camera's own is averaged
away by then. Of 2,166 good parts of eight products the nearest stayed 0.14 inside."""

COLOUR_SLACK = 20.0
SKEW_SLACK = 1.0
COMMON_LIKENESS, LIKENESS_LOSS = 0.5, 0.4
"""Parts less alike than COMMON_LIKENESS have no common look, as textures; others may be this much
less alike than the golden parts are among themselves."""

LIKENESS_SIDE = 24

GRAIN_POWER = 25.0
"""Grey levels squared: of so little contrast a camera's own grain may be all there is, and says
nothing of what the picture shows."""


@dataclass(frozen=True, slots=True, eq=False)
class CropFigures:
    """What a crop looks like.

    Attributes:
        mean: grey level, 0..255.
        std: grey levels.
        skew: of the grey levels' distribution; 0 where bright and dark are alike.
        detail: four logarithms of the Laplacian's variance, from the crop itself to an eighth.
        correlation: three of neighbouring pixels, -1..1, at a half, a quarter and an eighth.
        colour: blue and red less green, grey levels.
        look: (LIKENESS_SIDE squared,) of length 1, the light taken out; zeros of a plain crop.
    """

    mean: float
    std: float
    skew: float
    detail: tuple[float, ...]
    correlation: tuple[float, ...]
    colour: tuple[float, float]
    look: F32Array


def crop_figures(crop_hwc: U8Array) -> CropFigures:
    """Return the figures of a crop, uint8 (h, w, 3) BGR; 0.25 ms at 128 x 448."""
    grey_u8 = cv2.cvtColor(crop_hwc, cv2.COLOR_BGR2GRAY)
    mean, std, third = _moments(grey_u8)
    grey = np.asarray(grey_u8, np.float32)
    sizes = [_halved(grey)]
    for _ in SOFTER[2:]:
        sizes.append(_halved(sizes[-1]))
    blue, green, red = (float(value) for value in cv2.mean(crop_hwc)[:3])
    small = cv2.resize(sizes[0], (LIKENESS_SIDE, LIKENESS_SIDE), interpolation=cv2.INTER_AREA)
    look = (small - small.mean()).ravel()
    length = float(np.linalg.norm(look))
    return CropFigures(
        mean,
        std,
        third / (std**3 + 20.0),
        tuple(_roughness(picture) for picture in (grey, *sizes)),
        tuple(_correlation(picture) for picture in sizes),
        (blue - green, red - green),
        np.asarray(look / length if length > LIKENESS_SIDE else look * 0, np.float32),
    )


def _halved(grey_hw: F32Array) -> F32Array:
    h, w = grey_hw.shape
    size_wh = (max(1, w // 2), max(1, h // 2))
    return np.asarray(cv2.resize(grey_hw, size_wh, interpolation=cv2.INTER_AREA), np.float32)


_LEVELS = np.arange(256.0)


def _moments(grey_hw: cv2.typing.MatLike) -> tuple[float, float, float]:
    """Return mean, standard deviation and third central moment of a uint8 picture."""
    counts = cv2.calcHist([grey_hw], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    share = counts / grey_hw.size
    mean = float(share @ _LEVELS)
    away = _LEVELS - mean
    weighed = share * away
    third = float((weighed * away) @ away)
    return mean, math.sqrt(float(weighed @ away)), third


def _roughness(grey_hw: F32Array) -> float:
    """Return the logarithm of the Laplacian's variance, 0 where there is none."""
    edges = cv2.Laplacian(grey_hw, cv2.CV_32F)
    power = cv2.norm(edges, cv2.NORM_L2SQR) / edges.size  # a third of cv2.meanStdDev's time
    return math.log(max(power - cv2.mean(edges)[0] ** 2, 0.0) + 1.0)


def _correlation(grey: F32Array) -> float:
    """Return how alike neighbouring pixels of a (h, w) picture are, -1..1; 1 in a plain one."""
    h, w = grey.shape
    if min(h, w) < 2:
        return 1.0
    away = grey - cv2.mean(grey)[0]
    flat = away.ravel()
    power = float(flat @ flat) / flat.size
    # along the rows laid end to end, less where one row's end meets the next one's beginning
    across = float(flat[1:] @ flat[:-1]) - float(away[1:, 0] @ away[:-1, -1])
    down = float(flat[w:] @ flat[:-w])
    beside = (across / (h * (w - 1)) + down / ((h - 1) * w)) / 2
    return float((beside + GRAIN_POWER) / (power + GRAIN_POWER))


class Plausibility:
    """Knows what a bundle's parts look like.

    Args:
        golden: upright crops of parts, at least FEWEST, uint8 (h, w, 3) of one size.
    """

    def __init__(self, golden: Sequence[U8Array]) -> None:
        figures = [crop_figures(crop) for crop in golden]
        widened = 0.5 + 4 / len(figures)
        self._mean = _widened([f.mean for f in figures], MEAN_FACTORS, MEAN_SLACK)
        self._std = _widened([f.std for f in figures], STD_FACTORS, STD_SLACK)
        skews = [f.skew for f in figures]
        by = max(skews) - min(skews) + SKEW_SLACK
        self._skew = min(skews) - by, max(skews) + by
        detail = np.stack([f.detail for f in figures])
        low, high = detail.min(axis=0), detail.max(axis=0)
        self._least = (low - np.log(SOFTER) - (high - low) / 2).tolist()
        self._most = (high + np.log(SHARPER) + (high - low) / 2).tolist()
        correlation = np.stack([f.correlation for f in figures])
        least, most = correlation.min(axis=0), correlation.max(axis=0)
        self._least_correlated = (least - (most - least) - CORRELATION_SLACK).tolist()
        colour = np.stack([f.colour for f in figures])
        low, high = colour.min(axis=0), colour.max(axis=0)
        by_colour = (high - low) * widened + COLOUR_SLACK
        self._colour = (low - by_colour).tolist(), (high + by_colour).tolist()
        self._looks = np.stack([f.look for f in figures])
        alike = self._looks @ self._looks.T
        np.fill_diagonal(alike, -1.0)
        least_alike = float(alike.max(axis=1).min())
        is_common = least_alike > COMMON_LIKENESS and len(figures) >= FEWEST_FOR_LIKENESS
        self._least_alike = least_alike - LIKENESS_LOSS if is_common else -1.0

    def why_not(self, crop_hwc: U8Array) -> str:
        """Return why a crop can be no picture of such a part, for people; "" where it can."""
        seen = crop_figures(crop_hwc)
        if seen.mean < self._mean[0]:
            return "it is much darker than the bundle's own pictures"
        if seen.mean > self._mean[1]:
            return "it is much brighter than the bundle's own pictures"
        if seen.std < self._std[0]:
            return "it has much less contrast than the bundle's own pictures"
        if seen.std > self._std[1]:
            return "it has much more contrast than the bundle's own pictures"
        if _any_below(seen.detail, self._least):
            return "it is blurred or blank beside the bundle's own pictures"
        is_noise = _any_below(seen.correlation, self._least_correlated)
        if is_noise or _any_below(self._most, seen.detail):
            return "it has more fine detail, as noise has, than the bundle's own pictures"
        if _any_below(seen.colour, self._colour[0]) or _any_below(self._colour[1], seen.colour):
            return "its colours are others than those of the bundle's own pictures"
        if not self._skew[0] <= seen.skew <= self._skew[1]:
            return "bright and dark are shared out otherwise than in the bundle's own pictures"
        if float((self._looks @ seen.look).max()) < self._least_alike:
            return "it shows something else than the bundle's own pictures"
        return ""


def plausibility_of(golden: Sequence[U8Array]) -> Plausibility | None:
    """Return what tells pictures of other things; None of too few golden parts."""
    return Plausibility(golden) if len(golden) >= FEWEST else None


def _any_below(values: Sequence[float], limits: Sequence[float]) -> bool:
    return any(value < limit for value, limit in zip(values, limits, strict=True))


def _widened(
    values: Sequence[float], factors: tuple[float, float], slack: float
) -> tuple[float, float]:
    return min(values) * factors[0] - slack, max(values) * factors[1] + slack
