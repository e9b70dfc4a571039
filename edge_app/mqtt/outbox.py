"""Alerts on disk until the broker has them. Nothing leaves except by a successful acknowledgement.

What happens at the size limit and on a full disk: docs/decisions/0005-outbox-limit.md. How an
alert's evidence is added after the alert: docs/decisions/0014-evidence-after-the-alert.md.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge_app.errors import OutboxError
from edge_app.mqtt.high_water import SEQ_BLOCK, HighWater, read_high_water, write_high_water
from edge_app.mqtt.messages import AlertDraft, OutboxHealth
from edge_app.mqtt.outbox_file import (
    copy_readable,
    fault_of,
    move_aside,
    open_file,
    read_meta,
    transaction,
    write_meta,
)
from edge_app.mqtt.overflow import count_overflow, overflow_total, take_overflow
from edge_app.mqtt.pending_evidence import PendingEvidence, clear_pending
from edge_app.mqtt.reserve import Reserve

MAX_SEQ = 2**63 - 1
"""SQLite's largest integer: no number lies above it."""

MAX_MESSAGES = 100_000
"""A day of one alert a second; at about 2 kB each some 200 MB."""
RESERVE_BYTES = 16 << 20
"""Room for some thousands of alerts after the disk is full, and for the write-ahead log."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One numbered alert waiting for the broker.

    Attributes:
        seq: its number on this device.
        session: the session that stored it.
        body: the AlertDraft as JSON.
    """

    seq: int
    session: int
    camera: str
    body: str


