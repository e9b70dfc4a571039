"""Whether results can be written where a person wants them, found out before the work."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edge_app.errors import DataError

NEEDED_MB = 300
"""Free on the disk of --out; less leaves no room for crops, checkpoints and the bundle."""


def check_out_folder(folder: Path) -> None:
    """Refuse a folder for results that cannot be written.

    Raises:
        DataError: it is a file, its disk is nearly full, or it cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out {folder} is a file. Expected a folder, or a name that is free.")
    wrong = why_not_writable(folder)
    if wrong:
        raise DataError(wrong)


def why_not_writable(folder: Path) -> str:
    """Return why nothing can be written to a folder, which need not be there yet; "" if it can."""
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            free_mb = shutil.disk_usage(nearest).free >> 20
    except OSError as error:
        return f"--out: nothing can be written to {nearest}: {error.strerror or error}."
    if free_mb < NEEDED_MB:
        return (
            f"--out: {free_mb} MB are free where {nearest} lies, at least {NEEDED_MB} MB are "
            "needed. Make room, or name another disk."
        )
    return ""
