"""One process at a time carries a roll-out out: a lock that ends with its process.

`flock` on FILE.lock beside the state file, which itself is replaced with every change. The lock's
file stays.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import ConfigError

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def hold(state_file: Path) -> Iterator[None]:
    """Keep other processes from carrying out the roll-out of this file.

    A file system without locks keeps nobody out.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written.
    """
    path = state_file.with_name(f"{state_file.name}.lock")
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Roll-out state {state_file} cannot be locked: {error.strerror}. Name a file in a "
            "folder that can be written with --state."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            pid = file.read(20).strip()
            who = f"process {pid}" if pid.isdecimal() else "another process"
            raise ConfigError(
                f"the roll-out of {state_file} is being carried out by {who} on this computer. "
                "Watch it there or with edge-deploy status; to end it, stop that process (Ctrl-C) "
                "and then use --abort. Another roll-out needs another --state."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
