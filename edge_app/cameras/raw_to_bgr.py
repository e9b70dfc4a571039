"""A camera's bytes → BGR pixels, by the rules of `pictures.py`. Pure.

More than 8 bit become 8 by dropping the low bits, never by the picture's own extremes: the same
light gives the same grey level in every frame. Colour filters are interpolated bilinearly.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.cameras.pixel_format import PIXEL_FORMATS, PixelFormat
from edge_app.errors import FrameCorrupt
from edge_app.records import U8Array

_TO_BGR = {
    "mono": cv2.COLOR_GRAY2BGR,
    # OpenCV names a filter by its second row's second and third pixel, PFNC by its first two.
    "bayer_rg": cv2.COLOR_BayerBG2BGR,
    "bayer_gr": cv2.COLOR_BayerGB2BGR,
    "bayer_gb": cv2.COLOR_BayerGR2BGR,
    "bayer_bg": cv2.COLOR_BayerRG2BGR,
    "rgb": cv2.COLOR_RGB2BGR,
    "rgba": cv2.COLOR_RGBA2BGR,
    "bgra": cv2.COLOR_BGRA2BGR,
    "yuyv": cv2.COLOR_YUV2BGR_YUYV,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
}


def bgr_of_raw(
    data: memoryview | bytes, hw: tuple[int, int], stride: int, pixel_format: str
) -> U8Array:
    """Return a frame's pixels; nothing of `data` is kept.

    Args:
        data: the rows; may be longer than needed.
        hw: (height, width) in pixels.
        stride: bytes from row to row; 0 where rows follow each other without a gap.
        pixel_format: a name of `PIXEL_FORMATS`.

    Returns:
        uint8 (h, w, 3), BGR, contiguous.

    Raises:
        FrameCorrupt: an unknown format, or fewer bytes than the picture needs (half a frame).
    """
    known = PIXEL_FORMATS.get(pixel_format)
    if known is None:
        raise FrameCorrupt(
            f"The camera sends pixel format {pixel_format}, which is not understood. Set "
            "pixel_format to one that is, e.g. Mono8 or BayerRG8; docs/cameras.md lists them."
        )
    row_bytes = -(-hw[1] * known.bits_per_pixel // 8)
    gapless_bytes = -(-hw[0] * hw[1] * known.bits_per_pixel // 8)
    needed = (hw[0] - 1) * stride + row_bytes if stride else gapless_bytes
    if min(hw) < 1 or len(data) < needed or 0 < stride < row_bytes:
        raise FrameCorrupt(
            f"Half a frame: {hw[1]} x {hw[0]} pixels in {known.name} need {needed} bytes, "
            f"{len(data)} came (rows {stride} bytes apart). Check the cable and the network."
        )
    samples = _samples_8_bit(np.frombuffer(data, np.uint8), hw, stride or None, known)
    if known.layout == "bgr":
        return np.array(samples)
    try:
        return np.asarray(cv2.cvtColor(samples, _TO_BGR[known.layout]), dtype=np.uint8)
    except cv2.error as error:
        raise FrameCorrupt(
            f"{hw[1]} x {hw[0]} pixels in {known.name} cannot be converted: {error.err}"
        ) from error


def _samples_8_bit(
    data: U8Array, hw: tuple[int, int], stride: int | None, known: PixelFormat
) -> U8Array:
    """Return (h, w) or (h, w, samples) uint8."""
    h, w = hw
    shape = (h, w, known.samples) if known.samples > 1 else (h, w)
    if known.packing in ("bits", "gev"):
        if stride is None:  # bit by bit, also across the ends of rows
            return _unpack(data, h * w, known).reshape(shape)
        packed = np.zeros(h * stride, np.uint8)
        used = min(len(data), len(packed))  # the last row may lack its padding
        packed[:used] = data[:used]
        row_bytes = -(-w * known.bits_per_pixel // 8)
        return _unpack_rows(packed.reshape(h, stride)[:, :row_bytes], w, known)
    width = 2 if known.packing == "words" else 1
    row = w * known.samples * width
    rows = np.lib.stride_tricks.as_strided(data, (h, row), (stride or row, 1), writeable=False)
    if width == 2:
        words = np.ascontiguousarray(rows).view("<u2")
        return (words >> (known.bits - 8)).astype(np.uint8).reshape(shape)
    return rows.reshape(shape)


def _unpack_rows(rows: U8Array, w: int, known: PixelFormat) -> U8Array:
    """Return (h, w): rows that begin at a byte of their own, each filled up to whole groups."""
    samples, size = (4, 5) if (known.packing, known.bits) == ("bits", 10) else (2, 3)
    groups = -(-w // samples)
    filled = np.zeros((len(rows), groups * size), np.uint8)
    filled[:, : rows.shape[1]] = rows
    unpacked = _unpack(filled.reshape(-1), filled.size // size * samples, known)
    return np.ascontiguousarray(unpacked.reshape(len(rows), groups * samples)[:, :w])


def _unpack(data: U8Array, count: int, known: PixelFormat) -> U8Array:
    """Return the high eight bits of `count` packed samples."""
    if known.packing == "bits" and known.bits == 10:
        five = _groups(data, count, 4, 5).astype(np.uint16)  # four samples in five bytes
        words = [five[:, i] >> (2 * i) | five[:, i + 1] << (8 - 2 * i) for i in range(4)]
        high = np.stack([(word & 0x3FF) >> 2 for word in words], axis=1).astype(np.uint8)
        return high.reshape(-1)[:count]
    three = _groups(data, count, 2, 3)  # two samples in three bytes
    first, middle, last = three[:, 0], three[:, 1], three[:, 2]
    if known.packing == "bits":
        first = np.asarray((first >> 4) | (middle << 4), dtype=np.uint8)
    return np.stack([first, last], axis=1).reshape(-1)[:count]


def _groups(data: U8Array, count: int, samples: int, size: int) -> U8Array:
    """Return the bytes in groups of `size` that hold `samples` each; the last is filled up."""
    groups = -(-count // samples)
    padded = np.zeros(groups * size, np.uint8)
    used = min(len(data), len(padded))
    padded[:used] = data[:used]
    return padded.reshape(groups, size)
