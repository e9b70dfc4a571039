"""Shared memory for pictures: what a reader can do to the writer, which is nothing."""

from __future__ import annotations

import mmap
import os
import random
from pathlib import Path

import pytest

from edge_app.ipc.frame_ring import SLOTS, FrameRingReader, FrameRingWriter


def test_what_is_put_is_read() -> None:
    """Every slot, with pieces one behind the other; a slot is used again once it is given back."""
    writer = FrameRingWriter(1, 100)
    reader = FrameRingReader(os.dup(writer.fd), 1, 100)
    for turn in range(3):
        slots = []
        for number in range(SLOTS):
            slot = writer.put([bytes([turn, number]), memoryview(b"pixels")])
            assert reader.copy(slot, 8) == bytes([turn, number]) + b"pixels"
            slots.append(slot)
        assert not writer.has_room
        for slot in slots:
            writer.give_back(1, slot)
    reader.close()
    writer.close()


def test_slots_that_a_reader_never_had_are_not_believed() -> None:
    """Random returns, of slots and generations that are none: never more slots than there are."""
    writer = FrameRingWriter(7, 8)
    chance = random.Random(5)
    for _ in range(2000):
        if writer.has_room and chance.random() < 0.5:
            writer.put([b"x"])
        writer.give_back(chance.choice((6, 7, 7, -1)), chance.randrange(-3, SLOTS + 3))
        assert len(writer._free) <= SLOTS
        assert len(set(writer._free)) == len(writer._free)
    writer.close()


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_a_reader_cannot_resize_the_segment(size: int) -> None:
    """A shorter file would kill the writer (SIGBUS), a longer one cost memory."""
    writer = FrameRingWriter(1, 4096)
    theirs = os.dup(writer.fd)
    with pytest.raises(PermissionError):
        os.ftruncate(theirs, size)
    writer.put([b"still there"])
    os.close(theirs)
    writer.close()


def test_a_reader_cannot_write() -> None:
    """Neither through the descriptor nor through a mapping of its own (Linux 5.1)."""
    writer = FrameRingWriter(1, 4096)
    with pytest.raises(PermissionError):
        os.pwrite(writer.fd, b"lie", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(writer.fd, 4096)
    assert os.fstat(writer.fd).st_mode & 0o777 == 0o600
    writer.close()


def test_a_segment_smaller_than_announced_is_refused() -> None:
    """The reader would die of it."""
    writer = FrameRingWriter(1, 100)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="smaller than announced"):
        FrameRingReader(os.dup(writer.fd), 1, 10_000)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    writer.close()
