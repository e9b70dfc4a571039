"""Messages of others on the device's alert topics, a few of them kept for a person to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_app.mqtt.dead_letters import DeadLetters

NAME = "foreign-messages.jsonl"
MAX_BYTES = 1 << 20
"""Of the file; with the one before it 2 MiB at most."""
AT_ONCE = 2
"""Written at each call of `keep`: nobody outside decides how often the disk is written."""

Letter = tuple[str, bytes, str]
"""Topic, payload, why it was passed over."""


class ForeignLetters:
    """Writes them in a thread of its own: the caller never waits for a disk.

    Args:
        folder: the device's state folder.
        take: returns the oldest one that waits, None if there is none.
        clock_ns: wall clock.
    """

    def __init__(
        self,
        folder: Path,
        take: Callable[[], Letter | None],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._letters = DeadLetters(folder / NAME, MAX_BYTES)
        self._take, self._clock_ns = take, clock_ns
        self._thread: threading.Thread | None = None

    @property
    def kept(self) -> int:
        """How many were written since the start."""
        return self._letters.kept

    def keep(self) -> None:
        """Write some of what waits, unless the disk is still busy with the last ones."""
        if self._thread is not None and self._thread.is_alive():
            return
        taken = [letter for _ in range(AT_ONCE) if (letter := self._take()) is not None]
        if not taken:
            return
        self._thread = threading.Thread(
            target=self._write, args=(taken,), name="foreign-letters", daemon=True
        )
        with suppress(RuntimeError):  # no thread left: these are counted only
            self._thread.start()

    def _write(self, taken: list[Letter]) -> None:
        for topic, payload, why in taken:
            self._letters.keep(topic, payload, why, self._clock_ns())
