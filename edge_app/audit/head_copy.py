"""The copy of the audit's head beside its file: it finds an end that was lost by accident, and not
one who can write both files."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from edge_app.audit.records import Head, heads_in
from edge_app.host.file_ownership import share_with_readers
from edge_app.host.small_file import read_small

_log = logging.getLogger(__name__)

HEAD_SUFFIX = ".head"
MAX_HEAD_BYTES = 200


def read_head(path: Path) -> Head | None:
    """Return the head that was kept beside an audit; None where there is none to read."""
    try:
        text = read_small(path.with_name(path.name + HEAD_SUFFIX), MAX_HEAD_BYTES)
    except OSError:
        return None
    found = heads_in(text.decode("ascii", "replace"))
    return found[0] if len(found) == 1 else None


def write_head(path: Path, head: Head) -> None:
    """Keep the head beside the file; not synchronised: the records are."""
    target = path.with_name(path.name + HEAD_SUFFIX)
    fresh = target.with_name(f".{target.name}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{head}\n")
        share_with_readers(fresh)
        fresh.replace(target)
    except OSError as error:
        _log.warning("the audit's head has no copy: %s", error)
