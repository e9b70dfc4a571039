"""A folder → its picture files: one rule for `inspect`, the folder camera, training and evaluation.

| Left out | What |
|---|---|
| hidden | files and folders with a leading dot |
| folders of storage and systems | `@*` (`@eaDir`), `$*` (`$RECYCLE.BIN`), `#recycle` |
| our own outputs | folders `*.work`, `*.evaluation`, `*.review`; what `inspect --out` drew |
| links to folders | they may lead in circles, or out of what a person named |
| folders that cannot be read | `lost+found`; the folder that is named has to be readable |
| other endings | what is no jpg, png, bmp, tif or webp; heic without pillow-heif |

The folder that a person names is looked into whatever it is called; only one of drawings is
refused. Everything left out is counted and named.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.pictures import HEIC_ENDINGS, HOW_TO_READ_HEIC, PICTURE_ENDINGS
from edge_app.errors import CameraUnavailable

log = logging.getLogger(__name__)

DRAWINGS_MARK = ".edge-app-inspect"
"""The file that says that `edge-app inspect` drew what lies in a folder."""

OTHER, HIDDEN, SYSTEM, OURS, DRAWINGS, LINK, UNREADABLE = (
    "",
    "hidden",
    "of another system",
    "outputs of edge-export",
    "drawings of edge-app inspect",
    "links to folders",
    "folders that cannot be read",
)

_MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was not taken, or a folder that was not looked into (name ends in `/`)."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's pictures in natural order, and what was passed over."""

    pictures: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]


def list_pictures(folder: Path | str, recursive: bool = True) -> list[Path]:
    """Return a folder's picture files in natural order (`part2` before `part10`), never empty.

    What is left out is logged.

    Raises:
        CameraUnavailable: as `scan_folder`.
    """
    found = scan_folder(folder, recursive)
    if found.left_out:
        log.info("%s: left out %s", folder, told_left_out(found.left_out))
    return list(found.pictures)


def scan_folder(folder: Path | str, recursive: bool = True) -> Listing:
    """Return a folder's pictures, never none, and what was left out.

    Raises:
        CameraUnavailable: no such folder, not readable, drawings of ours, or no picture in it; the
            message names what was found instead.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "not there"
        raise CameraUnavailable(f"Picture folder {folder} is {kind}. Name an existing folder.")
    if (folder / DRAWINGS_MARK).is_file():
        raise CameraUnavailable(
            f"Picture folder {folder} holds drawings of edge-app inspect, no pictures of parts. "
            "Name the folder they were drawn from."
        )
    left_out: list[LeftOut] = []
    files = _files(folder, recursive, left_out)
    pictures = [file for file in files if file.suffix.lower() in PICTURE_ENDINGS]
    taken = set(pictures)
    others = (file.relative_to(folder).as_posix() for file in files if file not in taken)
    left_out += [LeftOut(name, OTHER) for name in others]
    if not pictures:
        raise CameraUnavailable(
            f"Picture folder {folder} holds no picture. Expected {', '.join(PICTURE_ENDINGS)}; "
            f"found {told_left_out(left_out) or 'no file at all'}. Put pictures in or name another "
            "folder."
        )
    pictures.sort(key=lambda file: _natural_key(file.relative_to(folder)))
    return Listing(tuple(pictures), tuple(left_out))


def why_folder_is_left_out(name: str) -> str | None:
    """Return the reason for which a sub-folder of that name is not looked into, or None."""
    if name.startswith("."):
        return HIDDEN
    if name.startswith(("@", "$")) or name.lower() == "#recycle":
        return SYSTEM
    if name.lower().endswith((".work", ".evaluation", ".review")):
        return OURS
    return None


def told_left_out(left_out: Sequence[LeftOut]) -> str:
    """Return e.g. `.heic (3), .txt (1); of another system: @eaDir/ (2)`, empty for nothing."""
    by_why: dict[str, Counter[str]] = {}
    for item in left_out:
        by_why.setdefault(item.why, Counter())[_label(item)] += 1
    parts = []
    for why, counts in sorted(by_why.items()):
        named = [f"{label} ({count})" for label, count in sorted(counts.items())]
        more = [f"{len(named) - _MAX_NAMED} more names"] if len(named) > _MAX_NAMED else []
        parts.append((f"{why}: " if why else "") + ", ".join(named[:_MAX_NAMED] + more))
    return "; ".join(parts)


def _label(item: LeftOut) -> str:
    if item.why == OTHER:
        ending = Path(item.name).suffix.lower()
        return f"{ending} — {HOW_TO_READ_HEIC}" if ending in HEIC_ENDINGS else ending or "no ending"
    if item.why in (HIDDEN, SYSTEM):  # one in each sub-folder, as a rule
        return item.name.rstrip("/").rpartition("/")[2] + ("/" if item.name.endswith("/") else "")
    return item.name


def _files(folder: Path, recursive: bool, left_out: list[LeftOut]) -> list[Path]:
    """Return every file that is looked at; a sub-folder that cannot be read (`lost+found`) is left
    out and named, the folder itself is an error."""
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        name = Path(error.filename).relative_to(folder).as_posix()
        left_out.append(LeftOut(f"{name}/", UNREADABLE))

    try:
        for parent, folders, names in os.walk(folder, onerror=unreadable):
            above = Path(parent)
            inside = above.relative_to(folder)
            reasons = {name: _why_not(above / name) for name in folders} if recursive else {}
            folders[:] = [name for name, why in reasons.items() if why is None]
            left_out += [LeftOut(f"{(inside / n).as_posix()}/", w) for n, w in reasons.items() if w]
            hidden = [name for name in names if name.startswith(".")]
            left_out += [LeftOut((inside / name).as_posix(), HIDDEN) for name in hidden]
            found += [above / name for name in names if not name.startswith(".")]
    except OSError as error:
        raise CameraUnavailable(
            f"Picture folder {error.filename} cannot be listed: {error.strerror}. Check its rights."
        ) from error
    return found


def _why_not(folder: Path) -> str | None:
    """Return why a sub-folder is not looked into, or None."""
    why = why_folder_is_left_out(folder.name)
    if why is None and folder.is_symlink():
        return LINK
    if why is None and os.path.isfile(folder / DRAWINGS_MARK):  # noqa: PTH113 — False if forbidden
        return DRAWINGS
    return why


def _natural_key(relative: Path) -> tuple[tuple[tuple[str | int, ...], ...], str]:
    """Return a sort key in which runs of digits count as numbers; the plain text breaks ties."""
    parts = tuple(
        tuple(int(run) if run.isdecimal() else run.lower() for run in re.split(r"(\d+)", part))
        for part in relative.parts
    )
    return parts, str(relative)
