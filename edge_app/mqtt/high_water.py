"""Numbers that may never be used twice, kept outside the outbox in case it is corrupt."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

SEQ_BLOCK = 100
"""Sequence numbers reserved at a time: one extra fsync per hundred alerts, and after a corrupt
outbox the numbering jumps by at most this much."""


@dataclass(frozen=True, slots=True)
class HighWater:
    """No `seq` and no session number above these has ever been used."""

    seq: int = 0
    session: int = 0


def read_high_water(path: Path) -> HighWater:
    """Return the side file's numbers; zeros if there is none or it cannot be read."""
    try:
        entry = json.loads(path.read_bytes())
        return HighWater(int(entry["seq"]), int(entry["session"]))
    except (OSError, ValueError, KeyError, TypeError):
        return HighWater()


def write_high_water(path: Path, mark: HighWater) -> None:
    """Store the mark so that either the old or the new one is there after a power cut.

    Raises:
        OSError: the disk is full or not writable.
    """
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump({"seq": mark.seq, "session": mark.session}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
