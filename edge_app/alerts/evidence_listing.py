"""What an earlier process left in an evidence folder, once at the start."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_app.alerts.evidence_files import (
    CROP,
    SAFE_PATH,
    SIDECAR,
    crop_of,
    frame_of,
    is_crop,
    sidecar_of,
)
from edge_app.alerts.evidence_index import Kept
from edge_app.alerts.sidecar import read_sidecar
from edge_app.host.file_ownership import share_with_readers


def kept_in(folder: Path) -> list[Kept]:
    """Return the pictures in a store's folder: frames, and crops whose frames have gone.

    Only files with names that a store writes; sidecars whose pictures have gone are deleted, and
    what was cut off while it was written.

    Raises:
        OSError: the folder cannot be read.
    """
    found = {path: size for path in folder.glob("*/*") if (size := _size_of(path)) is not None}
    kept = list(_pictures(found))
    _clear(folder, found)
    return kept


def _pictures(found: dict[Path, os.stat_result]) -> Iterator[Kept]:
    for path, its in found.items():
        if path.name.endswith(SIDECAR):
            continue
        share_with_readers(path)  # a picture of an earlier release
        if not is_crop(path):
            crop, notes = found.get(crop_of(path)), found.get(sidecar_of(path))
            yield Kept(path, its.st_mtime, its.st_size, None, _length(crop), _length(notes))
        elif frame_of(path) not in found:
            notes = found.get(sidecar_of(frame_of(path)))
            yield Kept(path, its.st_mtime, its.st_size, None, 0, _length(notes))


def _clear(folder: Path, found: dict[Path, os.stat_result]) -> None:
    """Delete what belongs to no picture; nobody else's file."""
    for path in found:
        if not path.name.endswith(SIDECAR):
            continue
        stem = path.name.removesuffix(SIDECAR)
        pictures = (path.with_name(stem + ".jpg"), path.with_name(stem + CROP))
        if not any(picture in found for picture in pictures) and read_sidecar(path) is not None:
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
    if not SAFE_PATH.fullmatch(name.removesuffix(SIDECAR) + ".jpg" * name.endswith(SIDECAR)):
        return None
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _length(found: os.stat_result | None) -> int:
    return 0 if found is None else found.st_size
