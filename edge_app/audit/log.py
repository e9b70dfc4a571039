"""The one writer of a device's audit.

`record` is for orders: the record is on the disk when it returns, and an order that cannot be
recorded is not carried out. `note` is for what has happened anyway: it waits in memory while the
disk takes nothing, and comes before the next order's record.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_app.audit.head_copy import read_head, write_head
from edge_app.audit.records import AuditEntry, Head, body_of, hash_of
from edge_app.audit.schema import open_for_writing
from edge_app.audit.verify import NamedHead, Verified, verify_open
from edge_app.errors import AuditError
from edge_app.host.clock import clock_is_synchronised
from edge_app.store.sqlite_files import move_aside, transaction

_log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""Notes in memory while the disk takes none; more are counted, and the count is a record."""

RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an order's record.

    Attributes:
        answer: what was stored with the order the first time; None: this is the first time.
    """

    seq: int
    head: Head
    answer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditHealth:
    """Figures for people.

    Attributes:
        trouble: why nothing can be recorded, or what was found to be changed; "" if all is well.
        waiting: notes in memory.
    """

    head: Head
    trouble: str
    waiting: int


class AuditLog:
    """Writes the audit. Any thread may call; none of them inspects.

    Args:
        path: the SQLite file.
        on_head: called with every new head, under no lock that it could wait for.
        on_trouble: gets the reason when nothing can be recorded, or the file was changed; None
            when all is well again.
    """

    def __init__(
        self,
        path: Path,
        on_head: Callable[[Head], None] = lambda _: None,
        on_trouble: Callable[[str | None], None] = lambda _: None,
        now_ns: Callable[[], int] = time.time_ns,
        is_synchronised: Callable[[], bool | None] = clock_is_synchronised,
    ) -> None:
        self._path, self._on_head, self._on_trouble = path, on_head, on_trouble
        self._now_ns, self._is_synchronised = now_ns, is_synchronised
        self._lock = threading.Lock()
        self._notes: deque[AuditEntry] = deque()
        self._left_out = 0
        self._memos: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        self._lock_file = -1
        self._head: Head | None = None
        self._trouble = self._found = ""
        self._is_damaged = False
        self._stop, self._wake_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Open, check and write the notes, in a thread: a start does not wait for the disk."""
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, and end; a disk that hangs is left alone after twice that time."""
        self._stop.set()
        self._wake_up.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._lock.acquire(timeout=timeout_s):
            try:
                self._shut()
            finally:
                self._lock.release()

    def health(self) -> AuditHealth:
        """Return the figures; asks neither disk nor lock."""
        return AuditHealth(self._head or Head(), self._trouble or self._found, len(self._notes))

    def note(self, entry: AuditEntry) -> None:
        """Record what has happened; returns at once."""
        if len(self._notes) >= MAX_WAITING:
            self._left_out += 1
            return
        self._notes.append(self._stamped(entry))
        self._wake_up.set()

    def record(self, entry: AuditEntry, answer: dict[str, Any] | None = None) -> Recorded:
        """Record an order before it is carried out; it survives a power cut when this returns.

        Args:
            answer: is stored with the order's id; an order that is there already returns it.

        Raises:
            AuditError: it is not recorded, so it must not be carried out.
        """
        entry = self._stamped(entry)
        with self._lock:
            try:
                connection = self._opened()
                known = _order(connection, entry.order_id)
                if known is not None:
                    return replace(known, head=self._head or Head())
                self._write_notes(connection)
                head = self._append(connection, entry, answer)
            except ValueError as error:
                raise AuditError(f"This cannot be recorded, so it is not done: {error}.") from error
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                raise AuditError(
                    f"The audit cannot be written ({error}), and nothing is done without a record "
                    "of it. Free some space or repair the disk, then order it again."
                ) from error
            self._works()
        self._tell(head)
        return Recorded(head.count, head)

    def known(self, order_id: str) -> Recorded | None:
        """Return what was recorded of an order; None: nothing.

        Raises:
            AuditError: the audit cannot be read.
        """
        with self._lock:
            try:
                found = _order(self._opened(), order_id)
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                raise AuditError(f"The audit cannot be read ({error}).") from error
            return None if found is None else replace(found, head=self._head or Head())

    def remember(self, name: str, value: str) -> None:
        """Keep a text beside the records, in the thread; it is no record."""
        self._memos[name] = value
        self._wake_up.set()

    # -- under the lock ---------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._take_lock()
        try:
            if self._is_damaged:
                raise sqlite3.DatabaseError("malformed")
            connection = open_for_writing(self._path)
            if self._head is not None:  # opened again after a disk that took nothing
                self._connection = connection
                return connection
            try:
                before = read_head(self._path)
                kept = [] if before is None else [NamedHead(before, "the copy beside it")]
                found = verify_open(connection, kept)
            except BaseException:
                connection.close()
                raise
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            return self._begin_anew(error)
        self._connection, self._head = connection, found.head
        self._greet(connection, found)
        return connection

    def _take_lock(self) -> None:
        """Be the only writer. Kept until the end: closing it would drop SQLite's own locks."""
        if self._lock_file >= 0:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise OSError(error.errno, f"another process writes {self._path}") from error
        self._lock_file = handle

    def _begin_anew(self, error: Exception) -> sqlite3.Connection:
        """Put a damaged file aside and begin another chain, which names the head of the old one."""
        before = read_head(self._path)
        aside = move_aside(self._path)
        os.close(self._lock_file)
        self._lock_file = -1
        self._take_lock()
        connection = open_for_writing(self._path)
        self._connection, self._head, self._is_damaged = connection, Head(), False
        self._found = f"the audit was damaged ({error}): it lies at {aside.name}, a new one begins"
        _log.error("%s", self._found)
        details = {"file": aside.name, "head": str(before or Head()), "fault": str(error)[:500]}
        self._append(connection, self._own("audit_begun", details, "the file is damaged"))
        self._on_trouble(self._found)
        return connection

    def _greet(self, connection: sqlite3.Connection, found: Verified) -> None:
        """Say in the chain how it begins, and what of it was found to be changed."""
        if found.findings:
            self._found = f"the audit was changed from outside: {found.findings[0]}"
            _log.error("%s; `edge-app audit verify` says more", self._found)
            self._append(
                connection,
                self._own("audit_changed", list(found.findings), "found when it was opened"),
            )
            self._on_trouble(self._found)
        elif found.head.count == 0:
            self._append(connection, self._own("audit_begun", None, "the first record"))

    def _own(self, event: str, new: Any, why: str) -> AuditEntry:
        return self._stamped(AuditEntry(event, "machine", "inspection", new=new, why=why))

    def _write_notes(self, connection: sqlite3.Connection) -> None:
        while self._notes:
            if _order(connection, self._notes[0].order_id) is None:
                self._append(connection, self._notes[0])
            self._notes.popleft()
        if self._left_out:
            count, why = self._left_out, "there was no room for them in memory"
            self._append(connection, self._own("notes_lost", {"count": count}, why))
            self._left_out -= count
        while self._memos:
            name, value = next(iter(self._memos.items()))
            connection.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET"
                " value = excluded.value",
                (name, value),
            )
            if self._memos.get(name) == value:
                del self._memos[name]

    def _append(
        self, connection: sqlite3.Connection, entry: AuditEntry, answer: Any = None
    ) -> Head:
        head = self._head or Head()
        body = body_of(entry, head)
        following = Head(hash_of(body), head.count + 1)
        with transaction(connection):
            last = connection.execute("SELECT max(seq) FROM records").fetchone()[0] or 0
            if last != head.count:
                raise OSError(f"somebody else wrote {self._path}: it has {last} records")
            connection.execute(
                "INSERT INTO records VALUES (?, ?, ?)", (following.count, body, following.hash)
            )
            if entry.order_id is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO orders VALUES (?, ?, ?)",
                    (entry.order_id, following.count, json.dumps(answer or {})),
                )
        self._head = following
        write_head(self._path, following)
        _log.info("audit head %s: %s", following, entry.event)
        return following

    def _fail(self, error: Exception) -> None:
        self._shut_connection()
        self._is_damaged = isinstance(error, sqlite3.DatabaseError) and _is_damage(error)
        if not self._trouble:
            _log.error("the audit cannot be written: %s", error)
        self._trouble = f"the audit cannot be written ({error}): orders are refused"
        self._on_trouble(self._trouble)

    def _works(self) -> None:
        if self._trouble:
            self._trouble = ""
            _log.info("the audit is written again")
            self._on_trouble(self._found or None)

    def _shut(self) -> None:
        self._shut_connection()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def _shut_connection(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            is_last = self._stop.is_set()
            self._wake_up.clear()
            told = self._attempt()
            if is_last:
                return
            self._wake_up.wait(RETRY_S if told or self._trouble else None)

    def _attempt(self) -> bool:
        """Write the notes; True: not all of them are written."""
        with self._lock:
            before = self._head
            try:
                self._write_notes(self._opened())
            except AuditError as error:
                self._fail(error)
            except (sqlite3.Error, OSError, ValueError) as error:
                if isinstance(error, ValueError) and self._notes:
                    _log.error("a note cannot be recorded: %s: %s", self._notes.popleft(), error)
                    self._left_out += 1
                else:
                    self._fail(error)
            else:
                self._works()
            head = self._head
        if head is not None and head != before:
            self._tell(head)
        return bool(self._notes)

    def _tell(self, head: Head) -> None:
        try:
            self._on_head(head)
        except Exception:  # who hears of it is no reason to record nothing
            _log.exception("the audit's head is not told")

    def _stamped(self, entry: AuditEntry) -> AuditEntry:
        if entry.at_ns:
            return entry
        return replace(entry, at_ns=self._now_ns(), is_clock_synchronised=self._is_synchronised())


def _order(connection: sqlite3.Connection, order_id: str | None) -> Recorded | None:
    if order_id is None:
        return None
    row = connection.execute(
        "SELECT seq, answer FROM orders WHERE order_id = ?", (order_id,)
    ).fetchone()
    if row is None:
        return None
    try:
        answer = json.loads(row[1])
    except (ValueError, TypeError, RecursionError):
        answer = {}
    return Recorded(int(row[0]), Head(), answer if isinstance(answer, dict) else {})


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("malformed", "not a database", "no such table"))
