"""Small pictures of parts, made from the kept crop or frame, and held for the next who asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.alerts.evidence_files import crop_of, encode_jpeg
from edge_app.records import U8Array

SIDES_PX = (160, 320, 640)
JPEG_QUALITY = 76
CACHE_BYTES = 8 << 20
MARGIN = 0.08
"""Of a part's box in its frame, on each side."""
MAX_FILE_BYTES = 32 << 20
_REDUCED = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)
"""How many pixels become one while a JPEG is read, the fewest pixels first."""


class Thumbnails:
    """Makes small JPEGs; keeps those asked for last, `CACHE_BYTES` of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0

    def jpeg(self, frame: Path, corners_xy: Sequence[Any], side_px: int) -> bytes | None:
        """Return a part's picture, its longer side `side_px` at most; None: no file is readable.

        Args:
            frame: its kept picture, which may be gone while the crop beside it is there.
            corners_xy: of the part in the frame; not four: unknown.

        Raises:
            PermissionError: this account may not read it.
        """
        key = (f"{frame.parent.name}/{frame.name}", side_px)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _made(frame, corners_xy, side_px)
        if made is not None:
            self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, int], data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(key, b""))
            self._kept[key] = data
            while self._bytes > CACHE_BYTES:
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old)


def _made(frame: Path, corners_xy: Sequence[Any], side_px: int) -> bytes | None:
    crop = crop_of(frame)
    data = _data(crop)
    box = None
    if data is None:
        data, box = _data(frame), _box_of(corners_xy)
    pixels = None if data is None else _read(data, box, side_px)
    return None if pixels is None else encode_jpeg(pixels, JPEG_QUALITY)


def _data(path: Path) -> U8Array | None:
    """Return a file's bytes, None if there is none or it is no picture of a device."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return None
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except PermissionError:
        raise
    except OSError:  # deleted meanwhile, or its name is too long
        return None
    return data if data.size else None


def _box_of(corners_xy: Sequence[Any]) -> tuple[float, float, float, float] | None:
    """Return (left, top, right, bottom) with a margin, in frame pixels."""
    try:
        points = np.asarray(corners_xy, np.float64)
    except (TypeError, ValueError):
        return None
    if points.shape != (4, 2) or not np.isfinite(points).all():
        return None
    (left, top), (right, bottom) = points.min(0), points.max(0)
    x, y = MARGIN * (right - left), MARGIN * (bottom - top)
    return (left - x, top - y, right + x, bottom + y) if right > left and bottom > top else None


def _read(
    data: U8Array, box: tuple[float, float, float, float] | None, side_px: int
) -> U8Array | None:
    """Return the picture, or what is in the box, read with as few pixels as will do."""
    for factor, flag in _REDUCED:
        try:
            pixels = cv2.imdecode(data, flag)
        except cv2.error:
            return None
        if pixels is None:
            return None
        if box is not None:
            pixels = _cut(pixels.astype(np.uint8), box, factor)
        if max(pixels.shape[:2]) >= side_px or factor == 1:
            return _fitted(pixels.astype(np.uint8), side_px)
    return None


def _cut(pixels_hwc: U8Array, box: tuple[float, float, float, float], factor: int) -> U8Array:
    """Return what is in a box of the full picture; all of it where they do not meet."""
    h, w = pixels_hwc.shape[:2]
    left, top, right, bottom = (value / factor for value in box)
    columns = slice(max(0, int(left)), min(w, int(right) + 1))
    rows = slice(max(0, int(top)), min(h, int(bottom) + 1))
    cut = pixels_hwc[rows, columns]
    return cut if cut.size else pixels_hwc


def _fitted(pixels_hwc: U8Array, side_px: int) -> U8Array:
    h, w = pixels_hwc.shape[:2]
    scale = side_px / max(h, w)
    if scale >= 1:
        return pixels_hwc
    size_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    return cv2.resize(pixels_hwc, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)
