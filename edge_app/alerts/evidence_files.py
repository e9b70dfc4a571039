"""Names and bytes of the pictures that are kept.

`{date}/{part}.jpg` is the frame of a bad part's alert, `{date}/{part}.suspect.jpg` of a suspect
one; `.crop.jpg` in place of `.jpg` is the upright crop, `.map.png` the map over the crop, `.json`
the sidecar of all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge_app.records import F32Array, KeepReason, U8Array

Kind = Literal["ng", "surplus", "suspect", "near_miss", "not_inspected", "random"]
"""A reason, or `surplus`: of a bad part, beyond the number that is kept an hour or a day."""

KINDS: tuple[Kind, ...] = ("ng", "surplus", "suspect", "near_miss", "not_inspected", "random")

MAX_NAME_CHARS = 120
SAFE_PATH = re.compile(r"\d{4}-\d{2}-\d{2}/[A-Za-z0-9_][A-Za-z0-9._-]*\.jpg")
"""What a store may have written, below its folder: "{date}/{name}.jpg"."""

CROP = ".crop.jpg"
SIDECAR = ".json"
MAP = ".map.png"
_KIND = re.compile(r"\.(surplus|suspect|near_miss|not_inspected|random)(-\d+)?\.jpg$")


def safe_name(name: str) -> str:
    """Return a file name stem made of letters, digits, '.', '_' and '-' only, never hidden."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:MAX_NAME_CHARS]
    return stem if stem[:1].isalnum() or stem[:1] == "_" else f"_{stem}"


def suffix_of(kind: Kind) -> str:
    """Return what follows the part's name; a part's id ends with a number."""
    return "" if kind == "ng" else f".{kind}"


def kind_of(name: str) -> Kind:
    """Return what a frame's picture was kept for, by its file name."""
    found = _KIND.search(name)
    for kind in KINDS:
        if found is not None and found[1] == kind:
            return kind
    return "ng"


def reason_of(kind: Kind) -> KeepReason:
    """Return the reason of a kind."""
    return "ng" if kind == "surplus" else kind


def is_crop(path: Path) -> bool:
    """Tell whether a picture is a crop."""
    return path.name.endswith(CROP)


def crop_of(frame: Path) -> Path:
    """Return where the crop of a frame's picture lies."""
    return frame.with_name(frame.name.removesuffix(".jpg") + CROP)


def frame_of(crop: Path) -> Path:
    """Return where the frame of a crop lies, or lay."""
    return crop.with_name(crop.name.removesuffix(CROP) + ".jpg")


def sidecar_of(frame: Path) -> Path:
    """Return where the sidecar of a frame's picture lies."""
    return frame.with_name(frame.name.removesuffix(".jpg") + SIDECAR)


def map_of(frame: Path) -> Path:
    """Return where the map over the crop of a frame's picture lies."""
    return frame.with_name(frame.name.removesuffix(".jpg") + MAP)


def encode_jpeg(pixels_hwc: U8Array, quality: int) -> bytes | None:
    """Return a picture as JPEG bytes, or None if it is no picture JPEG can hold."""
    try:
        is_done, data = cv2.imencode(".jpg", pixels_hwc, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        return None
    return data.tobytes() if is_done else None


def encode_map(map_hw: F32Array) -> tuple[bytes, float] | None:
    """Return a map as an 8-bit grey PNG, and what one step of it is worth.

    The map's value is the pixel's times that: its largest value is 255 steps. None for what is no
    map, and for one in which nothing stands out.
    """
    if map_hw.ndim != 2 or map_hw.size == 0 or not np.isfinite(map_hw).all():
        return None
    step = float(map_hw.max()) / 255
    if step <= 0:
        return None
    levels = np.clip(np.rint(map_hw / step), 0, 255).astype(np.uint8)
    is_done, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return (data.tobytes(), step) if is_done else None


def place_of(url: str) -> Path | None:
    """Return "{date}/{name}.jpg" at the end of a picture's address; None if it has no such end."""
    place = "/".join(url.split("/")[-2:])
    return Path(place) if SAFE_PATH.fullmatch(place) else None


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
