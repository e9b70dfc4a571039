"""Audits for tests: written by the real writer, changed as a forger would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_app.audit.log import AuditLog
from edge_app.audit.records import AuditEntry, Head, canonical, hash_of

ORDER = "01930000-0000-7000-8000-{:012x}"


def entry(number: int = 1, event: str = "user_added", **changes: Any) -> AuditEntry:
    """Return an entry with an order id of its own."""
    given = {"new": f"user {number}", "why": "hired", "order_id": ORDER.format(number), **changes}
    return AuditEntry(event, "person", "anna", "engineer", **given)


def write_audit(path: Path, count: int) -> Head:
    """Write so many records, the first one the audit's own; return the head."""
    log = AuditLog(path)
    for number in range(1, count):
        log.record(entry(number))
    log.close()
    return log.health().head


def rows(path: Path) -> list[tuple[int, bytes, str]]:
    """Return the file's rows."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT seq, body, hash FROM records ORDER BY seq").fetchall()


def execute(path: Path, statement: str, *values: Any) -> None:
    """Change the file behind the writer's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def rebuild(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Make the whole chain anew, with every record changed by `change`."""
    head = Head()
    for seq, body, _ in rows(path):
        record = json.loads(body)
        change(record)
        record["previous"] = head.hash
        made = canonical(record)
        head = Head(hash_of(made), seq)
        execute(path, "UPDATE records SET body = ?, hash = ? WHERE seq = ?", made, head.hash, seq)
