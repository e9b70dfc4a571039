"""Alerts that came when the outbox was full: counted per camera, reported as one gap later.

See docs/decisions/0005-outbox-limit.md.
"""

from __future__ import annotations

import sqlite3

from edge_app.mqtt.messages import AlertDraft, GapBody

REASON = "outbox_full"


def count_overflow(connection: sqlite3.Connection, alert: AlertDraft) -> None:
    """Add one alert to its camera's count; the first one lends its ids to the later gap."""
    gap = alert.gap
    first = gap.first_number if gap else alert.source_number
    last = gap.last_number if gap else alert.source_number
    connection.execute(
        "INSERT INTO overflow VALUES (?, ?, ?, ?, ?) ON CONFLICT (camera) DO UPDATE SET"
        " first_number = min(coalesce(first_number, excluded.first_number),"
        "  coalesce(excluded.first_number, first_number)),"
        " last_number = max(coalesce(last_number, excluded.last_number),"
        "  coalesce(excluded.last_number, last_number)),"
        " count = count + excluded.count",
        (alert.camera, first, last, gap.count if gap else 1, alert.model_dump_json()),
    )


def overflow_total(connection: sqlite3.Connection) -> int:
    """Return how many alerts are only counted so far."""
    row = connection.execute("SELECT coalesce(sum(count), 0) FROM overflow").fetchone()
    return int(row[0])


def take_overflow(connection: sqlite3.Connection) -> AlertDraft:
    """Remove one camera's count and return it as a gap alert; there must be one."""
    row = connection.execute(
        "SELECT camera, first_number, last_number, count, body FROM overflow LIMIT 1"
    ).fetchone()
    camera, first, last, count, body = row
    connection.execute("DELETE FROM overflow WHERE camera = ?", (camera,))
    template = AlertDraft.model_validate_json(body)
    return AlertDraft(
        site=template.site,
        line=template.line,
        device=template.device,
        camera=camera,
        event="gap",
        alarm_id=f"gap-{template.message_id}",
        message_id=template.message_id,
        clock_synchronised=template.clock_synchronised,
        gap=GapBody(first_number=first, last_number=last, count=count, reason=REASON),
    )
