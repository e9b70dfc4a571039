"""A note that `edge-app restore` leaves for the audit: which head was there, and which came."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_app.audit.records import AuditEntry
from edge_app.errors import OutputError
from edge_app.host.small_file import read_small
from edge_app.mqtt.timestamps import UUID7_PATTERN
from edge_app.store.durable_write import perform, write_durably

_log = logging.getLogger(__name__)

NOTE_FILE = "audit-restored.json"
"""Its name in the state folder."""

MAX_BYTES = 64 << 10


class RestoredNote(BaseModel):
    """What a restore did.

    Attributes:
        note_id: UUID version 7; one note is recorded once.
        old_head: HASH:COUNT of the audit that was here; "" if there was none.
        new_head: of the backup's audit; "" if it had none.
        kept: where the audit that was here lies now; "" if it is the one that goes on.
        history: what became of the history of parts: new, replaced, kept, left out; "" where the
            backup has none.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    note_id: str = Field(pattern=UUID7_PATTERN)
    by: str = Field(min_length=1, max_length=64)
    device: str = Field(max_length=400)
    made_at: str = Field(max_length=100)
    old_head: str = Field(max_length=100)
    new_head: str = Field(max_length=100)
    kept: str = Field(max_length=255)
    history: str = Field("", max_length=20)


def leave_note(state_dir: Path, note: RestoredNote) -> None:
    """Leave the note; the next start records it.

    Raises:
        OutputError: it cannot be written.
    """
    path = state_dir / NOTE_FILE
    try:
        write_durably(perform, path, note.model_dump_json(indent=1).encode(), is_private=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def take_restored(state_dir: Path) -> list[AuditEntry]:
    """Return the note as an entry; its id makes sure that it is recorded once."""
    try:
        data = read_small(state_dir / NOTE_FILE, MAX_BYTES)
    except OSError:
        return []
    note = note_in(data)
    if note is None:
        return []
    new = note.model_dump(mode="json", exclude={"note_id", "by", "old_head"})
    return [
        AuditEntry(
            "restore",
            "root",
            note.by,
            old=note.old_head,
            new=new,
            why="edge-app restore",
            via="console",
            order_id=note.note_id,
        )
    ]


def note_in(data: bytes) -> RestoredNote | None:
    """Return a file's note; None, said in the log, if it is damaged."""
    try:
        return RestoredNote.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        _log.error("the note about a restore is damaged, it is not in the audit: %s", error)
        return None
