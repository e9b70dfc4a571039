"""Names and bytes of the pictures that are kept."""

from __future__ import annotations

import re

import cv2

from edge_app.records import U8Array

MAX_NAME_CHARS = 120


def safe_name(name: str) -> str:
    """Return a file name stem made of letters, digits, '.', '_' and '-' only, never hidden."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:MAX_NAME_CHARS]
    return stem if stem[:1].isalnum() or stem[:1] == "_" else f"_{stem}"


def encode_jpeg(pixels_hwc: U8Array, quality: int) -> bytes | None:
    """Return a picture as JPEG bytes, or None if it is no picture JPEG can hold."""
    try:
        is_done, data = cv2.imencode(".jpg", pixels_hwc, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        return None
    return data.tobytes() if is_done else None
