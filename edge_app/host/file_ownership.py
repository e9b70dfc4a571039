"""What root writes for the service belongs to the service, or it could never change it again."""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner(path: Path) -> None:
    """Let a new file or folder belong to whom the folder around it belongs; only root can.

    People run commands such as `edge-app engine build` with sudo, because the state folder is the
    service's. A symbolic link is given away itself, never what it points to.
    """
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)


def make_folder(folder: Path) -> None:
    """Make a folder, its parents too, where it is missing; see `give_to_owner`."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    give_to_owner(folder)
