"""Reserved disk space, so that a full disk does not suppress alarms."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from edge_app.mqtt.high_water import sync_folder

ROOM_FACTOR = 3
"""The reserve is allocated again once the disk has this many times its size free: with less
it would be released again at once."""


class Reserve:
    """A file of real blocks beside the outbox, deleted when SQLite finds the disk full.

    No method raises: it is called while something else has failed already.

    Args:
        path: the reserve file.
        reserve_bytes: its size; 0 keeps none.
    """

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._path = path
        self._bytes = reserve_bytes
        self._is_there = False
        with suppress(OSError):
            self._is_there = path.exists()

    @property
    def is_held(self) -> bool:
        """The space is allocated, or none was requested. Does not ask the disk."""
        return self._bytes == 0 or self._is_there

    def release(self) -> bool:
        """Give the space back to the disk; False if there is none to give, or it does not go."""
        if self._bytes == 0 or not self._is_there:
            return False
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        self._is_there = False
        with suppress(OSError):
            sync_folder(self._path.parent)
        return True

    def make(self) -> bool:
        """Allocate the space if there is room; return whether it is allocated now."""
        if self.is_held:
            return True
        try:
            if shutil.disk_usage(self._path.parent).free < ROOM_FACTOR * self._bytes:
                return False
            self._allocate()
        except OSError:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return False
        self._is_there = True
        return True

    def _allocate(self) -> None:
        with self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._bytes)
            os.fsync(file.fileno())
