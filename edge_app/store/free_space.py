"""The last of a disk's space belongs to alerts: history and pictures leave it free."""

from __future__ import annotations

import errno
import os
from pathlib import Path

LEFT_FREE_BYTES = 32 << 20
LEFT_FREE_SHARE = 0.02
"""Of the disk; the smaller of both."""


def check_room(folder: Path, wanted_bytes: int = 0) -> None:
    """Refuse a write that would take the space that is left to alerts.

    A disk that does not say how full it is takes it.

    Args:
        folder: on the disk.
        wanted_bytes: that are about to be written.

    Raises:
        OSError: ENOSPC, as the disk itself would say a little later.
    """
    try:
        found = os.statvfs(folder)
    except OSError:
        return
    left = min(LEFT_FREE_BYTES, LEFT_FREE_SHARE * found.f_blocks * found.f_frsize)
    if found.f_bavail * found.f_frsize - wanted_bytes < left:
        raise OSError(errno.ENOSPC, "the disk is full but for what is left to alerts")
