"""Is this machine's clock set by a time source? Asked of the kernel, without a subprocess."""

from __future__ import annotations

import ctypes
import sys

STA_UNSYNC = 0x0040
"""Status bit of adjtimex(2), <linux/timex.h>: chrony, timesyncd and ntpd clear it."""

TIME_ERROR = 5
"""Return value of adjtimex(2) when the clock is not synchronised."""


class _Timex(ctypes.Structure):
    """The head of `struct timex`; the tail is room for what the kernel writes behind it."""

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
    """Tell whether the kernel's clock follows a time source; None where it cannot be asked.

    Takes microseconds and needs no rights (modes = 0 only reads). It is what `timedatectl` shows
    as "System clock synchronized", whichever service does it.
    """
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
