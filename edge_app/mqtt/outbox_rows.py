"""The outbox' rows: written with a check of their bytes, and put aside where that fails.

The check is in a side table because release 0.1.0 inserts into `alerts` by position; rows that it
wrote have none and are checked by what they say.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from edge_app.mqtt.part_messages import AlertDraft
from edge_app.records import JsonObject
from edge_app.store.row_check import row_check, state_of

MAX_SEQ = 2**63 - 1
"""SQLite's largest integer: no number lies above it."""

_SELECT = (
    "SELECT seq, CAST(session AS INTEGER), CAST(camera AS BLOB), CAST(body AS BLOB),"
    " CAST(bytes AS BLOB), CAST(extra AS BLOB)"
    " FROM alerts LEFT JOIN row_checks USING (seq) WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?"
)
"""Texts as bytes: SQLite's driver refuses a whole query over one text that is no UTF-8."""


NUMBERING: JsonObject = {
    "store_id": None, "skipped_from": None, "is_from_memory": False, "told_as": None
}  # fmt: skip
"""What every alert says about its number."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert waiting for the broker.

    Attributes:
        seq: its place in the order, and what it is deleted by; for a stored alert its number.
        session: the session that stored it.
        body: the AlertDraft as JSON.
        numbering: fields of the message that say how it is numbered.
    """

    seq: int
    session: int
    camera: str
    body: str
    numbering: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read, whatever its bytes have become."""

    seq: int
    session: object
    camera: bytes
    body: bytes
    check: object
    extra: bytes

    def fault(self) -> str | None:
        """Return why the row is no alert, None if it is one."""
        if not isinstance(self.session, int):
            return "its session is no number"
        state = state_of(self.check, self.seq, *self._parts())
        if state == "damaged":
            return "its bytes have changed since it was stored"
        return self._odd() if state == "unchecked" else None

    @property
    def is_whole(self) -> bool:
        """There is a check, and it agrees."""
        return state_of(self.check, self.seq, *self._parts()) == "whole"

    def alert(self, store_id: str) -> StoredAlert:
        """Return the alert of a row without a fault."""
        numbering = NUMBERING | {"store_id": store_id}
        if self.extra:
            numbering |= json.loads(self.extra)
        assert isinstance(self.session, int)
        return StoredAlert(
            self.seq, self.session, self.camera.decode(), self.body.decode(), numbering
        )

    def _parts(self) -> tuple[bytes, ...]:
        return str(self.session).encode(), self.camera, self.body, self.extra

    def _odd(self) -> str | None:
        """Judge a row without a check by what it says."""
        try:
            draft = AlertDraft.model_validate_json(self.body)
            json.loads(self.body)
            numbering = json.loads(self.extra or b"{}")
        except (ValidationError, ValueError, RecursionError, MemoryError):
            return "it is no alert, and has no check"
        if not isinstance(numbering, dict):
            return "its numbering is none, and it has no check"
        if draft.camera.encode() != self.camera:
            return "its camera is not the one that it names, and it has no check"
        return None


def insert_row(
    connection: sqlite3.Connection, seq: int, session: int, draft: AlertDraft, extra: JsonObject
) -> None:
    """Store an alert and its check."""
    body = draft.model_dump_json()
    connection.execute("INSERT INTO alerts VALUES (?, ?, ?, ?)", (seq, session, draft.camera, body))
    _set_check(connection, seq, session, draft.camera, body, json.dumps(extra) if extra else "")


def restore_row(connection: sqlite3.Connection, row: Row) -> None:
    """Put a whole row, with its check, where a damaged one is or none."""
    session, camera, body = row.session, row.camera.decode(), row.body.decode()
    values = (row.seq, session, camera, body)
    connection.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)", values)
    check = (row.seq, row.check, row.extra.decode())
    connection.execute("INSERT OR REPLACE INTO row_checks VALUES (?, ?, ?)", check)


def replace_body(connection: sqlite3.Connection, seq: int, change: JsonObject) -> bool:
    """Put fields into a stored alert; False if it is not there or is damaged."""
    for row in read_rows(connection, seq - 1, seq + 1, 1):
        if row.fault() is not None:
            return False
        body = json.dumps(json.loads(row.body) | change, ensure_ascii=False, separators=(",", ":"))
        connection.execute("UPDATE alerts SET body = ? WHERE seq = ?", (body, seq))
        alert = row.alert("")
        extra = row.extra.decode()
        _set_check(connection, seq, alert.session, alert.camera, body, extra)
        return True
    return False


def read_rows(connection: sqlite3.Connection, after: int, before: int, count: int) -> Iterator[Row]:
    """Return up to `count` rows between two numbers, in order."""
    for seq, session, camera, body, check, extra in connection.execute(
        _SELECT, (after, before, count)
    ):
        yield Row(seq, session, camera or b"", body or b"", check, extra or b"")


def delete_rows(connection: sqlite3.Connection, seqs: Sequence[int]) -> int:
    """Forget rows and what belongs to them; return how many there were."""
    keys = [(seq,) for seq in seqs]
    connection.executemany("DELETE FROM pending_evidence WHERE seq = ?", keys)
    connection.executemany("DELETE FROM row_checks WHERE seq = ?", keys)
    return connection.executemany("DELETE FROM alerts WHERE seq = ?", keys).rowcount


def put_aside(connection: sqlite3.Connection, row: Row, why: str) -> None:
    """Move a row out of the way, with all its bytes and the reason."""
    values = (row.seq, str(row.session), row.camera, row.body, row.check, row.extra, why)
    connection.execute(
        "INSERT INTO dead_letters (seq, session, camera, body, bytes, extra, why)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    delete_rows(connection, [row.seq])


def _set_check(
    connection: sqlite3.Connection, seq: int, session: int, camera: str, body: str, extra: str
) -> None:
    parts = (str(session).encode(), camera.encode(), body.encode(), extra.encode())
    connection.execute(
        "INSERT OR REPLACE INTO row_checks VALUES (?, ?, ?)", (seq, row_check(seq, *parts), extra)
    )
