"""Numbers that may never be used twice, kept outside the outbox in case it is damaged."""

from __future__ import annotations

import errno
import json
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SEQ_BLOCK = 100
"""Sequence numbers reserved at a time: one extra fsync per hundred alerts, and after a power cut
or damage the numbering jumps by at most this much."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
LARGEST = 2**62
"""No count of ours comes near."""
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class HighWater:
    """No `seq` and no session number above these has ever been used.

    Attributes:
        store_id: whose numbers; 0 where release 0.1.0 wrote the file.
    """

    seq: int = 0
    session: int = 0
    store_id: int = 0

    def text(self) -> bytes:
        """Return the file's content; 0.1.0 reads `seq` and `session` and passes over the rest."""
        entry = {"seq": self.seq, "session": self.session, "store_id": self.store_id}
        return json.dumps(entry | {"check": self._check()}).encode()

    def _check(self) -> int:
        return zlib.crc32(f"{self.seq} {self.session} {self.store_id}".encode())


def read_high_water(path: Path) -> HighWater | None:
    """Return the side file's numbers; None if there is none, or it is damaged."""
    try:
        entry = json.loads(path.read_bytes())
        mark = HighWater(int(entry["seq"]), int(entry["session"]), int(entry.get("store_id", 0)))
        is_whole = entry.get("check", mark._check()) == mark._check()
    except _UNREADABLE:
        return None
    is_sane = all(0 <= n < LARGEST for n in (mark.seq, mark.session)) and mark.store_id >= 0
    return mark if is_whole and is_sane else None


class HighWaterFile:
    """The side file, with a descriptor of it and of its folder held open.

    Args:
        path: need not exist yet.

    Raises:
        OSError: the folder cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        self._held: int | None = None
        with suppress(OSError):
            self._held = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, mark: HighWater) -> None:
        """Store the mark so that either the old or the new one is there after a power cut.

        Without a free descriptor it is written in place, through the one that is held: within one
        sector, so that only a disk that tears sectors could leave neither.

        Raises:
            OSError: the disk is full or not writable.
        """
        try:
            self._replace(mark.text())
        except OSError as error:
            if self._held is None or error.errno not in _NO_DESCRIPTOR:
                raise
            text = mark.text().ljust(os.fstat(self._held).st_size)
            os.pwrite(self._held, text, 0)
            os.ftruncate(self._held, len(text))
            os.fsync(self._held)

    def close(self) -> None:
        """Close both descriptors."""
        for handle in (self._held, self._folder):
            if handle is not None:
                os.close(handle)
        self._held = None

    def _replace(self, text: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.write(handle, text)
            os.fsync(handle)
            new.replace(self._path)
        except OSError:
            os.close(handle)
            raise
        old, self._held = self._held, handle
        if old is not None:
            os.close(old)
        os.fsync(self._folder)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
