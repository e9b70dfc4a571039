"""Alerts that the outbox has lost, found again in its raw pages: only rows whose check agrees."""

from __future__ import annotations

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_app.mqtt.outbox_rows import Row, restore_row
from edge_app.store.page_scan import Record, scan
from edge_app.store.row_check import CHECK_BYTES

_log = logging.getLogger("edge_app.mqtt.outbox")


@dataclass(frozen=True, slots=True)
class Found:
    """Whole rows by number."""

    rows: dict[int, Row]

    def restore(self, connection: sqlite3.Connection, wanted: Iterable[int]) -> int:
        """Store those of the wanted rows that were found; return how many."""
        restored = 0
        for seq in wanted:
            row = self.rows.get(seq)
            if row is not None:
                restore_row(connection, row)
                restored += 1
        if restored:
            _log.warning("%d stored alerts were found again in the damaged file", restored)
        return restored


def look_for_rows(database: Path, log: Path) -> Found:
    """Read the raw files; finds nothing where they cannot be read.

    Best before SQLite opens them: it drops a damaged log.
    """
    try:
        return Found(_whole(scan(database, log)))
    except (OSError, MemoryError) as error:
        _log.warning("the raw pages of the outbox cannot be read: %s", error)
        return Found({})


def _whole(records: Iterable[Record]) -> dict[int, Row]:
    """Return the newest version of each row for which a check was found that agrees.

    A page is in the log once for each transaction: equal versions are looked at once.
    """
    alerts: dict[int, dict[tuple[int, bytes, bytes], None]] = defaultdict(dict)
    checks: dict[int, dict[tuple[bytes, bytes], None]] = defaultdict(dict)
    for seq, values in records:
        if len(values) == 4 and isinstance(values[1], int):
            camera, body = values[2], values[3]
            if isinstance(camera, bytes) and isinstance(body, bytes):
                alerts[seq].setdefault((values[1], camera, body))
        elif len(values) == 3:
            check, extra = values[1], values[2]
            if isinstance(check, bytes) and len(check) == CHECK_BYTES and isinstance(extra, bytes):
                checks[seq].setdefault((check, extra))
    found: dict[int, Row] = {}
    for seq, versions in alerts.items():
        rows = (Row(seq, *row, *check) for row in versions for check in checks.get(seq, ()))
        whole = [row for row in rows if row.is_whole]
        if whole:
            found[seq] = whole[-1]
    return found
