"""How much memory this process may still take, and what it gives back after its start."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_mb(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Return the memory this process may still allocate, in MB; None where it is unknown."""
    found = []
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) >> 10)
    except (OSError, ValueError):
        pass
    try:
        limit = int((cgroup / "memory.max").read_text())
        found.append((limit - int((cgroup / "memory.current").read_text())) >> 20)
    except (OSError, ValueError):
        pass  # "max": no limit
    return min(found, default=None)


@contextmanager
def no_collections() -> Iterator[None]:
    """Let Python look for no garbage inside: nearly all that a start makes stays.

    Looking through it again and again was a tenth of what importing the application took.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep_for_good() -> None:
    """Leave all that exists now out of every later look for garbage.

    For the moment in which everything is imported and nothing is made yet: modules, their classes
    and functions stay until the end, and are nine of ten objects that a look would go through. What
    is made afterwards, as a model that is switched away from later, is collected as ever.
    """
    gc.freeze()


def give_back_freed() -> bool:
    """Give freed memory back to the system: bundle and graphs, once they are loaded.

    glibc keeps what was freed below what is still in use. Takes some milliseconds, in which other
    threads may have to wait for memory: not for a running line.

    Returns:
        False: another C library than glibc, which has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True
