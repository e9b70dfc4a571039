"""Shared memory for the newest pictures: inspection writes, the page's process reads.

The segment has no name: its descriptor goes over the socket, which also orders the accesses. The
writer owns a slot until it announces it, the reader until it gives it back. A reader that gives
nothing back gets no more pictures and costs the writer nothing. The kernel's seals keep a reader
from resizing the segment (the writer would die of SIGBUS) and from mapping it for writing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

SLOTS = 3
"""One being written, one being read, one on its way."""

_F_SEAL_FUTURE_WRITE = 0x10
"""Linux 5.1: no new writable mapping and no write; the writer's own mapping stays."""


class FrameRingWriter:
    """The writer's end. Make a new one when pictures get larger; the old one's slots are forgotten.

    Args:
        generation: tells this segment from the ones before it.
        slot_bytes: the largest picture it takes.

    Raises:
        OSError: there is no memory for it.
    """

    def __init__(self, generation: int, slot_bytes: int) -> None:
        self.generation = generation
        self.slot_bytes = slot_bytes
        self.fd = os.memfd_create("cropliq-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(self.fd, 0o600)  # nobody else opens it anew through /proc
            os.ftruncate(self.fd, SLOTS * slot_bytes)
            self._memory = mmap.mmap(self.fd, SLOTS * slot_bytes)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            with suppress(OSError):  # an older kernel: the file's mode and the next seal remain
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
        except OSError:
            os.close(self.fd)
            raise
        self._free = deque(range(SLOTS))

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    def put(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Copy pieces one behind the other into a free slot and return the slot.

        The slot is the reader's from then on.
        """
        slot = self._free.popleft()
        at = slot * self.slot_bytes
        for piece in pieces:
            self._memory[at : at + len(piece)] = piece
            at += len(piece)
        return slot

    def give_back(self, generation: int, slot: int) -> None:
        """The reader is done with a slot; what it never had is not believed."""
        if generation == self.generation and 0 <= slot < SLOTS and slot not in self._free:
            self._free.append(slot)

    def close(self) -> None:
        """Let the memory go; the reader keeps its own mapping until it ends."""
        self._memory.close()
        os.close(self.fd)


class FrameRingReader:
    """The reader's end of the segment whose descriptor came over the socket; takes the descriptor.

    Raises:
        OSError: the segment is smaller than announced.
    """

    def __init__(self, fd: int, generation: int, slot_bytes: int) -> None:
        self.generation = generation
        self._slot_bytes = slot_bytes
        try:
            if os.fstat(fd).st_size < SLOTS * slot_bytes:
                raise OSError("the shared memory is smaller than announced")
            self._memory = mmap.mmap(fd, SLOTS * slot_bytes, prot=mmap.PROT_READ)
        finally:
            os.close(fd)

    def copy(self, slot: int, length: int) -> bytes:
        """Return a copy of a slot's first bytes."""
        start = slot * self._slot_bytes
        return self._memory[start : start + length]

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()
