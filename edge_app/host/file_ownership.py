"""Files that root writes for the service get the service's owner, so that it can change them."""

from __future__ import annotations

import os
from pathlib import Path


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
