"""Synthetic defects as the device would have kept them: JPEG of the quality of the marked pictures.

Marked pictures are JPEG, and pictures of a data set often are not. What is learnt from marked parts
against drawn defects would tell the one from the other by the compression alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from edge_app.records import U8Array
from export.defects.synthetic import DrawnPicture

_TABLE, _SCAN = 0xDB, 0xDA
_TABLE_BYTES = 64


def jpeg_quality(data: bytes) -> int | None:
    """Return the quality, 1..100, whose luminance table is nearest; None for no baseline JPEG."""
    table = _luminance_table(data)
    if table is None:
        return None
    distance = np.abs(_tables() - np.frombuffer(table, np.uint8).astype(int)).sum(1)
    return int(distance.argmin()) + 1


@functools.cache
def _tables() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return (100, 64) luminance tables of the qualities 1 to 100."""
    blank = np.zeros((8, 8), np.uint8)
    encoded = (cv2.imencode(".jpg", blank, [cv2.IMWRITE_JPEG_QUALITY, q])[1] for q in range(1, 101))
    found = [_luminance_table(bytes(data)) or bytes(_TABLE_BYTES) for data in encoded]
    return np.array([list(table) for table in found], np.int64)


def _luminance_table(data: bytes) -> bytes | None:
    """Return the 64 bytes of table 0, in the file's order."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _TABLE and data[at + 4 : at + 5] == b"\x00":
            table = data[at + 5 : at + 5 + _TABLE_BYTES]
            return table if len(table) == _TABLE_BYTES else None
        at += 2 + length
    return None


@dataclass(frozen=True, slots=True)
class KeptDrawing(DrawnPicture):
    """A drawn defect that went through the device's JPEG.

    Attributes:
        quality: 1..100.
    """

    quality: int = 100

    def read(self) -> U8Array:
        """Return the pixels, uint8 (h, w, 3) BGR."""
        pixels = DrawnPicture.read(self)
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def as_kept(drawn: Sequence[DrawnPicture], marked: Iterable[bytes]) -> Sequence[DrawnPicture]:
    """Return drawn pictures in the quality of marked ones; as they are where most are no JPEG.

    Args:
        marked: the marked pictures' files.
    """
    found = [jpeg_quality(data) for data in marked]
    known = sorted(quality for quality in found if quality is not None)
    if 2 * len(known) < max(1, len(found)):
        return drawn
    quality = known[len(known) // 2]
    return [
        KeptDrawing(**{f.name: getattr(p, f.name) for f in fields(DrawnPicture)}, quality=quality)
        for p in drawn
    ]
