"""Which audit goes on after a restore: the one that is here, or the backup's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.audit.records import Head, heads_in
from edge_app.audit.schema import AUDIT_FILE, held_still
from edge_app.audit.verify import NamedHead, verify
from edge_app.backup.archive import Archive
from edge_app.backup.contents import STATE, Item
from edge_app.errors import AuditError


@dataclass(frozen=True, slots=True)
class ComparedAudits:
    """Both audits' heads.

    Attributes:
        present, backup: HASH:COUNT; "" where there is none that can be read.
        goes_on: the one that is here holds all that the backup's does: it stays.
    """

    present: str
    backup: str
    goes_on: bool


def compared_audits(archive: Archive, state_dir: Path) -> ComparedAudits:
    """Compare the audit of this machine with a backup's. A record is never lost: one that does not
    stay is kept beside the other."""
    path = state_dir / AUDIT_FILE
    with held_still(path):
        pass  # what a kill cut off is undone
    present, backup = head_of(path), _head_in(archive)
    goes_on = False
    if present and backup:
        (kept,) = heads_in(backup)
        found = verify(path, [NamedHead(kept, "the backup")])
        goes_on = not any("the backup" in finding for finding in found.findings)
    return ComparedAudits(present, backup, goes_on)


@contextmanager
def copied_audit(items: list[Item]) -> Iterator[list[Item]]:
    """Yield a backup's files with a copy of the audit in its place: it may grow meanwhile.

    Raises:
        AuditError: it is written without a pause.
        OSError: there is no room for the copy.
    """
    with tempfile.TemporaryDirectory(prefix="cropliq-backup-") as folder:
        copy = Path(folder) / AUDIT_FILE
        still = list(items)
        for at, item in enumerate(items):
            if item.name == f"{STATE}/{AUDIT_FILE}":
                with held_still(item.source):
                    shutil.copyfile(item.source, copy)
                shutil.copymode(item.source, copy)
                still[at] = replace(item, source=copy)
        yield still


def _head_in(archive: Archive) -> str:
    for entry in archive.listing.files:
        if entry.name == f"{STATE}/{AUDIT_FILE}":
            with tempfile.TemporaryDirectory(prefix="cropliq-restore-") as folder:
                (Path(folder) / AUDIT_FILE).write_bytes(archive.read(entry))
                return head_of(Path(folder) / AUDIT_FILE)
    return ""


def head_of(path: Path) -> str:
    """Return an audit's head, HASH:COUNT; "" where there is none that can be read."""
    try:
        head = verify(path).head
    except AuditError:
        return ""
    return str(head) if head != Head() else ""
