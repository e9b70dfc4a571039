"""Audits for tests: written by the real writer, changed as a forger would."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record
from edge_app.audit.records import AuditEntry, Head, canonical, hash_of
from edge_app.audit.schema import AUDIT_FILE

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


@dataclass(frozen=True, slots=True)
class Change:
    """A record of another model; `old` and `new` are product and serial, "" for none."""

    event: str
    kind: str
    name: str
    role: str
    via: str
    old: str
    new: str
    why: str


def changes_of(state_dir: Path, wait_s: float = 5.0, count: int = 1) -> list[Change]:
    """Return an audit's records of changed models, once there are so many."""
    until_s = time.monotonic() + wait_s
    while True:
        found = [_change(r) for r in _all(state_dir) if r["event"] in ("product", "model")]
        if len(found) >= count or time.monotonic() > until_s:
            return found
        time.sleep(0.05)


def _all(state_dir: Path) -> list[dict[str, Any]]:
    return list(every_record(state_dir / AUDIT_FILE))


def _change(record: dict[str, Any]) -> Change:
    who, names = record["author"], [record["old"], record["new"]]
    old, new = (f"{m['product']} {m['serial']}" if m else "" for m in names)
    return Change(
        record["event"], who["kind"], who["name"], who["role"], record["via"], old, new,
        record["why"],
    )  # fmt: skip


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