class Outbox:
    """The alarm store of one device. One thread may append while another reads and deletes.

    Args:
        path: the SQLite file; its folder is made if need be. `.reserve` and `.highwater` lie
            beside it.
        max_messages: at this depth further alerts are counted, not stored (see the decision).
        reserve_bytes: disk space kept aside for a full disk; 0 keeps none.
        monotonic_ns: times the wait for evidence.

    Raises:
        OutboxError: the file cannot be opened, or another process holds it. A corrupt file is no
            error: it is moved aside, what is readable is taken over, and `note` says so.
    """

    def __init__(
        self,
        path: Path,
        max_messages: int = MAX_MESSAGES,
        reserve_bytes: int = RESERVE_BYTES,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self._max = max_messages
        self._pending = PendingEvidence(monotonic_ns)
        self._lock = threading.Lock()
        self._mark_path = path.with_name(path.name + ".highwater")
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
        self.note = ""
        self._session = 0
        self._next_seq = 1
        self._depth = 0
        self._counted_only = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error("cannot be opened", error) from error
        self._open()
        self._reserve.make()

    # -- what the line uses ---------------------------------------------------------------------

    def append(
        self,
        alerts: Sequence[AlertDraft],
        camera: str | None = None,
        finished_number: int | None = None,
        awaiting: Collection[str] = (),
    ) -> list[int]:
        """Store alerts and the camera's progress in one transaction; return the alerts' numbers.

        Args:
            alerts: in the order in which they happened; may be empty.
            camera: whose source number advances, with `finished_number`.
            finished_number: the last source number that needs no further work.
            awaiting: `message_id` of the alerts whose evidence is still being written: each is held
                back until `add_evidence` or `release`, EVIDENCE_WAIT_S at most.

        Returns:
            The `seq` of each stored alert, growing by one; shorter than `alerts` if the outbox was
            full and the rest was counted.

        Raises:
            OutboxError: nothing was stored: the disk is full beyond the reserve, or broken.
        """

        def work(connection: sqlite3.Connection) -> list[int]:
            numbers = self._store(connection, alerts)
            self._pending.hold(connection, numbers, alerts, awaiting)
            if camera is not None and finished_number is not None:
                connection.execute(
                    "INSERT INTO finished VALUES (?, ?) ON CONFLICT (camera) DO UPDATE"
                    " SET number = max(number, excluded.number)",
                    (camera, finished_number),
                )
            return numbers

        return self._write(work)

    def last_finished(self, camera: str) -> int | None:
        """Return the camera's last finished source number, None if it never finished one."""
        query = "SELECT number FROM finished WHERE camera = ?"
        row = self._read(lambda c: c.execute(query, (camera,)).fetchone())
        return int(row[0]) if row else None

    def forget_finished(self, camera: str) -> None:
        """Drop a camera's progress: its source begins again at the first part."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM finished WHERE camera = ?", (camera,))

        self._write(work)

    # -- what brings the evidence ---------------------------------------------------------------

    def add_evidence(self, seqs: Collection[int], url: str, sha256: str) -> bool:
        """Put a picture into stored alerts that were not sent yet, and let them go.

        Not synchronised to the disk, like `delete`: after a power cut an alert may be sent without.

        Returns:
            False if all of them had been sent already: then an `update` has to bring the picture.

        Raises:
            OutboxError: nothing was changed; the alerts go out as they are. The reserve is for
                alerts and is not released for a picture.
        """
        with self._lock:
            try:
                return self._attempt(lambda c: self._pending.add(c, seqs, url, sha256), False)
            except (sqlite3.Error, OSError) as error:
                raise self._error("cannot be written, the evidence was left out", error) from error
            finally:
                self._pending.release(seqs)

    def release(self, seqs: Collection[int]) -> None:
        """Let alerts go without evidence: there will be none."""
        with self._lock:
            self._pending.release(seqs)

    # -- what the publisher uses ----------------------------------------------------------------

    def next_batch(self, count: int, after_seq: int = 0) -> list[StoredAlert]:
        """Return up to `count` alerts with the lowest numbers above `after_seq`.

        Ends before the first alert that waits for its evidence: nothing overtakes.
        """
        query = (
            "SELECT seq, session, camera, body FROM alerts WHERE seq > ? AND seq < ?"
            " ORDER BY seq LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[StoredAlert]:
            held = self._pending.first()
            before = MAX_SEQ if held is None else held
            rows = connection.execute(query, (after_seq, before, count)).fetchall()
            batch = [StoredAlert(*row) for row in rows]
            self._pending.sent([alert.seq for alert in batch])
            return batch

        return self._read(work)

    def wait_s(self, at_most_s: float) -> float:
        """Return how long it takes until an alert that waits for its evidence goes without."""
        with self._lock:
            return self._pending.wait_s(at_most_s)

    def delete(self, *seqs: int) -> None:
        """Forget alerts that the broker has acknowledged as accepted.

        Not synchronised to the disk: after a power cut they are sent again and dropped by
        `message_id`, which costs less than wearing out an SD card.

        Raises:
            OutboxError: the disk is full beyond the reserve, or broken; nothing was deleted.
        """

        def work(connection: sqlite3.Connection) -> None:
            rows = [(seq,) for seq in seqs]
            connection.executemany("DELETE FROM pending_evidence WHERE seq = ?", rows)
            self._depth -= connection.executemany("DELETE FROM alerts WHERE seq = ?", rows).rowcount

        self._write(work, is_durable=False)
        if self._counted_only:
            self._write(self._store_overflow)
        self._reserve.make()

    # -- what people ask ------------------------------------------------------------------------

    @property
    def session(self) -> int:
        """The number of this start of the app, growing by one each time."""
        return self._session

    @property
    def last_seq(self) -> int:
        """The highest number given out so far."""
        return self._next_seq - 1

    def depth(self) -> int:
        """Return how many alerts wait for the broker."""
        return self._depth

    def health(self) -> OutboxHealth:
        """Return the figures for `health`."""
        return OutboxHealth(
            depth=self._depth,
            max_messages=self._max,
            counted_only=self._counted_only,
            reserve_released=not self._reserve.is_held,
            note=self.note,
        )

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        with self._lock:
            self._connection.close()

    # -- inside a transaction -------------------------------------------------------------------

    def _store(self, connection: sqlite3.Connection, alerts: Sequence[AlertDraft]) -> list[int]:
        self._store_overflow(connection)
        room = max(0, self._max - self._depth)
        numbers = [self._insert(connection, alert) for alert in alerts[:room]]
        for alert in alerts[room:]:
            count_overflow(connection, alert)
        self._counted_only = overflow_total(connection)
        return numbers

    def _store_overflow(self, connection: sqlite3.Connection) -> None:
        while self._counted_only and self._depth < self._max:
            self._insert(connection, take_overflow(connection))
            self._counted_only = overflow_total(connection)

    def _insert(self, connection: sqlite3.Connection, alert: AlertDraft) -> int:
        seq = self._next_seq
        if seq > self._mark.seq:
            self._raise_mark(HighWater(seq + SEQ_BLOCK - 1, self._session))
        row = (seq, self._session, alert.camera, alert.model_dump_json())
        connection.execute("INSERT INTO alerts VALUES (?, ?, ?, ?)", row)
        self._next_seq, self._depth = seq + 1, self._depth + 1
        write_meta(connection, "next_seq", self._next_seq)
        return seq

    def _raise_mark(self, mark: HighWater) -> None:
        write_high_water(self._mark_path, mark)
        self._mark = mark

    # -- round every access ---------------------------------------------------------------------

    def _read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._lock:
            try:
                return query(self._connection)
            except sqlite3.DatabaseError as error:
                if fault_of(error) != "corrupt":
                    raise self._error("cannot be read", error) from error
                self._replace_corrupt(error)
                return query(self._connection)

    def _write(self, work: Callable[[sqlite3.Connection], _T], is_durable: bool = True) -> _T:
        with self._lock:
            try:
                return self._attempt(work, is_durable)
            except (sqlite3.Error, OSError) as error:
                self._make_writable(error)
            try:
                return self._attempt(work, is_durable)
            except (sqlite3.Error, OSError) as error:
                raise self._error("cannot be written, nothing was stored", error) from error

    def _attempt(self, work: Callable[[sqlite3.Connection], _T], is_durable: bool) -> _T:
        connection = self._connection
        before = self._next_seq, self._depth, self._counted_only
        connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
        try:
            with transaction(connection):
                return work(connection)
        except BaseException:
            self._next_seq, self._depth, self._counted_only = before
            self._pending.undo_from(self._next_seq)
            raise

    def _make_writable(self, error: Exception) -> None:
        """Do what can be done about a failed write, or raise OutboxError."""
        fault = fault_of(error)
        if fault == "full" and self._reserve.release():
            _log.warning("disk full: the outbox's reserve was released; free some space soon")
        elif fault == "corrupt":
            self._replace_corrupt(error)
        else:
            raise self._error("cannot be written, nothing was stored", error) from error

    # -- opening --------------------------------------------------------------------------------

    def _open(self) -> None:
        self._mark = read_high_water(self._mark_path)
        try:
            self._connection = open_file(self._path)
        except sqlite3.Error as error:
            self._open_after(error)
        self._begin_session()

    def _open_after(self, error: sqlite3.Error) -> None:
        """Open again after releasing the reserve or moving a corrupt file aside."""
        fault = fault_of(error)
        try:
            if fault == "full" and self._reserve.release():
                self._connection = open_file(self._path)
                return
            if fault == "corrupt":
                self._start_afresh(error)
                return
        except (sqlite3.Error, OSError) as second:
            raise self._error("cannot be opened", second) from second
        what = "is in use by another process" if fault == "locked" else "cannot be opened"
        raise self._error(what, error) from error

    def _begin_session(self) -> None:
        stored = read_meta(self._connection, "session")
        self._session = max(stored, self._mark.session) + 1
        self._count()
        self._write(self._store_start)
        self._write(lambda _: self._raise_mark(HighWater(self._mark.seq, self._session)))

    def _store_start(self, connection: sqlite3.Connection) -> None:
        write_meta(connection, "session", self._session)
        write_meta(connection, "next_seq", self._next_seq)
        without = clear_pending(connection)
        if without:
            _log.warning("%d stored alerts go out without evidence: the app was stopped", without)

    def _count(self) -> None:
        connection = self._connection
        stored = read_meta(connection, "next_seq")
        self._next_seq = stored or self._mark.seq + 1
        self._depth = int(connection.execute("SELECT count(*) FROM alerts").fetchone()[0])
        self._counted_only = overflow_total(connection)

    def _replace_corrupt(self, error: Exception) -> None:
        """Go on in a new file while running; the caller holds the lock."""
        self._connection.close()
        try:
            self._start_afresh(error)
            self._count()
            self._pending.undo_from(0)
            with transaction(self._connection) as connection:
                self._store_start(connection)
        except (sqlite3.Error, OSError) as second:
            raise self._error("is corrupt and cannot be replaced", second) from second

    def _start_afresh(self, error: Exception) -> None:
        kept = move_aside(self._path)
        self._connection = open_file(self._path)
        copied = copy_readable(kept, self._connection)
        highest = self._connection.execute("SELECT max(seq) FROM alerts").fetchone()[0] or 0
        self._next_seq = max(self._mark.seq, highest) + 1
        with transaction(self._connection) as connection:
            write_meta(connection, "next_seq", self._next_seq)
        self.note = (
            f"outbox was corrupt ({error}): kept as {kept.name}, {copied} alerts taken over, "
            f"numbering goes on at {self._next_seq}"
        )
        _log.error(self.note)

    def _error(self, what: str, error: Exception) -> OutboxError:
        advice = {
            "full": "free some space; the reserve is used up",
            "locked": "stop the other edge-app, or give this one its own state folder",
            "corrupt": "replace the disk",
            "other": "check that the folder exists and the service may write to it",
        }[fault_of(error)]
        return OutboxError(f"outbox {self._path} {what} ({error}): {advice}")
