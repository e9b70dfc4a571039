"""Every change the agent makes on disk, one step at a time; tests cut the power between steps.

A change survives a power cut once its bytes are synced, its name is in place and the folder that
holds the name is synced; `write_durably`, `link_durably` and `remove_durably` keep that order.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

StepKind = Literal["make_folder", "write", "copy", "sync", "rename", "link", "remove"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        path: what is changed.
        other: rename: the new name; link: what it points at; copy: where the bytes come from.
        data: write: the whole content.
        is_private: write: only this user may read it.
    """

    kind: StepKind
    path: Path
    other: Path | None = None
    data: bytes = b""
    is_private: bool = False


Perform = Callable[[Step], None]
"""Executes a step, or raises OSError."""


def perform(step: Step) -> None:
    """Make one change.

    Raises:
        OSError: disk full, no right, gone.
    """
    if step.kind == "make_folder":
        step.path.mkdir(parents=True, exist_ok=True)
    elif step.kind == "write":
        if step.is_private:
            _write_private(step.path, step.data)
        else:
            step.path.write_bytes(step.data)
    elif step.kind == "copy":
        shutil.copyfile(_other(step), step.path)
    elif step.kind == "sync":
        _sync(step.path)
    elif step.kind == "rename":
        step.path.replace(_other(step))
    elif step.kind == "link":
        step.path.symlink_to(_other(step))
    else:
        step.path.unlink(missing_ok=True)


def write_durably(do: Perform, path: Path, data: bytes, is_private: bool = False) -> None:
    """Replace a file's content; at any moment the old or the new one is there, whole.

    Args:
        is_private: it holds secrets: only this user may read it.

    Raises:
        OSError: it could not be written; the old content is unchanged and nothing is left behind.
    """
    fresh = path.with_name(f".{path.name}.new")
    with _removed_on_failure(do, fresh):
        do(Step("write", fresh, data=data, is_private=is_private))
        do(Step("sync", fresh))
        do(Step("rename", fresh, path))
    do(Step("sync", path.parent))


def link_durably(do: Perform, path: Path, target: Path) -> None:
    """Point a symbolic link elsewhere; at any moment the old or the new one is there.

    Raises:
        OSError: it could not be made; the old link is unchanged.
    """
    fresh = path.with_name(f".{path.name}.new")
    do(Step("remove", fresh))
    with _removed_on_failure(do, fresh):
        do(Step("link", fresh, target))
        do(Step("rename", fresh, path))
    do(Step("sync", path.parent))


def remove_durably(do: Perform, path: Path) -> None:
    """Remove a file or a link, if it is there.

    Raises:
        OSError: it could not be removed.
    """
    do(Step("remove", path))
    do(Step("sync", path.parent))


class _removed_on_failure:  # noqa: N801 - reads as a word in `with`
    """Remove an incomplete file when a step fails; a full disk needs the space."""

    def __init__(self, do: Perform, path: Path) -> None:
        self._do, self._path = do, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, OSError):
            with suppress(OSError):
                self._do(Step("remove", self._path))


def _other(step: Step) -> Path:
    if step.other is None:
        raise ValueError(f"a {step.kind} step needs two paths, got only {step.path}")
    return step.other


def _sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)  # one that was there keeps its mode otherwise
        file.write(data)
