"""What a page's process that no unit limits may use: it is attacked first and gives way first."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

MAX_DESCRIPTORS = 512
"""256 connections, a burst that is accepted at once, and what the process itself has open."""

MAX_DATA_BYTES = 1 << 30
"""Private memory; a picture of 20 megapixels is drawn with about 300 MB."""

NICE = 5
OOM_SCORE = 500
"""First to be killed when the machine's memory is short; inspection starts it again."""

_PR_SET_PDEATHSIG = 1


def limit_child() -> None:
    """Limit this process, and have the kernel end it with its parent; for a child of inspection."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _lower(resource.RLIMIT_NOFILE, MAX_DESCRIPTORS)
    _lower(resource.RLIMIT_DATA, MAX_DATA_BYTES)
    _lower(resource.RLIMIT_CORE, 0)
    os.nice(NICE)
    with suppress(OSError):  # no /proc
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def _lower(what: int, most: int) -> None:
    """Set a limit, soft and hard, unless it is lower already."""
    _, hard = resource.getrlimit(what)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, least))
