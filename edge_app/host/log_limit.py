"""Log lines limited per cause: nobody outside fills the disk with noise, or hides in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

LINES = 4
PERIOD_S = 60.0
"""Of each cause so many lines a minute, then one that counts the rest: under ten in any minute."""

MAX_CAUSES = 200
"""Causes are places in the code; should texts from outside become causes, they share one."""

_OTHERS = ("", 0, "others")


@dataclass(slots=True)
class _Cause:
    began_s: float
    lines: int = 0
    more: int = 0
    last: logging.LogRecord | None = None


class LogLimit(logging.Filter):
    """Lets the first lines of each cause through and counts the rest. Thread-safe.

    A cause is a logger, a level and a message before its values are filled in, or what a line's
    `extra` calls `cause`, where one place in the code says several things. Lines below INFO
    are all written: who asks for them wants them.

    Args:
        emit: writes a line that counts the others; it does not pass through this filter.
        clock_s: monotonic seconds.
        later: has `report` called once, so many seconds later; None: the owner calls it.
    """

    def __init__(
        self,
        emit: Callable[[logging.LogRecord], object],
        clock_s: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], None] | None = None,
    ) -> None:
        super().__init__()
        self._emit, self._clock_s, self._later = emit, clock_s, later
        self._lock = threading.Lock()
        self._causes: dict[tuple[str, int, str], _Cause] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        if record.levelno < logging.INFO:
            return True
        self.report()
        key = (record.name, record.levelno, str(getattr(record, "cause", record.msg)))
        with self._lock:
            if key not in self._causes and len(self._causes) >= MAX_CAUSES:
                key = _OTHERS
            cause = self._causes.setdefault(key, _Cause(self._clock_s()))
            if cause.lines < LINES:
                cause.lines += 1
                return True
            cause.more += 1
            cause.last = record
            is_first = cause.more == 1
        if is_first and self._later is not None:
            self._later(PERIOD_S, self.report)
        return False

    def report(self) -> None:
        """Write the counts of the causes whose minute is over; to be called from time to time."""
        now_s = self._clock_s()
        with self._lock:
            over = [k for k, cause in self._causes.items() if now_s - cause.began_s >= PERIOD_S]
            counted = [self._causes.pop(key) for key in over]
        for cause in counted:
            if cause.last is not None:
                self._emit(_summary(cause.last, cause.more))


def _summary(last: logging.LogRecord, more: int) -> logging.LogRecord:
    text = f"{last.getMessage()} ({more} more like this)"
    return logging.LogRecord(
        last.name, last.levelno, last.pathname, last.lineno, text, None, None, last.funcName
    )


def call_later(wait_s: float, work: Callable[[], None]) -> None:
    """Call something in a thread of its own; without a thread left it is not called."""
    timer = threading.Timer(wait_s, work)
    timer.daemon = True
    with suppress(RuntimeError):
        timer.start()


def limit_handler(handler: logging.Handler) -> LogLimit:
    """Limit what a handler writes; return the limit, for its `report`, which also happens alone."""

    def emit(record: logging.LogRecord) -> None:
        handler.acquire()
        try:
            handler.emit(record)
        finally:
            handler.release()

    limit = LogLimit(emit, later=call_later)
    handler.addFilter(limit)
    return limit
