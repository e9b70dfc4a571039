"""Pseudo-anomalies of several kinds, so that no kind of method is favoured by what it is judged on.

Local ones (patches, strips, stirred rectangles) favour methods that look at positions: on magnetic
tiles, a texture, judging by them alone once cost 3 points of image AUROC (docs/methods.md). The
large ones here change a third of the product or more, and each place only a little.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge_app.records import F32Array, U8Array
from export.augment import KINDS, pseudo_anomaly
from export.augment.liquify import draw_displacement, without_folds
from export.augment.region import Rect, product_box

Large = Callable[[np.random.Generator, U8Array], F32Array]
"""Changes a whole crop uint8 (h, w, 3); returns float32 grey levels of the same shape."""

WARP_RANGE = (0.02, 0.12)
"""Largest push as a factor on the stirred rectangle's own: a few pixels over the whole product."""

TEXTURE_SIGMA_PX = 3.0
"""Detail finer than this is strengthened or weakened."""

TEXTURE_RANGE = (1.25, 2.5)
"""Factor on that detail, or its inverse."""

SHADE_RANGE_GREY = (4.0, 24.0)
"""Largest change of brightness of a smooth shade, grey levels, either way."""

WINDOW_RANGE = (0.35, 0.8)
"""Radius of a large change as a share of the product box's sides."""


def warp(rng: np.random.Generator, crop_hwc: U8Array) -> F32Array:
    """Return the crop pushed about smoothly by a few pixels."""
    h, w = crop_hwc.shape[:2]
    factor = np.float32(_log_uniform(rng, WARP_RANGE))
    shift_yx = without_folds(draw_displacement(rng, (h, w)) * factor)
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    x, y = columns + shift_yx[1], rows + shift_yx[0]
    moved = cv2.remap(crop_hwc, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def texture(rng: np.random.Generator, crop_hwc: U8Array) -> F32Array:
    """Return the crop with its fine detail strengthened or weakened."""
    factor = _log_uniform(rng, TEXTURE_RANGE)
    if rng.random() < 0.5:
        factor = 1 / factor
    pixels = crop_hwc.astype(np.float32)
    smooth = cv2.GaussianBlur(pixels, (0, 0), TEXTURE_SIGMA_PX)
    return np.asarray(smooth + factor * (pixels - smooth), np.float32)


def shade(rng: np.random.Generator, crop_hwc: U8Array) -> F32Array:
    """Return the crop brighter or darker."""
    grey = _log_uniform(rng, SHADE_RANGE_GREY) * (1 if rng.random() < 0.5 else -1)
    return np.asarray(crop_hwc.astype(np.float32) + grey, np.float32)


LARGE: dict[str, Large] = {"warp": warp, "texture": texture, "shade": shade}

EVIDENCE_KINDS: tuple[str, ...] = (*KINDS, *LARGE)
"""Half of them local, half of them large."""


def with_anomaly(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None, kind: str
) -> U8Array:
    """Return the crop with one pseudo-anomaly of a kind of EVIDENCE_KINDS on the product.

    Args:
        crop_hwc: uint8 (h, w, 3) BGR, a good crop.
        mask_hw: uint8 (h, w) product region, or None for the whole crop.

    Raises:
        DataError: the mask is empty or does not fit, or no visible anomaly can be made.
    """
    if kind not in LARGE:
        return pseudo_anomaly(rng, crop_hwc, mask_hw, kind).crop_hwc
    hw = (int(crop_hwc.shape[0]), int(crop_hwc.shape[1]))
    share = soft_window(rng, hw, product_box(mask_hw, hw))
    if mask_hw is not None:
        share = share * (mask_hw > 0)
    changed = LARGE[kind](rng, crop_hwc)
    mixed = crop_hwc + share[:, :, None] * (changed - crop_hwc)
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)


def soft_window(rng: np.random.Generator, hw: tuple[int, int], box: Rect) -> F32Array:
    """Return (h, w) float32, 1 at a random middle in the box, falling smoothly to 0."""
    rows, columns = np.mgrid[0 : hw[0], 0 : hw[1]].astype(np.float32)
    middle_y = rng.uniform(box.y0, box.y1)
    middle_x = rng.uniform(box.x0, box.x1)
    radius_y, radius_x = rng.uniform(*WINDOW_RANGE) * np.array(box.hw, np.float32)
    squared = ((rows - middle_y) / radius_y) ** 2 + ((columns - middle_x) / radius_x) ** 2
    return np.asarray(np.exp(-squared), np.float32)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
