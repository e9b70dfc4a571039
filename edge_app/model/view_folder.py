"""The folder that `edge-app inspect --out` writes into: never its input, never a person's files.

The folder is new, empty, or one that an earlier inspection made: `.edge-app-inspect` in it says so.
A drawing carries the digest of its own bytes in a JPEG comment; only a file whose comment fits is
replaced. All of that is checked before the first picture is judged.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_app.cameras.picture_listing import DRAWINGS_MARK
from edge_app.errors import OutputError
from edge_app.imaging.overlay import draw_report
from edge_app.model.view_names import MAX_NAME_BYTES, MAX_PATH_BYTES, view_names
from edge_app.records import FrameReport

log = logging.getLogger(__name__)

_MARK_TEXT = "Drawings by edge-app inspect. They are no pictures of parts.\n"

_JPEG_START = b"\xff\xd8"
_COMMENT = b"edge-app inspect sha256:"

Show = Callable[[FrameReport], None]


@dataclass(frozen=True, slots=True)
class ViewFolder:
    """An opened folder with a place for each picture's drawing.

    Attributes:
        views: picture's name → its drawing's file.
    """

    folder: Path
    views: Mapping[str, Path]

    def drawer(self, map_threshold: float) -> Show:
        """Return a callback that writes each report's picture with its boxes and its map.

        It raises OutputError when a drawing cannot be written.
        """

        def draw(report: FrameReport) -> None:
            name = report.frame.source_name or ""
            encoded = _jpeg(report, map_threshold)
            if encoded is None:
                log.warning("%s: too large to be drawn as a JPEG (at most 65500 pixels)", name)
                return
            _refuse_foreign_file(self.views[name])
            _write(self.folder, self.views[name], own_drawing(encoded))

        return draw


def open_view_folder(out: Path, looked_at: Path, pictures: Mapping[str, Path]) -> ViewFolder:
    """Return the folder, made and writable, with nothing of a person's in the way.

    Args:
        out: where drawings go.
        looked_at: the inspected folder, or the one picture.
        pictures: name → file of everything that will be inspected.

    Raises:
        OutputError: `out` is, lies in or holds what is inspected; it is somebody else's folder; a
            file that is no drawing of ours is in the way; or it cannot be written. Nothing was
            changed, unless the last.
    """
    try:
        _refuse_input(out, looked_at, pictures.values())
        _refuse_foreign_folder(out)
        room = MAX_PATH_BYTES - len(os.fsencode(out.absolute()))
        names = view_names(list(pictures), _name_limit(out), room)
        views = {name: out / view for name, view in names.items()}
        folders = sorted({file.parent for file in views.values()} | {out})
        _refuse_links(out, folders)
        for file in views.values():
            _refuse_foreign_file(file)
        _make(out, folders)
    except OSError as error:
        raise _unwritable(out, error) from error
    return ViewFolder(out, views)


def own_drawing(jpeg: bytes) -> bytes:
    """Return the JPEG with a comment that makes it known as a drawing of ours."""
    rest = jpeg[len(_JPEG_START) :]
    text = _COMMENT + hashlib.sha256(rest).hexdigest().encode()
    return _JPEG_START + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + rest


def is_own_drawing(encoded: bytes) -> bool:
    """Tell whether these are a drawing's bytes as `inspect` wrote them, changed by nobody."""
    at = len(_JPEG_START) + 4
    text = encoded[at : at + len(_COMMENT) + 64]
    rest = encoded[at + len(text) :]
    return text == _COMMENT + hashlib.sha256(rest).hexdigest().encode()


def _refuse_input(out: Path, looked_at: Path, pictures: Collection[Path]) -> None:
    if looked_at.is_dir() and _identity(looked_at) in _identities_up_from(out):
        where = "is the folder" if _same(out, looked_at) else "lies in the folder"
        raise OutputError(
            f"--out {out} {where} whose pictures are inspected, {looked_at}: nothing was written. "
            "Expected a folder outside of it; name another one."
        )
    if not out.exists():
        return
    holder = _identity(out)
    by_folder = {file.resolve().parent: file for file in pictures}
    for folder, file in by_folder.items():
        if holder in _identities_up_from(folder):
            raise OutputError(
                f"--out {out} holds pictures that are inspected ({file}): nothing was written. "
                "Expected a folder without them; name another one, a new sub-folder for instance."
            )


def _refuse_foreign_folder(out: Path) -> None:
    if os.path.lexists(out) and not out.is_dir():
        raise OutputError(f"--out {out} is no folder: nothing was written. Name a new folder.")
    if not out.exists() or (out / DRAWINGS_MARK).is_file():
        return
    found = sorted(p for p in out.iterdir() if not p.name.startswith(DRAWINGS_MARK))
    if found:
        raise OutputError(
            f"--out {out} holds files that edge-app inspect did not write ({found[0].name}): "
            "nothing was written. Expected a new or an empty folder, or one that an earlier "
            "inspect made; name another one."
        )


def _refuse_links(out: Path, folders: Collection[Path]) -> None:
    """Refuse a link or a file in the place of a sub-folder: it would lead elsewhere."""
    for folder in folders:
        for step in (folder, *folder.parents):
            if step == out:
                break
            if step.is_symlink() or (step.exists() and not step.is_dir()):
                raise OutputError(
                    f"{step} is in the way of a folder of drawings: nothing was written. Remove "
                    "it, or name another --out."
                )


def _refuse_foreign_file(file: Path) -> None:
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not file.is_file() or not is_own_drawing(file.read_bytes()):
        raise OutputError(
            f"{file} is in the way of a drawing, and edge-app inspect did not write it (or it was "
            "changed since): it is left as it is. Move it away, or name another --out."
        )


def _make(out: Path, folders: Collection[Path]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _write(out, out / DRAWINGS_MARK, _MARK_TEXT.encode())
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))


def _write(folder: Path, file: Path, data: bytes) -> None:
    """Put a whole file there or none; a link of that name is replaced, not followed."""
    part = folder / f"{DRAWINGS_MARK}-{os.getpid()}.part"
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as opened:
            opened.write(data)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(file, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    where = error.filename or path
    return OutputError(
        f"--out: {path} cannot be written: {error.strerror or error} ({where}). Expected a folder "
        "that this user may write, with room on its disk; make room, mend its rights or name "
        "another one."
    )


def _jpeg(report: FrameReport, map_threshold: float) -> bytes | None:
    try:
        is_done, encoded = cv2.imencode(".jpg", draw_report(report, map_threshold))
    except cv2.error:
        return None
    return encoded.tobytes() if is_done else None


def _name_limit(out: Path) -> int:
    """Return how many bytes the disk takes for a name; some (encrypted ones) take less than 255."""
    there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    return min(MAX_NAME_BYTES, os.pathconf(there, "PC_NAME_MAX"))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _same(one: Path, other: Path) -> bool:
    return one.exists() and _identity(one) == _identity(other)


def _identities_up_from(path: Path) -> set[tuple[int, int]]:
    """Return what `path` and all folders above it are, as far as they exist; links are followed."""
    real = path.resolve()
    return {_identity(step) for step in (real, *real.parents) if step.exists()}
