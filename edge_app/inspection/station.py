"""A station that shows a product in every picture: what a picture without one means.

A trigger says that a part is there. Where the bundle's detector found the product in every good
picture, a picture without it shows that it is missing, which is a defect, provided that the picture
is otherwise as in training: a dark, blinded or blurred camera sees nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import Defect, U8Array

MISSING = "missing"
"""Defect class and reason of a part that should be there and is not."""

SHARPNESS_WIDTH_PX = 160

WIDENED_MEAN, WIDENED_STD, WIDENED_SHARPNESS = (0.6, 1.4), (0.4, 1.6), (0.3, 3.0)
"""Factors on the lowest and the highest value of training within which a picture is sound. They are
wide because the product itself is in every training picture: without it the picture is brighter or
darker, and mostly plainer. A light that fails takes the mean below, a lost focus the sharpness."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """What a whole frame looks like.

    Attributes:
        grey_mean: 0..255.
        grey_std: grey levels.
        sharpness: variance of the Laplacian of the grey picture, SHARPNESS_WIDTH_PX wide.
    """

    grey_mean: float
    grey_std: float
    sharpness: float


@dataclass(frozen=True, slots=True)
class Station:
    """What the training pictures of a station looked like: (lowest, highest) of each figure."""

    grey_mean: Range
    grey_std: Range
    sharpness: Range

    def is_sound(self, pixels_hwc: U8Array) -> bool:
        """Return whether a picture is like those of training, product or no product."""
        seen = frame_figures(pixels_hwc)
        return (
            _within(seen.grey_mean, self.grey_mean, WIDENED_MEAN)
            and _within(seen.grey_std, self.grey_std, WIDENED_STD)
            and _within(seen.sharpness, self.sharpness, WIDENED_SHARPNESS)
        )


def frame_figures(pixels_hwc: U8Array) -> FrameFigures:
    """Return a frame's figures.

    Args:
        pixels_hwc: uint8 (h, w, 3), BGR.
    """
    grey = cv2.cvtColor(pixels_hwc, cv2.COLOR_BGR2GRAY)
    h, w = grey.shape
    size_wh = (SHARPNESS_WIDTH_PX, max(1, round(h * SHARPNESS_WIDTH_PX / w)))
    small = cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(small, cv2.CV_64F)
    return FrameFigures(float(grey.mean()), float(grey.std()), float(edges.var()))


def missing_defect(frame_hw: tuple[int, int]) -> Defect:
    """Return the defect of a frame without its product: the whole frame, as nobody knows where."""
    h, w = frame_hw
    x1, y1 = w - 0.5, h - 0.5
    corners = ((-0.5, -0.5), (x1, -0.5), (x1, y1), (-0.5, y1))
    return Defect(corners, (-0.5, -0.5, x1, y1), np.nan, MISSING, weak_localisation=True)


def _within(value: float, seen: Range, widened: tuple[float, float]) -> bool:
    return seen[0] * widened[0] <= value <= seen[1] * widened[1]
