"""Whether a date may end something for good: only by a clock that is right.

Three things end with a date: a certificate, a signature or key of a bundle, an operator's command.
None of them is used after its date; what a clock that may be wrong decides is only not final.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone

from edge_app.host.age_clock import HOLD_S, JUMP_S
from edge_app.host.clock import clock_is_synchronised

UNSYNCHRONISED = "no time source has set this clock"
JUMPED = "this clock was set by more than a minute within the last hour"
UNKNOWN = "whether a time source sets this clock is not known here"


class DateClock:
    """The wall clock, and whether what it says of a date is final. Thread-safe.

    Args:
        wall_s: seconds since the epoch.
        steady_s: monotonic seconds.
        is_synchronised: None if that is unknown.
        hold_s: how long after a jump nothing is final. A start is no jump: an expired bundle is
            refused at once by a device that was just switched on and follows its time source.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
        is_synchronised: Callable[[], bool | None] = clock_is_synchronised,
        hold_s: float = HOLD_S,
    ) -> None:
        self._wall_s, self._steady_s = wall_s, steady_s
        self._is_synchronised = is_synchronised
        self._hold_s = hold_s
        self._offset_s = wall_s() - steady_s()
        self._jumped_s = float("-inf")
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the wall clock's time, UTC."""
        return datetime.fromtimestamp(self._wall_s(), tz=timezone.utc)

    def look(self) -> None:
        """Notice a jump; called at least once a minute, it counts from when it was."""
        with self._lock:
            steady_s = self._steady_s()
            offset_s = self._wall_s() - steady_s
            if abs(offset_s - self._offset_s) > JUMP_S:
                self._jumped_s = steady_s
            self._offset_s = offset_s

    def is_right(self) -> bool | None:
        """Tell whether a date decides for good; None: the kernel does not say."""
        doubt = self.doubt()
        return None if doubt == UNKNOWN else not doubt

    def doubt(self) -> str:
        """Return why a date decides nothing for good at present, for people; "" where it does."""
        self.look()
        is_synchronised = self._is_synchronised()
        if is_synchronised is False:
            return UNSYNCHRONISED
        if self._steady_s() - self._jumped_s < self._hold_s:
            return JUMPED
        return UNKNOWN if is_synchronised is None else ""
