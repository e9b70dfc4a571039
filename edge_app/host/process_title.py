"""What other users of the machine see of this process's command line."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path

_STAT = Path("/proc/self/stat")
_ARG_START, _ARG_END = 48, 49
"""Fields of proc(5) /proc/PID/stat, from 1: where the kernel reads /proc/PID/cmdline."""


def hide_arguments(words: Sequence[str]) -> None:
    """Overwrite arguments with `x` where `ps` and /proc show them; elsewhere than Linux nothing.

    From the start of the process to here they were visible: a configuration is the better place.
    """
    if not words or not sys.platform.startswith("linux"):
        return
    try:
        behind_name = _STAT.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        start, end = (int(behind_name[field - 3]) for field in (_ARG_START, _ARG_END))
    except (OSError, ValueError, IndexError):
        return
    if not 0 < start < end:
        return
    line = ctypes.string_at(start, end - start)
    for word in words:
        raw = word.encode("utf-8", "surrogateescape")
        at = line.find(raw)
        while raw and at >= 0:
            ctypes.memset(start + at, ord("x"), len(raw))
            at = line.find(raw, at + 1)
