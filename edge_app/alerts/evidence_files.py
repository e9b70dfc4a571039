"""Names and bytes of the pictures that are kept."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

from edge_app.records import U8Array

MAX_NAME_CHARS = 120
SAFE_PATH = re.compile(r"\d{4}-\d{2}-\d{2}/[A-Za-z0-9_][A-Za-z0-9._-]*\.jpg")
"""What a store may have written, below its folder: "{date}/{name}.jpg"."""


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


def picture_at(folder: Path, url_path: str) -> Path | None:
    """Return the file behind "{date}/{name}.jpg" in a store's folder, or None if there is none.

    Only names that a store could have written are accepted, so no "..", absolute path, link or
    hidden file leads out of the folder.
    """
    if not SAFE_PATH.fullmatch(url_path):
        return None
    path = folder / url_path
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return None
    return path
