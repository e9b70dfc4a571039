"""The outbox' files in use: one lock, one transaction at a time, and what a failure leads to."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from edge_app.errors import OutboxError
from edge_app.mqtt.high_water import SEQ_BLOCK, HighWater, read_high_water
from edge_app.mqtt.outbox_file import disk_refuses, fault_of, write_meta
from edge_app.mqtt.outbox_losses import ROWS_GONE, Loss, note_loss, take_losses
from edge_app.mqtt.outbox_rows import Row, delete_rows, insert_row, read_rows
from edge_app.mqtt.outbox_start import (
    OpenStore,
    bury,
    check_rows,
    identity_of,
    open_store,
    replace_corrupt,
)
from edge_app.mqtt.overflow import overflow_total, take_overflow
from edge_app.mqtt.part_messages import AlertDraft
from edge_app.mqtt.pending_evidence import PendingEvidence, clear_pending
from edge_app.mqtt.reserve import Reserve
from edge_app.records import JsonObject
from edge_app.store.last_number import LastNumber
from edge_app.store.sqlite_files import transaction

BUSY_S = 0.2
"""How long the publisher waits for a write in progress; on a slow disk it goes on with what is in
memory."""

_log = logging.getLogger("edge_app.mqtt.outbox")
_T = TypeVar("_T")


class OutboxDisk:
    """Numbers, counts and transactions of one outbox.

    Args:
        path: the SQLite file.
        max_messages: at this depth nothing that was only counted is stored.
        pending: alerts that wait for their evidence; told when a transaction is undone.
        reserve: is released when the disk is full.
        loss_alert: makes the gap alert that tells a loss; None leaves losses for the next start.
        boot: the id of this start of the machine.

    Attributes:
        session, next_seq, store_id: as messages have them; store_id is 0 while nothing is open.
        depth: rows, those in `undeleted` included.
        undeleted: numbers that have arrived and are deleted with the next write.
        refusal: why the disk takes nothing, "" while it does.
        lost: alerts that damage has cost since the start.
        dead: damaged rows that were put aside, now in the file.
    """

    def __init__(
        self,
        path: Path,
        max_messages: int,
        pending: PendingEvidence,
        reserve: Reserve,
        loss_alert: Callable[[Loss], AlertDraft] | None,
        boot: str,
        holds: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._holds = holds
        self._max = max_messages
        self.pending = pending
        self._reserve = reserve
        self._loss_alert = loss_alert
        self._boot = boot
        self.lock = threading.Lock()
        self._store: OpenStore | None = None
        self.note = self.refusal = ""
        self.session, self.next_seq, self.store_id = 1, 1, 0
        self.depth = self.counted_only = self.lost = self.dead = 0
        self.undeleted: set[int] = set()
        self._skipped_from: int | None = None
        self._is_number_noted = True

    @property
    def is_open(self) -> bool:
        """The files could be opened."""
        return self._store is not None

    @property
    def last_seq(self) -> int:
        """The highest number given out so far."""
        return self.next_seq - 1

    def close(self) -> None:
        """Close the files; what waits stays in them. The next start knows the last number."""
        with self.lock:
            store, self._store = self._store, None
            if store is None:
                return
            try:
                store.mark_file.write(HighWater(self.last_seq, self.session, self.store_id))
            except OSError as error:
                _log.warning("the numbering will jump at the next start: %s", error)
            store.close()

    @contextmanager
    def if_free(self) -> Iterator[bool]:
        """Hold the lock, unless a write takes longer than BUSY_S."""
        is_free = self.lock.acquire(timeout=BUSY_S)
        try:
            yield is_free
        finally:
            if is_free:
                self.lock.release()

    def files(self) -> OpenStore:
        """Return the open files; open them if that was not possible before.

        Raises:
            sqlite3.Error, OSError: it still is not.
        """
        if self._store is None:
            self._begin(open_store(self._path, self._boot))
        assert self._store is not None
        return self._store

    def rows(self, after: int, before: int, count: int) -> list[Row]:
        """Return up to `count` rows between two numbers; the caller holds the lock.

        Raises:
            OutboxError: the disk cannot be read.
        """
        return self.reading(lambda c: list(read_rows(c, after, before, count)))

    def reading(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return query(self.files().connection)
        except OSError as error:
            raise self.error("cannot be read", error) from error
        except sqlite3.DatabaseError as error:
            if fault_of(error) != "corrupt":
                raise self.error("cannot be read", error) from error
            self._replace_corrupt(error)
            return query(self.files().connection)

    def read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        with self.lock:
            return self.reading(query)

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self.lock:
            try:
                answer = self.attempt(work, True)
            except (sqlite3.Error, OSError) as error:
                answer = self._write_again(work, error)
            self.refusal = ""
            return answer

    def _write_again(self, work: Callable[[sqlite3.Connection], _T], error: Exception) -> _T:
        try:
            self._make_writable(error)
            return self.attempt(work, True)
        except (sqlite3.Error, OSError) as second:
            self._refused(second)
            raise self.error("cannot be written, nothing was stored", second) from second
        except OutboxError:
            self._refused(error)
            raise

    def _refused(self, error: Exception) -> None:
        self.refusal = str(error)
        self._drop_if_replaced()

    def attempt(self, work: Callable[[sqlite3.Connection], _T], is_durable: bool) -> _T:
        store = self.files()
        connection = store.connection
        before = (self.next_seq, self.depth, self.counted_only, self.lost, self.dead,
                  self._skipped_from)  # fmt: skip
        if not self._is_number_noted:
            self._note_numbers(self.next_seq)
        connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
        deleting = frozenset() if self._holds() else frozenset(self.undeleted)
        try:
            with transaction(connection):
                self.depth -= delete_rows(connection, list(deleting)) if deleting else 0
                answer = work(connection)
                if self.depth < before[1]:  # a kill behind the commit must not look like a loss
                    self._note_numbers(before[0])
        except BaseException:
            (self.next_seq, self.depth, self.counted_only, self.lost, self.dead,
             self._skipped_from) = before  # fmt: skip
            self.pending.undo_from(self.next_seq)
            self._is_number_noted = False
            raise
        self.undeleted -= deleting
        self._note_after()
        return answer

    def _note_after(self) -> None:
        """Write the last number down; if that fails, nothing more is stored until it works."""
        try:
            self._note_numbers(self.next_seq)
        except OSError as error:
            self._is_number_noted = False
            _log.warning("the last number cannot be written: %s", error)

    def _note_numbers(self, next_seq: int) -> None:
        store = self.files()
        row = store.connection.execute("SELECT min(seq) FROM alerts").fetchone()
        first = next_seq if row[0] is None else int(row[0])
        store.last_file.write(
            LastNumber(self._boot, self.store_id, self.session, next_seq - 1, self.depth, first)
        )
        self._is_number_noted = True

    def _make_writable(self, error: Exception) -> None:
        """Do what can be done about a failed write, or raise OutboxError."""
        fault = fault_of(error)
        if fault == "full" and self._reserve.release():
            _log.warning("disk full: the outbox's reserve was released; free some space soon")
        elif fault == "corrupt":
            self._replace_corrupt(error)
        else:
            raise self.error("cannot be written, nothing was stored", error) from error

    def open_first(self) -> None:
        """Open, or go on from memory where the disk takes nothing."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self.lock:
                self._open_or_release()
        except (sqlite3.Error, OSError) as error:
            fault = fault_of(error)
            why = disk_refuses(self._path.parent) or (
                str(error) if fault in ("disk", "full") else None
            )
            if why is None or fault == "locked":
                what = "is in use by another process" if fault == "locked" else "cannot be opened"
                raise self.error(what, error) from error
            self.refusal = why
            mark = read_high_water(self._path.with_name(self._path.name + ".highwater"))
            self.session = 1 if mark is None else mark.session + 1
            _log.error("the alarm store cannot be opened (%s): alerts wait in memory only", why)

    def _open_or_release(self) -> None:
        try:
            self.files()
        except (sqlite3.Error, OSError) as error:
            if fault_of(error) != "full" or not self._reserve.release():
                raise
            self.files()

    def _begin(self, store: OpenStore) -> None:
        """Begin a session; the caller holds the lock."""
        self._store, numbering = store, store.numbering
        try:
            is_first = self.store_id == 0
            self.store_id, self.next_seq = numbering.store_id, numbering.next_seq
            self.session = numbering.session if is_first else self.session
            self._skipped_from, self.note = store.skipped_from, store.note or self.note
            self._count()
            self.lost += store.lost
            self.attempt(self._store_start, True)
            self._raise_mark(max(store.mark.seq, self.last_seq))
        except BaseException:
            self._store = None
            self.store_id = 0
            store.close()
            raise

    def _store_start(self, connection: sqlite3.Connection) -> None:
        for name, value in (
            ("session", self.session),
            ("checked_session", self.session),
            ("store_id", self.store_id),
            ("next_seq", self.next_seq),
        ):
            write_meta(connection, name, value)
        without = clear_pending(connection)
        if without:
            _log.warning("%d stored alerts go out without evidence: the app was stopped", without)
        self._store_losses(connection)

    def _count(self) -> None:
        connection = self.files().connection
        self.depth = int(connection.execute("SELECT count(*) FROM alerts").fetchone()[0])
        self.dead = int(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
        self.counted_only = overflow_total(connection)

    def _replace_corrupt(self, error: Exception) -> None:
        """Go on in a new file while running; the caller holds the lock."""
        store, depth = self.files(), self.depth
        store.connection.close()
        try:
            store.connection, self.note = replace_corrupt(self._path, error, self.last_seq)
            store.identity = identity_of(self._path)
            with transaction(store.connection) as connection:
                damaged = check_rows(connection)
                self._count()
                gone = max(0, depth - self.depth - damaged)
                if gone:
                    note_loss(connection, Loss(None, 1, self.last_seq, gone, ROWS_GONE))
                self.lost += gone + damaged
                self.pending.undo_from(0)
                self._store_start(connection)
            self._note_after()
        except (sqlite3.Error, OSError) as second:
            self._drop()
            raise self.error("is corrupt and cannot be replaced", second) from second

    def _drop(self) -> None:
        """Close the files; the next access opens them again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _drop_if_replaced(self) -> None:
        """Open anew what somebody has moved away, or what lies on another disk now."""
        if self._store is None:
            return
        try:
            is_same = identity_of(self._path) == self._store.identity
        except OSError:
            is_same = False
        if not is_same:
            self._drop()

    def error(self, what: str, error: Exception) -> OutboxError:
        advice = {
            "full": "free some space; the reserve is used up",
            "locked": "stop the other edge-app, or give this one its own state folder",
            "corrupt": "replace the disk",
            "disk": "the disk is read-only or fails: look at it with dmesg, repair or replace it",
            "other": "check that the folder exists and the service may write to it",
        }[fault_of(error)]
        return OutboxError(f"outbox {self._path} {what} ({error}): {advice}")

    def insert(
        self, connection: sqlite3.Connection, alert: AlertDraft, numbering: JsonObject
    ) -> int:
        seq = self.next_seq
        if seq > self.files().mark.seq:
            self._raise_mark(seq + SEQ_BLOCK - 1)
        if self._skipped_from is not None:
            numbering = numbering | {"skipped_from": self._skipped_from}
            write_meta(connection, "skipped_from", 0)
            self._skipped_from = None
        insert_row(connection, seq, self.session, alert, numbering)
        self.next_seq, self.depth = seq + 1, self.depth + 1
        write_meta(connection, "next_seq", self.next_seq)
        return seq

    def _raise_mark(self, seq: int) -> None:
        store, mark = self.files(), HighWater(seq, self.session, self.store_id)
        store.mark_file.write(mark)
        store.mark = mark

    def store_overflow(self, connection: sqlite3.Connection) -> None:
        while self.counted_only and self.depth < self._max:
            self.insert(connection, take_overflow(connection), {})
            self.counted_only = overflow_total(connection)

    def _store_losses(self, connection: sqlite3.Connection) -> None:
        if self._loss_alert is not None:
            for loss in take_losses(connection):
                self.insert(connection, self._loss_alert(loss), {})

    def put_aside(self, seq: int) -> None:
        """Take a damaged row out of the way; where the disk refuses, it is passed over again."""

        def work(connection: sqlite3.Connection) -> None:
            for row in read_rows(connection, seq - 1, seq + 1, 1):
                bury(connection, row, row.fault() or "it was damaged")
                self.depth -= 1
                self.lost += 1
                self.dead += 1
            self._store_losses(connection)

        try:
            self.attempt(work, True)
        except (sqlite3.Error, OSError) as error:
            _log.debug("damaged alert %d stays where it is: %s", seq, error)
