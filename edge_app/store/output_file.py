"""A finished file takes the place that a person named, unless that is no place for a file."""

from __future__ import annotations

import stat
from pathlib import Path

from edge_app.errors import OutputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
)


def check_replaceable(out: Path) -> None:
    """Refuse a name that a folder, pipe, socket or device has; renaming a file onto one, as root,
    would replace it for the whole machine.

    Raises:
        OutputError: it is one.
    """
    try:
        mode = out.stat().st_mode
    except OSError:
        return  # nothing is there, or the writing itself says what is wrong
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise OutputError(f"{out} is {name}: it is not replaced. Name a file.")


def put_in_place(partial: Path, out: Path) -> None:
    """Give a finished file its name; a file that has it is replaced.

    Raises:
        OutputError: see `check_replaceable`.
        OSError: it cannot be renamed.
    """
    check_replaceable(out)
    partial.replace(out)
