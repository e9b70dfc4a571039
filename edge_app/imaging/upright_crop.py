"""Cutting pixels: the letterbox for the detector and the upright crop for the inspector.

Training imports both from here, so device and workstation see the same pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from edge_app.errors import ShapeError
from edge_app.imaging.oriented_box import corners_of
from edge_app.records import BoxCxcywhr, F64Array, PointXy, U8Array

LETTERBOX_GREY = 114
"""Fill value round a letterboxed picture; Ultralytics trains with the same."""


Shrink = Literal["area", "pyramid"]
"""How a frame is made smaller for the detector: every target pixel the mean of what it covers, or
halved as often as it can be, and the rest sampled bilinearly where that sees every pixel. A
detector keeps the one it was trained with. From 1024 x 768 to 640 x 480 the pyramid takes 0.5 ms,
the mean 3.2 ms."""

BILINEAR_SHRINK = 1.65
"""Up to here the least seen pixel still weighs 0.175 along each axis; at 2 some would weigh 0."""

SHRINK_AS_IS = 1.3
"""A crop that shows the part this much smaller is sampled directly: bilinear still sees all."""

MAX_FINER = 6


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame was fitted into the detector's input.

    The detector counts from the picture's edge (normalised labels do), so its 0.5 is the centre of
    the first pixel; frames here have pixel centres at whole numbers:
    `letterbox = (frame + 0.5) * scale + pad`.
    """

    scale: float
    pad_x: float
    pad_y: float

    def box_to_frame(self, box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
        """Return a box given in letterbox pixels in frame pixels; the angle stays."""
        cx, cy, w, h, angle_rad = box_cxcywhr
        s = self.scale
        return (cx - self.pad_x) / s - 0.5, (cy - self.pad_y) / s - 0.5, w / s, h / s, angle_rad


def letterbox_fit(
    frame_hw: tuple[int, int], target_hw: tuple[int, int]
) -> tuple[Letterbox, tuple[int, int]]:
    """Return the mapping, and the (height, width) that the picture itself takes in the target."""
    (h, w), (th, tw) = frame_hw, target_hw
    scale = min(th / h, tw / w)
    new_h, new_w = max(1, round(h * scale)), max(1, round(w * scale))
    return Letterbox(scale, float((tw - new_w) // 2), float((th - new_h) // 2)), (new_h, new_w)


def letterbox(
    pixels_hwc: U8Array,
    target_hw: tuple[int, int],
    shrink: Shrink = "area",
    out: U8Array | None = None,
) -> tuple[U8Array, Letterbox]:
    """Fit a picture into `target_hw` without changing its aspect ratio, centred on grey 114.

    Args:
        pixels_hwc: uint8 (h, w, 3).
        target_hw: (height, width) wanted.
        shrink: how a larger picture is made smaller; a smaller one is enlarged bilinearly.
        out: uint8 (target_h, target_w, 3) to write into and return: one buffer for all frames
            saves a quarter of the time, which fresh memory takes.

    Returns:
        uint8 (target_h, target_w, 3) and the mapping.

    Raises:
        ShapeError: the picture is empty or not uint8 (h, w, 3).
    """
    _check_picture(pixels_hwc)
    fit, (new_h, new_w) = letterbox_fit((pixels_hwc.shape[0], pixels_hwc.shape[1]), target_hw)
    pad_y, pad_x = int(fit.pad_y), int(fit.pad_x)
    how = cv2.INTER_AREA if fit.scale < 1 else cv2.INTER_LINEAR
    if shrink == "pyramid":
        pixels_hwc = _halved(pixels_hwc, (new_h, new_w))
        h, w = pixels_hwc.shape[:2]
        sees_all = h <= BILINEAR_SHRINK * new_h and w <= BILINEAR_SHRINK * new_w
        how = cv2.INTER_LINEAR if sees_all else cv2.INTER_AREA
    if out is None:
        out = np.empty((*target_hw, 3), np.uint8)
    rows, columns = slice(pad_y, pad_y + new_h), slice(pad_x, pad_x + new_w)
    out[:pad_y] = out[pad_y + new_h :] = LETTERBOX_GREY
    out[rows, :pad_x] = out[rows, pad_x + new_w :] = LETTERBOX_GREY
    inside = out[rows, columns]
    resized = cv2.resize(pixels_hwc, (new_w, new_h), dst=inside, interpolation=how)
    if not np.may_share_memory(resized, inside):  # OpenCV does not write into every layout
        inside[:] = resized
    return out, fit


def _halved(pixels_hwc: U8Array, least_hw: tuple[int, int]) -> U8Array:
    """Return the picture halved until another halving would make it smaller than `least_hw`."""
    h, w = pixels_hwc.shape[:2]
    while h >= 2 * least_hw[0] and w >= 2 * least_hw[1]:
        h, w = h // 2, w // 2
        pixels_hwc = np.asarray(cv2.resize(pixels_hwc, (w, h), interpolation=cv2.INTER_AREA))
    return pixels_hwc


@dataclass(frozen=True, slots=True)
class CropSpec:
    """How a product is cut out.

    Attributes:
        crop_hw: (height, width) of the crop in pixels; its aspect is the product's own.
        margin: fraction of the box added on each side, e.g. 0.12, so that the outline is inside.
        stretch: fill the crop along both axes on their own; for whole frames of mixed aspect.
    """

    crop_hw: tuple[int, int]
    margin: float
    stretch: bool = False


def crop_box(box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> BoxCxcywhr:
    """Return the oriented box that the crop covers: the product's box and the margin.

    Unless `stretch` is set both axes get the same scale (the larger need), so that a part is never
    squeezed: a box whose aspect differs from the crop's shows a little more surroundings instead.
    """
    cx, cy, w, h, angle_rad = box_cxcywhr
    crop_h, crop_w = spec.crop_hw
    scale_x = max(w * (1 + 2 * spec.margin) / crop_w, 1e-3)
    scale_y = max(h * (1 + 2 * spec.margin) / crop_h, 1e-3)
    if not spec.stretch:
        scale_x = scale_y = max(scale_x, scale_y)
    return cx, cy, crop_w * scale_x, crop_h * scale_y, angle_rad


def crop_to_frame(box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> F64Array:
    """Return the (2, 3) float64 affine map from crop pixels to frame pixels.

    Pixel centres are whole numbers, so crop pixel 0 is half a pixel inside the crop's edge.
    """
    cx, cy, w, h, angle_rad = crop_box(box_cxcywhr, spec)
    crop_h, crop_w = spec.crop_hw
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    xx, xy, yx, yy = cos * w / crop_w, -sin * h / crop_h, sin * w / crop_w, cos * h / crop_h
    middle_x, middle_y = (crop_w - 1) / 2, (crop_h - 1) / 2
    shift_x = cx - (xx * middle_x + xy * middle_y)
    shift_y = cy - (yx * middle_x + yy * middle_y)
    return np.array([[xx, xy, shift_x], [yx, yy, shift_y]])  # (2, 3)


def upright_crop(pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> U8Array:
    """Cut a product out along its own axes, its direction to the right.

    Args:
        pixels_hwc: uint8 (h, w, 3), the frame.
        box_cxcywhr: the product's box; its angle is the product's direction.
        spec: size and margin.

    Returns:
        uint8 (crop_h, crop_w, 3). Outside the frame the border pixel is repeated.

    Raises:
        ShapeError: the frame is empty or not uint8 (h, w, 3).
    """
    warped = _warped_bgra(pixels_hwc, box_cxcywhr, spec)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR), np.uint8)


def grey_crop(pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> U8Array:
    """Return the upright crop in grey, uint8 (crop_h, crop_w); the rest as `upright_crop`."""
    warped = _warped_bgra(pixels_hwc, box_cxcywhr, spec)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2GRAY), np.uint8)


def _warped_bgra(pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> U8Array:
    """Return the upright crop with a fourth channel, uint8 (crop_h, crop_w, 4).

    OpenCV warps four channels in half the time of three (128 x 448 pixels: 0.20 instead of
    0.44 ms) and to the same bits; adding one to the pixels that are read takes 0.03 ms.
    """
    _check_picture(pixels_hwc)
    crop_h, crop_w = spec.crop_hw
    finer = _finer(box_cxcywhr, spec)
    fine_spec = spec if finer == 1 else replace(spec, crop_hw=(crop_h * finer, crop_w * finer))
    to_frame = crop_to_frame(box_cxcywhr, fine_spec)
    (xx, xy, x), (yx, yy, y) = to_frame.tolist()
    across, down = crop_w * finer - 1, crop_h * finer - 1
    x0, x1 = _span(x, xx * across, xy * down, pixels_hwc.shape[1])
    y0, y1 = _span(y, yx * across, yy * down, pixels_hwc.shape[0])
    to_frame[:, 2] -= (x0, y0)
    warped = cv2.warpAffine(
        cv2.cvtColor(pixels_hwc[y0:y1, x0:x1], cv2.COLOR_BGR2BGRA),
        to_frame,
        (across + 1, down + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if finer > 1:
        warped = cv2.resize(warped, (crop_w, crop_h), interpolation=cv2.INTER_AREA)
    return np.asarray(warped, np.uint8)


def _span(start: float, across: float, down: float, length: int) -> tuple[int, int]:
    """Return the first and the last pixel (excluded) that a warp reads along one axis of a frame
    of this length: at least one, and one more than bilinear sampling needs.
    """
    low = start + min(across, 0.0) + min(down, 0.0)
    high = start + max(across, 0.0) + max(down, 0.0)
    first = min(max(math.floor(low) - 1, 0), length - 1)
    return first, max(min(math.ceil(high) + 2, length), first + 1)


def _finer(box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> int:
    """Return how many samples a crop pixel takes along each axis: one per frame pixel, about.

    A large part in a small crop would otherwise be sampled here and there: fine texture and sensor
    noise come out as patterns of their own (aliasing).
    """
    _, _, w, h, _ = crop_box(box_cxcywhr, spec)
    shrink = max(w / spec.crop_hw[1], h / spec.crop_hw[0])
    return min(MAX_FINER, math.ceil(shrink)) if shrink > SHRINK_AS_IS else 1


def crop_corners(box_cxcywhr: BoxCxcywhr, spec: CropSpec) -> tuple[PointXy, ...]:
    """Return the crop's outline in frame pixels, from the crop's top left, clockwise."""
    return corners_of(crop_box(box_cxcywhr, spec))


def whole_frame_box(frame_hw: tuple[int, int]) -> BoxCxcywhr:
    """Return the box of a product that fills the frame."""
    h, w = frame_hw
    return (w - 1) / 2, (h - 1) / 2, float(w), float(h), 0.0


@dataclass(frozen=True, slots=True)
class FrameRegion:
    """A rectangle of the frame as shares of its size, from the top left; x + w and y + h <= 1."""

    x: float
    y: float
    w: float
    h: float


def region_box(region: FrameRegion, frame_hw: tuple[int, int]) -> BoxCxcywhr:
    """Return the upright box of a product that fills a region of the frame, in frame pixels."""
    h, w = frame_hw
    cx, cy = (region.x + region.w / 2) * w - 0.5, (region.y + region.h / 2) * h - 0.5
    return cx, cy, region.w * w, region.h * h, 0.0


def _check_picture(pixels_hwc: U8Array) -> None:
    shape, dtype = pixels_hwc.shape, pixels_hwc.dtype
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ShapeError(f"a picture must be uint8 (h, w, 3) and not empty, got {dtype} {shape}")
