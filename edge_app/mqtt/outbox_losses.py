"""Stored alerts that damage has cost: counted, and told as a gap alert each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.mqtt.part_messages import AlertDraft, GapBody
from edge_app.mqtt.topics import DeviceName
from edge_app.store.last_number import LastNumber

ROW_DAMAGED = "stored_alert_damaged"
ROWS_GONE = "stored_alerts_lost"


@dataclass(frozen=True, slots=True)
class Loss:
    """Alerts that had a number and cannot be sent any more.

    Attributes:
        camera: None if nobody knows.
        first_seq: the lowest number that may be concerned; None if unknown.
        count: how many, at least.
        reason: `ROW_DAMAGED` or `ROWS_GONE`.
    """

    camera: str | None
    first_seq: int | None
    last_seq: int | None
    count: int
    reason: str


def note_loss(connection: sqlite3.Connection, loss: Loss) -> None:
    """Keep a loss until it is told."""
    connection.execute(
        "INSERT INTO losses (camera, first_seq, last_seq, count, reason) VALUES (?, ?, ?, ?, ?)",
        (loss.camera, loss.first_seq, loss.last_seq, loss.count, loss.reason),
    )


def take_losses(connection: sqlite3.Connection) -> list[Loss]:
    """Remove and return what is not told yet."""
    rows = connection.execute(
        "SELECT camera, first_seq, last_seq, count, reason FROM losses ORDER BY id"
    ).fetchall()
    connection.execute("DELETE FROM losses")
    return [Loss(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing at a start.

    Attributes:
        seqs: numbers that may be concerned, ascending.
        count: how many are gone.
    """

    seqs: list[int]
    count: int

    def loss(self) -> Loss | None:
        """Return what is to be told, None if nothing is missing."""
        if self.count <= 0:
            return None
        first, last = (self.seqs[0], self.seqs[-1]) if self.seqs else (None, None)
        return Loss(None, first, last, self.count, ROWS_GONE)


def missing_rows(
    connection: sqlite3.Connection,
    exact: LastNumber | None,
    is_exact: bool,
    stored_seq: int,
    is_checked: bool,
    damaged: int,
) -> Missing:
    """Compare the outbox with what is known about it.

    Args:
        exact: what the last-number file says, of this numbering.
        is_exact: it was written after the outbox' last commit, in this start of the machine.
        stored_seq: the last number that the outbox knows.
        is_checked: the session that wrote last keeps checks; 0.1.0 deletes alerts without them.
        damaged: rows that have just been put aside; their losses are noted already.
    """
    there = {seq for (seq,) in connection.execute("SELECT seq FROM alerts")}
    aside = {seq for (seq,) in connection.execute("SELECT seq FROM dead_letters")}
    if exact is not None and is_exact:
        between = range(exact.first_waiting, exact.seq + 1)
        missing = [seq for seq in between if seq not in there and seq not in aside]
        waiting = sum(seq >= exact.first_waiting for seq in there)
        return Missing(missing, exact.waiting - waiting - damaged)
    checks = connection.execute("SELECT seq FROM row_checks").fetchall()
    missing = sorted(s for (s,) in checks if is_checked and s not in there and s not in aside)
    if exact is not None:
        missing += range(max(stored_seq + 1, exact.first_waiting), exact.seq + 1)
    return Missing(missing, len(missing))


def loss_alerts(
    who: DeviceName,
    camera: str,
    new_id: Callable[[], str],
    is_clock_synchronised: Callable[[], bool],
) -> Callable[[Loss], AlertDraft]:
    """Return what makes a gap alert of a loss.

    Args:
        camera: under whose topic a loss is told of which nobody knows the camera.
        new_id: makes a UUIDv7.
    """

    def alert_of(loss: Loss) -> AlertDraft:
        message_id = new_id()
        return AlertDraft(
            site=who.site,
            line=who.line,
            device=who.device,
            camera=loss.camera or camera,
            event="gap",
            alarm_id=f"gap-{message_id}",
            message_id=message_id,
            clock_synchronised=is_clock_synchronised(),
            gap=GapBody(
                first_number=None,
                last_number=None,
                count=loss.count,
                reason=loss.reason,
                first_seq=loss.first_seq,
                last_seq=loss.last_seq,
            ),
        )

    return alert_of
