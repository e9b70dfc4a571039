"""One process at a time in a folder of results: a lock that ends with its process, however it ends.

`flock` on a file in the folder. The file stays; it says who locked it last.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
import weakref
from pathlib import Path
from typing import TextIO

from edge_app.errors import DataError

LOCK_FILE = "lock"

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_log = logging.getLogger(__name__)
_held: weakref.WeakValueDictionary[tuple[int, int], FolderLock] = weakref.WeakValueDictionary()
"""What this process holds, by device and inode: whoever asks again shares it."""


class FolderLock:
    """Held from its making until nobody refers to it, or the process ends.

    Get one with `lock_folder`.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        weakref.finalize(self, file.close)


def lock_folder(folder: Path) -> FolderLock | None:
    """Lock a folder, which is made if missing, and keep others out while the result is kept.

    Returns:
        The lock; None on a file system that has no locks.

    Raises:
        DataError: another process holds it; says which, and since when.
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK_FILE).open("a+", encoding="utf-8")
    found = os.fstat(file.fileno())
    own = _held.get((found.st_dev, found.st_ino))
    if own is not None:
        file.close()
        return own
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(file)
        file.close()
        raise DataError(
            f"{folder} is in use by another build{holder}. Wait until it has ended, stop it, or "
            "name another --out: two builds in one folder would mix their results."
        ) from error
    except OSError as error:
        file.close()
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("%s cannot be locked (%s): start no second build there", folder, error)
        return None
    _write_holder(file)
    lock = FolderLock(file)
    _held[found.st_dev, found.st_ino] = lock
    return lock


def _write_holder(file: TextIO) -> None:
    file.seek(0)
    file.truncate()
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    file.write(json.dumps({"pid": os.getpid(), "since": since}) + "\n")
    file.flush()


def _holder(file: TextIO) -> str:
    """Return ` (process 123, since ...)`, or nothing while the other is still writing it."""
    try:
        file.seek(0)
        told = json.loads(file.read())
        return f" (process {int(told['pid'])}, since {str(told['since'])[:19]})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""
