"""What an earlier process left in an evidence folder, once at the start."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_app.alerts.evidence_files import (
    CROP,
    MAP,
    SAFE_PATH,
    SIDECAR,
    crop_of,
    frame_of,
    is_crop,
    map_of,
    sidecar_of,
)
from edge_app.alerts.evidence_index import Kept
from edge_app.alerts.sidecar import read_sidecar
from edge_app.host.file_ownership import share_with_readers

BESIDE = (SIDECAR, MAP)
"""Ends of the names of what lies beside pictures."""


def kept_in(folder: Path) -> list[Kept]:
    """Return the pictures in a store's folder: frames, and crops whose frames have gone.

    Only files with names that a store writes; sidecars and maps whose pictures have gone are
    deleted, and what was cut off while it was written.

    Raises:
        OSError: the folder cannot be read.
    """
    found = {path: size for path in folder.glob("*/*") if (size := _size_of(path)) is not None}
    kept = list(_pictures(found))
    _clear(folder, found)
    return kept


def _pictures(found: dict[Path, os.stat_result]) -> Iterator[Kept]:
    for path, its in found.items():
        if path.name.endswith(BESIDE):
            continue
        share_with_readers(path)  # a picture of an earlier release
        if not is_crop(path):
            crop, notes = found.get(crop_of(path)), _beside(found, path)
            yield Kept(path, its.st_mtime, its.st_size, None, _length(crop), notes)
        elif frame_of(path) not in found:
            notes = _beside(found, frame_of(path))
            yield Kept(path, its.st_mtime, its.st_size, None, 0, notes)


def _beside(found: dict[Path, os.stat_result], frame: Path) -> int:
    """Return the bytes of what lies beside a picture: its sidecar and its map."""
    return _length(found.get(sidecar_of(frame))) + _length(found.get(map_of(frame)))


def _clear(folder: Path, found: dict[Path, os.stat_result]) -> None:
    """Delete what belongs to no picture; nobody else's file."""
    for path in found:
        if not path.name.endswith(BESIDE):
            continue
        stem = path.name.removesuffix(SIDECAR).removesuffix(MAP)
        pictures = (path.with_name(stem + ".jpg"), path.with_name(stem + CROP))
        is_ours = path.name.endswith(MAP) or read_sidecar(path) is not None
        if not any(picture in found for picture in pictures) and is_ours:
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):
        for unfinished in folder.glob("*/.*.part"):
            unfinished.unlink(missing_ok=True)


def _size_of(path: Path) -> os.stat_result | None:
    """Return what is known of a file that a store could have written, else None.

    None as well for what is no file, has gone, or lies on a damaged place.
    """
    name = f"{path.parent.name}/{path.name}"
    if name.endswith(BESIDE):
        name = name.removesuffix(SIDECAR).removesuffix(MAP) + ".jpg"
    if not SAFE_PATH.fullmatch(name):
        return None
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _length(found: os.stat_result | None) -> int:
    return 0 if found is None else found.st_size
