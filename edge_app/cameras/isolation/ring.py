"""A few frames' worth of memory that two processes share; it has no name and outlives neither.

The writer owns a slot until it announces it over the wire, the reader until it gives it back the
same way: each side touches a slot only while it owns it, and the socket orders their accesses.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque

SLOTS = 4
"""One being written, one being read, two for a reader that comes late by two frames."""


class RingWriter:
    """The child's end. Make a new one when frames get larger; the old one's slots are forgotten.

    Args:
        generation: tells this ring from the ones before it.
        slot_bytes: the largest frame it takes.
    """

    def __init__(self, generation: int, slot_bytes: int) -> None:
        self.generation = generation
        self.slot_bytes = slot_bytes
        self.fd = os.memfd_create("cropliq-frames")
        os.ftruncate(self.fd, SLOTS * slot_bytes)
        self._memory = mmap.mmap(self.fd, SLOTS * slot_bytes)
        self._free = deque(range(SLOTS))

    def put(self, data: bytes | bytearray | memoryview) -> int | None:
        """Copy a frame into a free slot and return the slot, or None when the reader has all."""
        if not self._free:
            return None
        slot = self._free.popleft()
        start = slot * self.slot_bytes
        self._memory[start : start + len(data)] = data
        return slot

    def give_back(self, generation: int, slot: int) -> None:
        """The reader is done with a slot (perhaps of an older ring)."""
        if generation == self.generation:
            self._free.append(slot)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class RingReader:
    """The parent's end of the ring whose descriptor came over the wire; takes the descriptor."""

    def __init__(self, fd: int, generation: int, slot_bytes: int) -> None:
        self.generation = generation
        self._slot_bytes = slot_bytes
        try:
            self._memory = mmap.mmap(fd, SLOTS * slot_bytes, prot=mmap.PROT_READ)
        finally:
            os.close(fd)

    def view(self, slot: int, length: int) -> memoryview:
        """Return a slot's bytes, read-only."""
        start = slot * self._slot_bytes
        return memoryview(self._memory)[start : start + length]

    def close(self) -> None:
        """Let the memory go; a view that is still held (by a traceback) keeps it until then."""
        with contextlib.suppress(BufferError):
            self._memory.close()
