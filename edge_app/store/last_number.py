"""The exact last number that was given out, in a small file that stays open.

Written at every commit and never synchronised: it survives the process, not the machine. The boot
id in it says which of the two has ended. Two slots are written in turn, each with a checksum, so
that a torn or damaged one leaves the one before. The file needs no descriptor and no space later:
both are taken when it is opened.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

SLOT_BYTES = 512
"""One sector: a slot is written as a whole or not at all."""

_RECORD = struct.Struct("<8s40sQQQQQQ")
_MAGIC = b"cropliq1"
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class LastNumber:
    """What one process knew when it last wrote.

    Attributes:
        boot_id: of the machine's start, at most 40 characters.
        store_id: of the numbering, above 0.
        session: of the process.
        seq: the last number given out.
        waiting: alerts that waited for the broker then.
        first_waiting: the lowest number among them; `seq` + 1 if none waited.
    """

    boot_id: str
    store_id: int
    session: int
    seq: int
    waiting: int
    first_waiting: int


class LastNumberFile:
    """The open file.

    Args:
        path: made if missing.

    Raises:
        OSError: it cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._count = 0
        self._found: LastNumber | None = None
        self._look()

    @property
    def found(self) -> LastNumber | None:
        """What the file held when it was opened; None if it was new or both slots are damaged."""
        return self._found

    def write(self, record: LastNumber) -> None:
        """Replace the older slot.

        Raises:
            OSError: the disk refuses it; the newer slot is unchanged.
        """
        self._count += 1
        body = _RECORD.pack(
            _MAGIC,
            record.boot_id.encode("ascii", "replace"),
            self._count,
            record.store_id,
            record.session,
            record.seq,
            record.waiting,
            record.first_waiting,
        )
        slot = (body + _CRC.pack(zlib.crc32(body))).ljust(SLOT_BYTES, b"\0")
        os.pwrite(self._handle, slot, self._count % 2 * SLOT_BYTES)

    def close(self) -> None:
        """Close the file; write no more."""
        os.close(self._handle)

    def _look(self) -> None:
        newest = 0
        data = os.pread(self._handle, 2 * SLOT_BYTES, 0)
        for start in (0, SLOT_BYTES):
            body = data[start : start + _RECORD.size]
            crc = data[start + _RECORD.size : start + _RECORD.size + _CRC.size]
            if len(crc) < _CRC.size or _CRC.pack(zlib.crc32(body)) != crc:
                continue
            magic, boot, count, *numbers = _RECORD.unpack(body)
            if magic == _MAGIC and count > newest:
                newest = count
                self._found = LastNumber(boot.rstrip(b"\0").decode("ascii", "replace"), *numbers)
        self._count = newest
