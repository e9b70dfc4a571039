"""The exact last number that was given out, in a small file that stays open.

Written at every commit and never synchronised: it survives the process, not the machine. The boot
id in it says which of the two has ended. Two slots are written in turn, each with a checksum and a
count. Where one of them is damaged or missing, the other may be the older one: then the file says
nothing. It needs no descriptor and no space later: both are taken at the start.
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
        self._is_full = False
        self._found: LastNumber | None = None
        self._look()

    @property
    def found(self) -> LastNumber | None:
        """What the file held when it was opened; None if it was new or a slot is damaged."""
        return self._found

    def write(self, record: LastNumber) -> None:
        """Replace the older slot.

        Raises:
            OSError: the disk refuses it; the newer slot is unchanged.
        """
        for _ in range(1 if self._is_full else 2):
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
        self._is_full = True

    def close(self) -> None:
        """Close the file; write no more."""
        os.close(self._handle)

    def _look(self) -> None:
        data = os.pread(self._handle, 2 * SLOT_BYTES, 0)
        slots = [_read_slot(data[start : start + SLOT_BYTES]) for start in (0, SLOT_BYTES)]
        counts = [slot[0] for slot in slots if slot is not None]
        self._count = max(counts, default=0)
        self._is_full = len(counts) == 2 and abs(counts[0] - counts[1]) == 1
        if self._is_full:
            self._found = max((slot for slot in slots if slot is not None), key=lambda s: s[0])[1]


def _read_slot(slot: bytes) -> tuple[int, LastNumber] | None:
    """Return a slot's count and record, None if it is damaged."""
    body = slot[: _RECORD.size]
    crc = slot[_RECORD.size : _RECORD.size + _CRC.size]
    if len(crc) < _CRC.size or _CRC.pack(zlib.crc32(body)) != crc:
        return None
    magic, boot, count, *numbers = _RECORD.unpack(body)
    if magic != _MAGIC:
        return None
    return count, LastNumber(boot.rstrip(b"\0").decode("ascii", "replace"), *numbers)
