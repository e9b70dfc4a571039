"""Picture files → BGR pixels: one rule for the device, `edge-app inspect` and training.

- 16 bit becomes 8 bit by dropping the low byte (`>> 8`), never by the picture's own extremes:
  the same light gives the same grey level in every picture. A 12-bit camera that stores its
  values unshifted in 16 bit therefore looks dark; have it store them left-aligned.
- Grey is repeated into three channels; an alpha channel is dropped, not blended.
- EXIF orientation is ignored: the pixels are the sensor's, in the order in which they are stored.
- Of a file with several pages the first counts.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import FrameCorrupt
from edge_app.records import U8Array

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""Compared in lower case."""

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA


def read_picture(path: Path | str) -> U8Array:
    """Return a picture file's pixels by the rules at the top of this file.

    Args:
        path: jpg, png, bmp or tif; 8 or 16 bit; grey, grey + alpha, colour, colour + alpha.

    Returns:
        uint8 (h, w, 3), BGR, contiguous.

    Raises:
        FrameCorrupt: not there, not readable, empty, truncated, or not one of these formats.
            Flipped bits inside a JPEG that is complete are not noticed: the format has no checksum.
    """
    path = Path(path)
    encoded = _read_bytes(path)
    if encoded[:2].tobytes() == _JPEG_START and not _jpeg_is_complete(encoded.tobytes()):
        raise _corrupt(path, "the JPEG's end marker is missing: it was cut off while written")
    try:
        # IMREAD_UNCHANGED keeps 16 bit and is the one mode that also ignores EXIF orientation.
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _corrupt(path, f"OpenCV refuses it: {error.err}") from error
    if decoded is None:
        raise _corrupt(path, f"{encoded.size} bytes are no complete jpg, png, bmp or tif")
    return _to_bgr(_to_8_bit(np.asarray(decoded), path))


def _read_bytes(path: Path) -> U8Array:
    """Return the file's bytes; np.fromfile opens any name the file system knows, cv2 does not."""
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _corrupt(path, f"it cannot be read: {error.strerror or error}") from error
    if encoded.size == 0:
        raise _corrupt(path, "the file is empty (0 bytes)")
    return encoded


def _jpeg_is_complete(encoded: bytes) -> bool:
    """Tell whether an end marker follows the start of the picture's own scan.

    Segments before the scan are stepped over by their length: an EXIF thumbnail has end markers
    of its own. Older OpenCV decodes a cut JPEG half grey and only prints a warning.
    """
    at = len(_JPEG_START)
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _JPEG_SCAN:
            return encoded.find(_JPEG_END, at) > 0
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return False


def _to_8_bit(decoded: np.ndarray[tuple[int, ...], np.dtype[np.generic]], path: Path) -> U8Array:
    """Return uint8 of the same shape; 16 bit loses its low byte."""
    if decoded.dtype == np.uint16:
        return np.asarray(np.right_shift(decoded, 8), dtype=np.uint8)
    if decoded.dtype != np.uint8:
        raise _corrupt(path, f"its pixels are {decoded.dtype}; expected 8 or 16 bit whole numbers")
    return np.asarray(decoded, dtype=np.uint8)


def _to_bgr(decoded: U8Array) -> U8Array:
    """Return (h, w, 3) of (h, w), (h, w, 1), (h, w, 2), (h, w, 3) or (h, w, 4)."""
    grey_or_colour = decoded if decoded.ndim == 3 else decoded[:, :, None]
    if grey_or_colour.shape[2] < 3:
        return np.ascontiguousarray(np.repeat(grey_or_colour[:, :, :1], 3, axis=2))
    return np.ascontiguousarray(grey_or_colour[:, :, :3])


def _corrupt(path: Path, why: str) -> FrameCorrupt:
    return FrameCorrupt(f"Picture {path} cannot be used: {why}. Replace or remove the file.")
