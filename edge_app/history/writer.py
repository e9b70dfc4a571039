"""Writes the history: one thread, small transactions, and never in inspection's way.

An alarmed part's row is committed before the outbox deletes its alert (`holds_alerts`), and with it
all that came before; good parts are at most COMMIT_EVERY_S away from the disk. What cannot be
written is counted and becomes a row of its own as soon as that works: inspection and alerts go on.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edge_app.errors import HistoryError
from edge_app.history.entries import (
    Entry,
    EvidenceEntry,
    GapEntry,
    GoldenEntry,
    PartEntry,
    ReviewEntry,
)
from edge_app.history.opening import LeftOver, Opened, is_damage, open_history
from edge_app.history.retention import Retention
from edge_app.history.rows import RowWriter
from edge_app.records import (
    AlarmEvent,
    EventKind,
    Evidence,
    GoldenCheck,
    KeepReason,
    PartVerdict,
    VerdictState,
)
from edge_app.store.free_space import check_room
from edge_app.store.sqlite_files import transaction

_log = logging.getLogger(__name__)

COMMIT_EVERY_S = 0.5
"""A kill costs at most the good parts of this time, and of the transaction in hand."""

MAX_WAITING = 20_000
"""Entries in memory while the disk takes none: some 20 MB."""

MAX_ROWS = 2_000
"""In one transaction."""

HOLD_S = 5.0
"""An alert waits for its row this long at most: a slow history does not fill the outbox."""

RETRY_S = 5.0

MOST_NUMBER = 2**62
"""SQLite takes no larger number; a source may give any."""


@dataclass(frozen=True, slots=True)
class HistoryHealth:
    """Figures for people.

    Attributes:
        trouble: why nothing is written; "" while all is well.
        waiting: entries in memory.
        lost: judged parts that have no row, since the start.
        parts: rows of parts in the file.
    """

    trouble: str
    waiting: int
    lost: int
    parts: int


class HistoryWriter:
    """The one writer of a device's history.

    Args:
        path: the SQLite file.
        slots: camera → slot, of every configured camera.
        retention: what is deleted, and when.
        last_finished: camera → the last part that the outbox calls finished, of numbered sources;
            whatever is above the history's own last number is declared lost.
        on_trouble: gets the reason when nothing can be written any more, None when it works again.
        left_over: what a kill may have kept from the history, and other files hold.
    """

    def __init__(
        self,
        path: Path,
        slots: Mapping[str, str],
        retention: Retention,
        last_finished: Mapping[str, int],
        on_trouble: Callable[[str | None], None] = lambda _: None,
        left_over: LeftOver | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path, self._retention = path, retention
        self._rows = RowWriter(slots, now_ns)
        self._last_finished: dict[str, int] | None = dict(last_finished)
        self._left_over = left_over
        self._on_trouble, self._now_ns = on_trouble, now_ns
        self._waiting: deque[Entry] = deque()
        self._condition = threading.Condition()
        self._alarmed = 0
        self._has_opened = False
        self._held_since_s: float | None = time.monotonic()
        self._lost: dict[str, _Lost] = {}
        self._lost_total = 0
        self._file: Opened | None = None
        self._trouble = ""
        self._cannot_age = False
        self._is_stopping = self._is_urgent = self._is_damaged = False
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        """Open the file, in the thread, and write from then on."""
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def health(self) -> HistoryHealth:
        """Return the figures; asks neither disk nor lock."""
        parts = 0 if self._file is None else self._file.parts
        return HistoryHealth(self._trouble, len(self._waiting), self._lost_total, parts)

    # -- what inspection calls ------------------------------------------------------------------

    def expect(self, events: Sequence[AlarmEvent]) -> None:
        """Announce alarms, before they are stored in the outbox; `alarmed` has to follow."""
        count = sum(_is_alarm(event) for event in events)
        with self._condition:
            if count and not self._alarmed and self._has_opened:
                self._held_since_s = time.monotonic()
            self._alarmed += count

    def alarmed(self, events: Sequence[AlarmEvent]) -> None:
        """Record what was announced: it is in the outbox now. Written at once."""
        entries: list[Entry] = []
        for event in events:
            if _is_alarm(event) and event.verdict is not None:
                entries.append(PartEntry(event.verdict, event.alarm_id, is_final=False))
            elif event.gap is not None:
                gap = event.gap
                entries.append(
                    GapEntry(gap.camera, "gap", gap.reason, self._now_ns(), gap.first_number,
                             gap.last_number, gap.count)
                )  # fmt: skip
        if entries:
            self._put(entries, is_urgent=True)

    def finished(self, verdicts: Sequence[PartVerdict]) -> None:
        """Record parts that have left."""
        if verdicts:
            is_urgent = any(verdict.state is VerdictState.NG for verdict in verdicts)
            self._put([PartEntry(verdict) for verdict in verdicts], is_urgent)

    def kept(self, event: AlarmEvent) -> None:
        """Record where an alarm's picture is."""
        if event.verdict is not None and event.evidence is not None:
            self.kept_part(event.verdict, event.reasons or ("ng",), event.evidence)

    def kept_part(
        self, verdict: PartVerdict, reasons: tuple[KeepReason, ...], evidence: Evidence
    ) -> None:
        """Record where a part's picture is, and why it is kept."""
        entry = EvidenceEntry(
            verdict.camera, verdict.part_id, evidence.url, evidence.sha256, ",".join(reasons)
        )
        self._put([entry], is_urgent=False)

    def paused(self, camera: str, from_ns: int, to_ns: int) -> None:
        """Record that a camera whose parts have no number was paused: what passed is unknown."""
        self._put([GapEntry(camera, "down", "paused", to_ns, from_ns=from_ns)], is_urgent=False)

    def golden_checked(self, check: GoldenCheck, check_id: str) -> None:
        """Record what became of a golden part; once for a `check_id`."""
        self._put([GoldenEntry(check, check_id)], is_urgent=True)

    def reviewed(self, entry: ReviewEntry, timeout_s: float) -> bool:
        """Record what a person said of a part; tell whether it is committed in time.

        The audit has it already: what a kill keeps from here is taken over at the next start.
        """
        self._put([entry], is_urgent=True)
        return entry.is_written.wait(timeout_s)

    def holds_alerts(self) -> bool:
        """Tell whether an alert's row is not committed yet, so that the alert has to stay."""
        with self._condition:
            is_all_there = self._has_opened and not self._alarmed
            if is_all_there or self._trouble or self._held_since_s is None:
                return False
            return time.monotonic() - self._held_since_s < HOLD_S

    def _put(self, entries: Sequence[Entry], is_urgent: bool) -> None:
        with self._condition:
            for entry in entries:
                if len(self._waiting) >= MAX_WAITING and not isinstance(entry, ReviewEntry):
                    self._lose(entry)
                else:
                    self._waiting.append(entry)
            if is_urgent or len(self._waiting) >= MAX_ROWS:
                self._is_urgent = True
                self._condition.notify()

    def _lose(self, entry: Entry) -> None:
        """Count an entry for which there is no room."""
        if isinstance(entry, PartEntry):
            self._alarmed -= int(not entry.is_final)
            if entry.is_final:
                self._lost_total += 1
                lost = self._lost.setdefault(entry.verdict.camera, _Lost(self._now_ns()))
                lost.add(entry.verdict)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._trouble and not self._is_stopping:
                    self._condition.wait_for(lambda: self._is_stopping, RETRY_S)
                elif not self._is_stopping and not self._is_urgent:
                    self._condition.wait(COMMIT_EVERY_S)
                is_last, self._is_urgent = self._is_stopping, False
                batch = list(islice(self._waiting, MAX_ROWS))
            is_written = self._attempt(batch)
            if batch and is_written and not is_last:
                self._attempt([])  # what is too old goes on a busy line too
            if is_last and (not is_written or not self._waiting):
                break
        if self._file is not None:
            self._file.connection.close()

    def _attempt(self, batch: Sequence[Entry]) -> bool:
        """Write a batch; tell whether that worked."""
        try:
            file = self._opened()
        except Exception as error:  # whatever it is, no entry is to blame
            self._fail(error)
            return False
        try:
            self._write(file, batch)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:
            return self._attempt_each(batch, error)
        except (sqlite3.Error, OSError, HistoryError) as error:
            self._fail(error)
            return False
        except Exception as error:  # an entry that cannot be written costs itself, not the thread
            return self._attempt_each(batch, error)
        self._works()
        return True

    def _attempt_each(self, batch: Sequence[Entry], error: Exception) -> bool:
        """Find the entry that cannot be written, leave it out and count it."""
        if len(batch) > 1:
            return all(self._attempt([entry]) for entry in batch)
        if batch:
            self._leave_out(batch[0], error)
        return True

    def _write(self, file: Opened, batch: Sequence[Entry]) -> None:
        losses = self._losses()
        if batch or losses:
            alarmed = sum(isinstance(e, PartEntry) and not e.is_final for e in batch)
            is_durable = bool(alarmed)
            check_room(self._path.parent)
            file.connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
            try:
                with transaction(file.connection) as connection:
                    self._rows.write(connection, [*batch, *losses])
            except BaseException:
                self._rows.forget()
                raise
            file.parts += sum(isinstance(e, PartEntry) and e.is_final for e in batch)
            self._written(batch, losses, alarmed)
        else:
            self._age(file)

    def _age(self, file: Opened) -> None:
        """Delete some of what is too old; a fault of ours there is told and stops no writing."""
        try:
            self._retention.settle_some(file.connection)
            file.parts -= self._retention.delete_some(file.connection, file.parts)
        except (sqlite3.Error, OSError, HistoryError):
            raise
        except Exception as error:
            if not self._cannot_age:
                _log.exception("old parts cannot be deleted from the history")
                self._on_trouble(
                    f"old parts are not deleted from the history ({error}): it grows, inspection "
                    "and alerts go on; please send us the log"
                )
            self._cannot_age = True
        else:
            if self._cannot_age:
                self._cannot_age = False
                self._on_trouble(None)

    def _opened(self) -> Opened:
        if self._file is None:
            self._file = open_history(
                self._path,
                self._rows,
                self._last_finished,
                self._now_ns,
                self._is_damaged,
                self._left_over,
            )
            with self._condition:
                self._has_opened = True
            self._is_damaged = False
            self._last_finished = None
            if self._file.note:
                _log.warning("%s", self._file.note)
        return self._file

    def _losses(self) -> list[GapEntry]:
        with self._condition:
            return [lost.entry(camera, self._now_ns()) for camera, lost in self._lost.items()]

    def _written(self, batch: Sequence[Entry], losses: Sequence[GapEntry], alarmed: int) -> None:
        with self._condition:
            for entry in batch:
                self._waiting.popleft()
                if isinstance(entry, ReviewEntry):
                    entry.is_written.set()
            self._alarmed -= alarmed
            self._held_since_s = time.monotonic() if self._alarmed else None
            for loss in losses:
                lost = self._lost[str(loss.camera)]
                if lost.count == loss.count:
                    del self._lost[str(loss.camera)]
                else:
                    lost.take_off(loss)

    def _fail(self, error: Exception) -> None:
        self._is_damaged = isinstance(error, sqlite3.DatabaseError) and is_damage(error)
        if self._file is not None:
            self._file.connection.close()
            self._file = None
        self._rows.forget()
        if not self._trouble:
            _log.error("the history cannot be written, parts wait in memory: %s", error)
            self._on_trouble(
                f"the history cannot be written ({error}): inspection and alerts go on; free some "
                "space, or repair the disk"
            )
        self._trouble = str(error)

    def _leave_out(self, entry: Entry, error: Exception) -> None:
        with self._condition:
            if self._waiting and self._waiting[0] is entry:
                self._waiting.popleft()
            self._lose(entry)
        _log.error("an entry is not in the history, it cannot be written: %r", error)

    def _works(self) -> None:
        if self._trouble:
            self._trouble, self._cannot_age = "", False  # what still holds is said again
            _log.info("the history is written again")
            self._on_trouble(None)


@dataclass(slots=True)
class _Lost:
    """Finished parts of one camera for which there was no room."""

    from_ns: int
    count: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, verdict: PartVerdict) -> None:
        number = verdict.source_number
        if number is not None and not 0 <= number < MOST_NUMBER:
            number = None
        self.first = number if self.first is None else self.first
        self.last = number if number is not None else self.last
        self.count += 1

    def entry(self, camera: str, now_ns: int) -> GapEntry:
        return GapEntry(
            camera, "loss", "memory_full", now_ns, self.first, self.last, self.count, self.from_ns
        )

    def take_off(self, told: GapEntry) -> None:
        """What was told stays told; the numbers behind it remain."""
        self.count -= told.count or 0
        self.first = None if told.last_number is None else told.last_number + 1
        self.from_ns = told.to_ns


def _is_alarm(event: AlarmEvent) -> bool:
    is_told = event.kind in (EventKind.NEW, EventKind.UPDATE) and event.verdict is not None
    return is_told and event.golden is None  # that is about a check, and no part
