"""The file of people: read when it has changed, replaced whole, by one process at a time.

The page's process and root's commands change it, each under a lock of its own beside the file.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from edge_app.accounts.people import People
from edge_app.accounts.place import PEOPLE_FILE
from edge_app.errors import AccountsUnusable
from edge_app.host.small_file import read_small
from edge_app.store.durable_write import perform, write_durably

LOCK_FILE = "people.lock"
MAX_BYTES = 4 << 20

T = TypeVar("T")


class PeopleFile:
    """Reads and changes `people.json` in a folder; nothing is made before the first change.

    Args:
        folder: of the page's account; None: nothing is kept and nobody is known.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock, self._changing = threading.Lock(), threading.Lock()
        self._seen: tuple[tuple[int, ...], People] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is a place to keep people."""
        return self._folder is not None

    def read(self) -> People:
        """Return what is kept; not to be changed.

        Raises:
            AccountsUnusable: the file cannot be used; it is never taken for an empty one.
        """
        with self._lock:
            mark = self._mark()
            if self._seen is None or self._seen[0] != mark:
                self._seen = mark, self._load()
            return self._seen[1]

    def change(self, work: Callable[[People], T]) -> T:
        """Return what `work` returns; what it has changed is on the disk by then, or nothing is.

        Raises:
            AccountsUnusable: the file cannot be used or written; whatever `work` raises.
        """
        folder = self._place()
        try:
            with self._changing, self._alone(folder):
                people = self._load()
                result = work(people)
                data = people.model_dump_json(indent=1).encode()
                write_durably(perform, folder / PEOPLE_FILE, data + b"\n", is_private=True)
                return result
        except OSError as error:
            raise AccountsUnusable(
                f"The accounts in {folder} cannot be changed: {error.strerror or error}. "
                "Nothing was changed."
            ) from error

    def _place(self) -> Path:
        if self._folder is None:
            raise AccountsUnusable(
                "This page keeps no accounts: it was started without a folder of its own."
            )
        return self._folder

    def _mark(self) -> tuple[int, ...]:
        if self._folder is None:
            return ()
        try:
            found = (self._folder / PEOPLE_FILE).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _load(self) -> People:
        if self._folder is None:
            return People()
        path = self._folder / PEOPLE_FILE
        try:
            return People.model_validate_json(read_small(path, MAX_BYTES))
        except FileNotFoundError:
            return People()
        except (OSError, ValueError) as error:
            why = _why(error)
            raise AccountsUnusable(
                f"The accounts in {path} cannot be used ({why}), so nobody can change anything. "
                "Bring back the file from a backup, or move it away and begin again with "
                "`edge-app users first-engineer`."
            ) from error

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return getattr(error, "strerror", None) or "it is no JSON"
