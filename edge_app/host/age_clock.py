"""Whether things may be deleted because they are old: only by a clock that has proved itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.host.clock import clock_is_synchronised

HOLD_S = 3600.0
"""So long a clock must have followed its time source without a jump. A wrong time source or a clock
that is set by hand is corrected within minutes; what is deleted stays deleted."""

JUMP_S = 60.0
"""Between two looks: a time source that slews changes the clock by 0.5 ms a second."""

EPOCH_S = 1_704_067_200.0
"""2024-01-01: before this product. An earlier time stamp comes from a clock that was not set."""


@dataclass(frozen=True, slots=True)
class ClockRecord:
    """What is kept of a clock that has proved itself, for the next start of the service.

    Attributes:
        boot: the id of this start of the machine: the steady clock begins anew with the next.
        offset_s: wall clock - steady clock.
        steady_since_s: steady clock; since then it has followed its time source without a jump.
    """

    boot: str
    offset_s: float
    steady_since_s: float


class AgeClock:
    """The wall clock for time stamps, a steady one for ages, and whether the former can be trusted.

    Args:
        wall_s: seconds since the epoch.
        steady_s: monotonic seconds.
        is_synchronised: None if that is unknown, which counts as yes.
        hold_s: how long after the start or a jump nothing expires.
        boot: of this start of the machine; "" if unknown.
        known: what was kept by an earlier start of the service; the hold goes on if it is of the
            same start of the machine and the clock has not been set since.
        keep: called with what is to be kept, seldom.

    Attributes:
        jumps: how often it was set by more than a minute since this object was made.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
        is_synchronised: Callable[[], bool | None] = clock_is_synchronised,
        hold_s: float = HOLD_S,
        boot: str = "",
        known: ClockRecord | None = None,
        keep: Callable[[ClockRecord], None] = lambda _: None,
    ) -> None:
        self.wall_s = wall_s
        self.steady_s = steady_s
        self.is_synchronised = is_synchronised
        self._hold_s = hold_s
        self._offset_s = wall_s() - steady_s()
        self._steady_since_s = steady_s()
        self._boot, self._keep = boot, keep
        self._lock = threading.Lock()
        self.jumps = 0
        if known is not None and known.boot == boot != "" and self._goes_on(known):
            self._steady_since_s = known.steady_since_s
        self._kept: ClockRecord | None = None

    def _goes_on(self, known: ClockRecord) -> bool:
        is_set = abs(known.offset_s - self._offset_s) > JUMP_S
        is_sane = 0 <= known.steady_since_s <= self._steady_since_s
        return is_sane and not is_set and self.is_synchronised() is not False

    def may_expire(self) -> bool:
        """Return whether ages by the wall clock hold now; call it at least once a minute."""
        with self._lock:
            now_s = self.steady_s()
            offset_s = self.wall_s() - now_s
            has_jumped = abs(offset_s - self._offset_s) > JUMP_S
            self._offset_s = offset_s
            self.jumps += has_jumped
            if has_jumped or self.is_synchronised() is False:
                self._steady_since_s = now_s
                return False
            record = ClockRecord(self._boot, offset_s, self._steady_since_s)
            if self._kept is None or self._is_news(record, self._kept):
                self._kept = record
                self._keep(record)
            return now_s - self._steady_since_s >= self._hold_s

    @staticmethod
    def _is_news(record: ClockRecord, kept: ClockRecord) -> bool:
        drift_s = abs(record.offset_s - kept.offset_s)
        return record.steady_since_s != kept.steady_since_s or drift_s > JUMP_S / 4
