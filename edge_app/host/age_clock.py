"""Whether things may be deleted because they are old: only by a clock that has proved itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_app.host.clock import clock_is_synchronised

HOLD_S = 3600.0
"""So long a clock must have followed its time source without a jump. A wrong time source or a clock
that is set by hand is corrected within minutes; what is deleted stays deleted."""

JUMP_S = 60.0
"""Between two looks: a time source that slews changes the clock by 0.5 ms a second."""

EPOCH_S = 1_704_067_200.0
"""2024-01-01: before this product. An earlier time stamp comes from a clock that was not set."""


class AgeClock:
    """The wall clock for time stamps, a steady one for ages, and whether the former can be trusted.

    Args:
        wall_s: seconds since the epoch.
        steady_s: monotonic seconds.
        is_synchronised: None if that is unknown, which counts as yes.
        hold_s: how long after the start or a jump nothing expires.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
        is_synchronised: Callable[[], bool | None] = clock_is_synchronised,
        hold_s: float = HOLD_S,
    ) -> None:
        self.wall_s = wall_s
        self.steady_s = steady_s
        self.is_synchronised = is_synchronised
        self._hold_s = hold_s
        self._offset_s = wall_s() - steady_s()
        self._steady_since_s = steady_s()

    def may_expire(self) -> bool:
        """Return whether ages by the wall clock hold now; call it at least once a minute."""
        now_s = self.steady_s()
        offset_s = self.wall_s() - now_s
        has_jumped = abs(offset_s - self._offset_s) > JUMP_S
        self._offset_s = offset_s
        if has_jumped or self.is_synchronised() is False:
            self._steady_since_s = now_s
            return False
        return now_s - self._steady_since_s >= self._hold_s
