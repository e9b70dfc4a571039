"""Files that root writes for the service get the service's owner, so that it can change them; what
others may read, such as evidence, gets the group of those who may."""

from __future__ import annotations

import grp
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

READERS = "cropliq-edge-read"
"""Group of the accounts that read evidence and write nothing, as install.sh makes it."""


def give_to_owner(path: Path) -> None:
    """Give a new file or folder the owner of its parent folder; only root can.

    People run commands such as `edge-app engine build` with sudo, because the state folder belongs
    to the service. Of a symbolic link the owner changes, never that of its target.
    """
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if missing; see `give_to_owner`."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    give_to_owner(folder)


def share_with_readers(path: Path, group: str = READERS) -> None:
    """Let a group read a file or folder of ours; where it is not there, or not ours, do nothing.

    A picture that the page may not read costs the page that picture and nobody else anything.
    """
    gid = _gid_of(group)
    if gid is None:
        return
    with suppress(OSError):
        status = path.lstat()
        mode = 0o750 if path.is_dir() else 0o640
        if (status.st_gid, status.st_mode & 0o777) != (gid, mode):
            os.chown(path, -1, gid, follow_symlinks=False)
            path.chmod(mode)


@cache
def _gid_of(group: str) -> int | None:
    """Return a group's number; looked up once: a directory service may take long to answer."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
