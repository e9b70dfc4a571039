"""Log lines that cannot flood: one per cause and minute, with a count of those left out."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

PERIOD_S = 60.0
"""At most one line per cause in this time: the journal's own limit (10,000 lines in 30 s, systemd's
default) would drop other services' lines too."""
MAX_CAUSES = 64
"""Causes remembered; beyond these the one that was longest silent is forgotten."""


@dataclass(slots=True)
class _Cause:
    said_at_s: float
    left_out: int = 0


class LimitedLog:
    """A logger with a limit per cause.

    Args:
        log: where the lines go.
        now_s: monotonic clock.
    """

    def __init__(self, log: logging.Logger, now_s: Callable[[], float]) -> None:
        self._log, self._now_s = log, now_s
        self._causes: OrderedDict[str, _Cause] = OrderedDict()
        self._lock = threading.Lock()

    def warning(self, cause: str, text: str) -> bool:
        """Log at WARNING; return False if the line was only counted."""
        return self.line(logging.WARNING, cause, text)

    def line(self, level: int, cause: str, text: str) -> bool:
        """Log one line, or count it (and log it at DEBUG) if its cause had one a moment ago."""
        left_out = self._take(cause)
        if left_out is None:
            self._log.debug("%s", text)
            return False
        more = f" ({left_out} more like this since the last line)" if left_out else ""
        self._log.log(level, "%s%s", text, more, extra={"cause": cause})
        return True

    def _take(self, cause: str) -> int | None:
        now_s = self._now_s()
        with self._lock:
            known = self._causes.get(cause)
            if known is not None and now_s - known.said_at_s < PERIOD_S:
                known.left_out += 1
                return None
            self._causes[cause] = _Cause(now_s)
            self._causes.move_to_end(cause)
            if len(self._causes) > MAX_CAUSES:
                self._causes.popitem(last=False)
            return known.left_out if known is not None else 0
