"""Picture files made by hand: orientations, alpha and pages that OpenCV does not write."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]


def exif(orientation: int, order: str = ">") -> bytes:
    """EXIF data that holds an orientation and nothing else."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return start + struct.pack(order + "IH", 8, 1) + entry + struct.pack(order + "I", 0)


def jpeg(pixels: AnyArray, orientation: int = 1, order: str = ">") -> bytes:
    raw = _encoded(".jpg", pixels)
    body = b"Exif\0\0" + exif(orientation, order)
    return raw[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + raw[2:]


def png(pixels: AnyArray, orientation: int = 1, order: str = ">") -> bytes:
    raw, body = _encoded(".png", pixels), exif(orientation, order)
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    return raw[:33] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + raw[33:]


def webp(pixels: AnyArray, orientation: int = 1, order: str = ">") -> bytes:
    """Lossless, in the extended form that has room for EXIF."""
    raw = _encoded(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
    h, w = pixels.shape[:2]
    sizes: bytes = (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<IB3x", 10, 0x08) + sizes
    body = exif(orientation, order)
    at = raw.index(b"VP8L")
    chunks = extended + raw[at:] + b"EXIF" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def tiff(
    pixels: AnyArray,
    orientation: int = 1,
    order: str = "<",
    *,
    photometric: int | None = None,
    extra_sample: int | None = None,
    pages: int = 1,
) -> bytes:
    """An uncompressed TIFF, RGB or grey order as TIFF has it.

    Args:
        pixels: (h, w), or (h, w, channels) in RGB(A) order; uint8 or uint16.
        extra_sample: what a fourth (or second) channel is: 0 unknown, 1 multiplied, 2 alpha.
        pages: the same page so many times.
    """
    h, w = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    bits = pixels.dtype.itemsize * 8
    if photometric is None:
        photometric = 2 if samples >= 3 else 1
    data = pixels.astype(pixels.dtype.newbyteorder("<" if order == "<" else ">")).tobytes()
    bits_at = 8 + len(data)
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", bits_at + 2 * samples)
    out += data + struct.pack(f"{order}{samples}H", *[bits] * samples)
    tags = {
        256: (4, w),
        257: (4, h),
        259: (3, 1),
        262: (3, photometric),
        273: (4, 8),
        274: (3, orientation),
        277: (3, samples),
        278: (4, h),
        279: (4, len(data)),
    }
    if extra_sample is not None:
        tags[338] = (3, extra_sample)
    for page in range(pages):
        entries = [_entry(order, tag, *tags[tag]) for tag in sorted(tags)]
        inline = struct.pack(f"{order}{samples}H", *[bits] * samples)
        value = inline.ljust(4, b"\0") if samples <= 2 else struct.pack(order + "I", bits_at)
        entries.insert(2, struct.pack(order + "HHI", 258, 3, samples) + value)
        following = len(out) + 2 + 12 * len(entries) + 4 if page + 1 < pages else 0
        out += struct.pack(order + "H", len(entries)) + b"".join(entries)
        out += struct.pack(order + "I", following)
    return out


def _entry(order: str, tag: int, kind: int, value: int) -> bytes:
    if kind == 3:
        return struct.pack(order + "HHIHH", tag, kind, 1, value, 0)
    return struct.pack(order + "HHII", tag, kind, 1, value)


def _encoded(ending: str, pixels: AnyArray, options: list[int] | None = None) -> bytes:
    is_written, encoded = cv2.imencode(ending, pixels, options or [])
    assert is_written
    return bytes(np.asarray(encoded).tobytes())
