"""The machine's two clocks: the wall clock, which is set, and the monotonic one, which is not.

Deadlines, differences and speeds use the monotonic clock only; the wall clock is for people.
Whether a time source sets it is read from the kernel, without a subprocess.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

STA_UNSYNC = 0x0040
"""Status bit of adjtimex(2), <linux/timex.h>: chrony, timesyncd and ntpd clear it."""

TIME_ERROR = 5
"""Return value of adjtimex(2) when the clock is not synchronised."""


class _Timex(ctypes.Structure):
    """The head of `struct timex`; the tail is space for what the kernel writes after it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("tail", ctypes.c_byte * 512),
    )


def clock_is_synchronised() -> bool | None:
    """Tell whether the kernel's clock follows a time source; None if unknown.

    Takes microseconds and needs no privileges (modes = 0 only reads). It is what `timedatectl`
    shows as "System clock synchronized", whichever service does it."""
    if not sys.platform.startswith("linux"):
        return None
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if answer < 0:
        return None
    return answer != TIME_ERROR and not timex.status & STA_UNSYNC


def wall_at_ns(
    monotonic_ns: int,
    wall_ns: Callable[[], int] = time.time_ns,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> int:
    """Return the wall-clock time, by its current setting, of a moment of the monotonic clock.

    Returns:
        ns since the epoch, UTC. A moment before a clock was corrected gets its corrected time.
    """
    return wall_ns() - (now_ns() - monotonic_ns)


class SteadyWall:
    """Unix seconds that start at the wall clock's and then follow the monotonic clock.

    For schedules that are written in Unix time and must not jump when the clock is set.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._offset_s = wall_s() - monotonic_s()

    def __call__(self) -> float:
        """Return the seconds now."""
        return self._monotonic_s() + self._offset_s

    def monotonic_ns(self, at_s: float) -> int:
        """Return one of these times on the monotonic clock."""
        return round((at_s - self._offset_s) * 1e9)
