"""How much memory this process may still take."""

from __future__ import annotations

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
