"""How far a long command is: one line, written over on a terminal; in a file now and then one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

FILE_INTERVAL_S = 30.0
"""A log file gets a line that often."""

WIDTH = 60


class Progress:
    """Shows short lines on stderr; as a context manager it ends the line that stands there.

    Args:
        stream: where to; None: stderr.
        now_s: a clock, passed in by tests.
    """

    def __init__(
        self, stream: TextIO | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._now_s = now_s
        self._next_s = now_s() + FILE_INTERVAL_S
        self._is_open = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_open:
            print(file=self._stream, flush=True)

    def show(self, what: str) -> None:
        """Show what is being done."""
        if self._stream.isatty():
            print(f"\r{what:<{WIDTH}}", end="", file=self._stream, flush=True)
            self._is_open = True
        elif self._now_s() >= self._next_s:
            self._next_s = self._now_s() + FILE_INTERVAL_S
            print(what, file=self._stream, flush=True)
