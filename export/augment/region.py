"""Where a pseudo-anomaly may lie: random rectangles inside the product's own region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_app.errors import DataError
from edge_app.records import U8Array

MIN_SIDE_PX = 8
"""Shortest rectangle side: a patch below it spans less than one step of the coarsest map."""

PLACING_DRAWS = 40
"""Draws for a rectangle whose middle lies on the product before the product is called too small."""


@dataclass(frozen=True, slots=True)
class Rect:
    """An axis-aligned rectangle in crop pixels: rows y0..y1−1, columns x0..x1−1."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the rectangle in a (h, w, ...) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def product_box(mask_hw: U8Array | None, crop_hw: tuple[int, int]) -> Rect:
    """Return the product's bounding rectangle; the whole crop where there is no mask.

    Raises:
        DataError: the mask is empty or has another size than the crop.
    """
    if mask_hw is None:
        return Rect(0, 0, *crop_hw)
    if mask_hw.shape != crop_hw or not mask_hw.any():
        raise DataError(
            f"The product mask must be {crop_hw} with at least one pixel set, got "
            f"{mask_hw.shape} with {int(np.count_nonzero(mask_hw))} set. Check the crop's margin."
        )
    rows, columns = np.flatnonzero(mask_hw.any(1)), np.flatnonzero(mask_hw.any(0))
    return Rect(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def random_sides(
    rng: np.random.Generator, area_px: float, aspect_limit: float, inside_hw: tuple[int, int]
) -> tuple[int, int]:
    """Return (height, width) of the wanted area, aspect log-uniform in 1/limit..limit, clipped."""
    aspect = math.exp(rng.uniform(-math.log(aspect_limit), math.log(aspect_limit)))
    height, width = math.sqrt(area_px / aspect), math.sqrt(area_px * aspect)
    h, w = (
        int(np.clip(round(side), min(MIN_SIDE_PX, limit), limit))
        for side, limit in zip((height, width), inside_hw, strict=True)
    )
    return h, w


def random_rect(
    rng: np.random.Generator, hw: tuple[int, int], box: Rect, mask_hw: U8Array | None
) -> Rect:
    """Return a rectangle of size `hw` inside `box` whose middle lies on the product.

    After PLACING_DRAWS misses (a ring, say) the last draw is taken: inside the box all the same.
    """
    for _ in range(PLACING_DRAWS):
        y0 = int(rng.integers(box.y0, box.y1 - hw[0] + 1))
        x0 = int(rng.integers(box.x0, box.x1 - hw[1] + 1))
        if mask_hw is None or mask_hw[y0 + hw[0] // 2, x0 + hw[1] // 2]:
            break
    return Rect(y0, x0, y0 + hw[0], x0 + hw[1])
