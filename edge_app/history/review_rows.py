"""What people say of parts, as rows: called inside the writer's transactions only."""

from __future__ import annotations

import json
import sqlite3

from edge_app.history.entries import Acceptance, Decision, ReviewEntry, Settlement

AUDIT_HEAD = "reviews_audit_head"
"""In `meta`: the audit's record up to which its reviews are here, HASH:COUNT."""

TAKEN_OUT, GOOD, GONE = "taken_out", "good", "gone"
"""What becomes of a bad part; `gone`: its time was over, where parts are not kept for a person."""

ACCEPTED, DECLINED = "accepted", "declined"
"""What an engineer says of a mark; without a word of one it is a proposal."""

UNSETTLED = "unsettled"


def enqueue(
    connection: sqlite3.Connection, part: int | None, camera: int, captured_ns: int, now_ns: int
) -> None:
    """Let a finished bad part wait to be taken out."""
    connection.execute(
        "INSERT OR IGNORE INTO take_out VALUES (?, ?, ?, ?, NULL, NULL, '', '')",
        (part, camera, captured_ns, now_ns),
    )


def write_review(connection: sqlite3.Connection, entry: ReviewEntry) -> None:
    """Write what an order said, once; of a part that is no longer there nothing is kept."""
    if entry.settlement is not None:
        _settle(connection, entry.settlement)
    if entry.decision is not None:
        _decide(connection, entry.decision)
    if entry.acceptance is not None:
        _accept(connection, entry.acceptance)
    note_audit_head(connection, entry.audit_head)


def note_audit_head(connection: sqlite3.Connection, head: str) -> None:
    """Remember how far the history has followed the audit."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (AUDIT_HEAD, head),
    )


def audit_head(connection: sqlite3.Connection) -> str:
    """Return how far the history has followed the audit, HASH:COUNT; "" for not at all."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (AUDIT_HEAD,)).fetchone()
    return "" if row is None else str(row[0])


def settle_old(connection: sqlite3.Connection, now_ns: int, age_ns: int) -> int:
    """Settle what waits longer than an age as gone; return how many.

    A stamp that lies further ahead than that is of a clock that was set back since.
    """
    done = connection.execute(
        "UPDATE take_out SET settled_ns = ?, outcome = ? WHERE settled_ns IS NULL"
        " AND (since_ns < ? OR since_ns > ?)",
        (now_ns, GONE, now_ns - age_ns, now_ns + age_ns),
    )
    return done.rowcount


def delete_reviews_to(connection: sqlite3.Connection, last: int) -> None:
    """Delete what belongs to parts up to a row, and count it per camera."""
    counts = connection.execute(
        "SELECT camera, mark, count(*) FROM decisions WHERE part <= ? AND is_current"
        " GROUP BY 1, 2 UNION ALL"
        f" SELECT camera, ifnull(outcome, '{UNSETTLED}'), count(*) FROM take_out WHERE part <= ?"
        " GROUP BY 1, 2",
        (last, last),
    ).fetchall()
    connection.executemany(
        "INSERT INTO deleted_reviews VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count",
        counts,
    )
    connection.execute("DELETE FROM decisions WHERE part <= ?", (last,))
    connection.execute("DELETE FROM take_out WHERE part <= ?", (last,))
    connection.execute("DELETE FROM golden_parts WHERE part <= ?", (last,))


def _settle(connection: sqlite3.Connection, settled: Settlement) -> None:
    """Settle a part that waits, or that was called gone before a person said what it is."""
    connection.execute(
        "UPDATE take_out SET settled_ns = ?, outcome = ?, settled_by = ?, pseudonym = ?"
        " WHERE part = ? AND (settled_ns IS NULL OR outcome = ?)"
        " AND EXISTS (SELECT 1 FROM parts WHERE id = ? AND part_id = ?)",
        (settled.settled_ns, settled.outcome, settled.settled_by, settled.pseudonym, settled.part,
         GONE, settled.part, settled.part_id),
    )  # fmt: skip


def _decide(connection: sqlite3.Connection, said: Decision) -> None:
    """Add a decision; of one author on one part the latest is current."""
    region = None if said.region is None else json.dumps(said.region)
    done = connection.execute(
        "INSERT OR IGNORE INTO decisions (part, part_id, camera, captured_ns, state, decided_ns,"
        " mark, class, region, note, author_kind, author_name, author_role,"
        " pseudonym, order_id, is_current)"
        " SELECT ?, ?, camera, captured_ns, state, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1 FROM parts"
        " WHERE id = ? AND part_id = ?",
        (said.part, said.part_id, said.decided_ns, said.mark, said.defect_class, region, said.note,
         said.author_kind, said.author_name, said.author_role, said.pseudonym, said.order_id,
         said.part, said.part_id),
    )  # fmt: skip
    if done.rowcount > 0:
        connection.execute(
            "UPDATE decisions SET is_current = 0 WHERE part = ? AND author_kind = ?"
            " AND author_name = ? AND is_current AND id <> ?",
            (said.part, said.author_kind, said.author_name, done.lastrowid),
        )


def _accept(connection: sqlite3.Connection, said: Acceptance) -> None:
    """Note what an engineer says of a mark; the latest word holds."""
    connection.execute(
        "UPDATE decisions SET accepted_ns = ?, accepted_by = ?, accepted_pseudonym = ?,"
        " acceptance = ? WHERE order_id = ? AND part = ? AND part_id = ?",
        (said.said_ns, said.said_by, said.pseudonym, said.said, said.decision_order, said.part,
         said.part_id),
    )  # fmt: skip
