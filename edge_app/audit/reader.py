"""Reads the audit: pages for people, all of it for an export. Short transactions, no changes."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_app.audit.records import AuditRecord, Head
from edge_app.audit.schema import open_for_reading
from edge_app.errors import AuditError

_log = logging.getLogger(__name__)


def every_record(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every record of an audit with its hash, the oldest first.

    Raises:
        AuditError: there is none, or it cannot be read.
    """
    with closing(open_for_reading(path)) as connection:
        yield from _records(connection, 0)


def records_since(path: Path, head: Head) -> list[dict[str, Any]]:
    """Return the records behind a head of this chain; none where the chain is another one, or
    cannot be read."""
    if not path.is_file():
        return []
    try:
        with closing(open_for_reading(path)) as connection:
            row = connection.execute(
                "SELECT hash FROM records WHERE seq = ?", (head.count,)
            ).fetchone()
            if head.count and (row is None or row[0] != head.hash):
                return []
            return list(_records(connection, head.count))
    except (AuditError, sqlite3.Error) as error:
        _log.warning("the audit is not asked for what it holds: %s", error)
        return []


def is_of_chain(path: Path, head: Head) -> bool:
    """Tell whether a head is one of this chain's records; so is one without any."""
    if not head.count or not path.is_file():
        return not head.count
    try:
        with closing(open_for_reading(path)) as connection:
            query = "SELECT 1 FROM records WHERE seq = ? AND hash = ?"
            return connection.execute(query, (head.count, head.hash)).fetchone() is not None
    except (AuditError, sqlite3.Error):
        return True  # nothing can be said; `records_since` says why


def remembered(path: Path, name: str) -> str:
    """Return what `AuditLog.remember` was given last; "" if nothing, or if it cannot be read."""
    if not path.is_file():
        return ""
    try:
        with closing(open_for_reading(path)) as connection:
            found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,))
            row = found.fetchone()
    except (AuditError, sqlite3.Error):
        return ""
    return str(row[0]) if row else ""


def latest(path: Path, count: int, before: int | None = None, event: str = "") -> list[Any]:
    """Return a page of records with their hashes, the newest first.

    Args:
        before: only those with a smaller number: the cursor.
        event: only of that kind; "" for all.

    Raises:
        AuditError: there is none, or it cannot be read.
    """
    found: list[Any] = []
    query = "SELECT body, hash FROM records WHERE seq < ? ORDER BY seq DESC"
    with closing(open_for_reading(path)) as connection:
        try:
            for body, digest in connection.execute(query, (before or 2**62,)):
                record = _shown(body, digest)
                if event in ("", record["event"]):
                    found.append(record)
                if len(found) >= count:
                    break
        except sqlite3.DatabaseError as error:
            raise AuditError(f"the audit is damaged: {error}; `edge-app audit verify`") from error
    return found


def _records(connection: sqlite3.Connection, after: int) -> Iterator[dict[str, Any]]:
    try:
        rows = connection.execute(
            "SELECT body, hash FROM records WHERE seq > ? ORDER BY seq", (after,)
        )
        for body, digest in rows:
            yield _shown(body, digest)
    except sqlite3.DatabaseError as error:
        raise AuditError(f"the audit is damaged: {error}; `edge-app audit verify`") from error


def _shown(body: Any, digest: Any) -> dict[str, Any]:
    try:
        record = AuditRecord.model_validate_json(body)
        json_value: dict[str, Any] = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise AuditError(
            "a record of the audit cannot be read; `edge-app audit verify` says which"
        ) from error
    return {**json_value, "event": record.event, "hash": str(digest)}
