"""Alerts on disk until the broker has them. Nothing leaves except by a successful acknowledgement.

What happens at the size limit and on a full disk: docs/decisions/0005-outbox-limit.md. How an
alert's evidence is added after the alert: docs/decisions/0014-evidence-after-the-alert.md. Damage,
numbers and a disk that takes nothing: docs/decisions/0018-damage-costs-itself.md.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from edge_app.errors import OutboxError
from edge_app.host.boot import boot_id
from edge_app.mqtt.memory_block import MEMORY_BASE, MemoryBlock
from edge_app.mqtt.messages import AlertDraft, OutboxHealth
from edge_app.mqtt.outbox_disk import OutboxDisk
from edge_app.mqtt.outbox_losses import Loss
from edge_app.mqtt.outbox_rows import MAX_SEQ, StoredAlert
from edge_app.mqtt.overflow import count_overflow, overflow_total
from edge_app.mqtt.pending_evidence import PendingEvidence
from edge_app.mqtt.reserve import Reserve

__all__ = ["Outbox", "StoredAlert"]

MAX_MESSAGES = 100_000
"""A day of one alert a second; at about 2 kB each some 200 MB."""
RESERVE_BYTES = 16 << 20
"""Room for some thousands of alerts after the disk is full, and for the write-ahead log."""
_log = logging.getLogger(__name__)


class Outbox:
    """The alarm store of one device. One thread may append while another reads and deletes.

    Args:
        path: the SQLite file; its folder is made if need be. `.reserve`, `.highwater` and `.last`
            lie beside it.
        max_messages: at this depth further alerts are counted, not stored (see the decision).
        reserve_bytes: disk space kept aside for a full disk; 0 keeps none.
        monotonic_ns: times the wait for evidence.
        loss_alert: makes the gap alert that tells a loss; None leaves losses for the next start.
        boot: the id of this start of the machine.
        holds: while it says so, acknowledged alerts stay: the history has not recorded them yet.

    Raises:
        OutboxError: the file cannot be opened, or another process holds it. A corrupt file is no
            error: it is moved aside, what is readable is taken over, and `note` says so. Nor is a
            disk that takes nothing: alerts are told from memory until it does.
    """

    def __init__(
        self,
        path: Path,
        max_messages: int = MAX_MESSAGES,
        reserve_bytes: int = RESERVE_BYTES,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        loss_alert: Callable[[Loss], AlertDraft] | None = None,
        boot: str | None = None,
        holds: Callable[[], bool] = lambda: False,
    ) -> None:
        self._max = max_messages
        self._pending = PendingEvidence(monotonic_ns)
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
        self._memory = MemoryBlock(f"{secrets.randbits(64):016x}")
        self._handed_out = 0
        self._disk = OutboxDisk(
            path,
            max_messages,
            self._pending,
            self._reserve,
            loss_alert,
            boot_id() if boot is None else boot,
            holds,
        )
        self._disk.open_first()
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
            full and the rest was counted; 0 for one that has arrived from memory already.

        Raises:
            OutboxError: nothing was stored: the disk is full beyond the reserve, or broken.
        """

        def work(connection: sqlite3.Connection) -> list[int]:
            numbers = self._store_alerts(connection, alerts)
            self._pending.hold(connection, numbers, alerts, awaiting)
            if camera is not None and finished_number is not None:
                connection.execute(
                    "INSERT INTO finished VALUES (?, ?) ON CONFLICT (camera) DO UPDATE"
                    " SET number = max(number, excluded.number)",
                    (camera, finished_number),
                )
            return numbers

        numbers = self._disk.write(work)
        self._memory.forget(alerts, numbers)
        return numbers

    def tell_from_memory(self, alerts: Sequence[AlertDraft]) -> None:
        """Have alerts told that cannot be stored now; `append` them once they can."""
        self._memory.tell(alerts)

    def waiting(self, at_once: int = 200) -> Iterator[StoredAlert]:
        """Yield every stored alert that waits, in order, and change nothing; damaged ones are left
        out.

        Raises:
            OutboxError: the disk cannot be read.
        """
        after = 0
        while self._disk.is_open:
            with self._disk.lock:
                rows = self._disk.rows(after, MAX_SEQ, at_once)
            if not rows:
                return
            after = rows[-1].seq
            yield from (row.alert(self.store_id) for row in rows if row.fault() is None)

    def last_finished(self, camera: str) -> int | None:
        """Return the camera's last finished source number, None if it never finished one."""
        if not self._disk.is_open:
            return None
        query = "SELECT number FROM finished WHERE camera = ? AND typeof(number) = 'integer'"
        row = self._disk.read(lambda c: c.execute(query, (camera,)).fetchone())
        return int(row[0]) if row else None

    def forget_finished(self, camera: str) -> None:
        """Drop a camera's progress: its source begins again at the first part."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM finished WHERE camera = ?", (camera,))

        self._disk.write(work)

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
        with self._disk.lock:
            try:
                return self._disk.attempt(lambda c: self._pending.add(c, seqs, url, sha256), False)
            except (sqlite3.Error, OSError) as error:
                raise self._disk.error(
                    "cannot be written, the evidence was left out", error
                ) from error
            finally:
                self._pending.release(seqs)

    def release(self, seqs: Collection[int]) -> None:
        """Let alerts go without evidence: there will be none."""
        with self._disk.lock:
            self._pending.release(seqs)

    # -- what the publisher uses ----------------------------------------------------------------

    def next_batch(self, count: int, after_seq: int = 0) -> list[StoredAlert]:
        """Return up to `count` alerts with the lowest numbers above `after_seq`.

        Ends before the first alert that waits for its evidence: nothing overtakes. A damaged row
        is put aside and its loss told; the next is taken. What is told from memory comes last, also
        where the disk cannot be read or is busy.
        """
        batch: list[StoredAlert] = []
        try:
            with self._disk.if_free() as is_free:
                if is_free and self._disk.is_open:
                    after = self._handed_out if after_seq > MEMORY_BASE else after_seq
                    batch = self._stored_batch(count, after)
        except OutboxError:
            if not self._memory.waiting:
                raise
        return batch + self._memory.batch(count - len(batch), after_seq, self._disk.session)

    def waits_in_memory(self, keys: Collection[int]) -> bool:
        """Tell whether an alert at one of these places is told from memory and has not arrived."""
        return bool(keys) and self._memory.has_any(keys)

    def wait_s(self, at_most_s: float) -> float:
        """Return how long it takes until an alert that waits for its evidence goes without."""
        with self._disk.if_free() as is_free:
            return self._pending.wait_s(at_most_s) if is_free else at_most_s

    def delete(self, *seqs: int) -> None:
        """Forget alerts that the broker has acknowledged as accepted.

        Not synchronised to the disk: after a power cut they are sent again and dropped by
        `message_id`, which costs less than wearing out an SD card. Where the disk does not take it
        they are not sent again by this process, and are deleted with the next write.
        """
        stored = {seq for seq in seqs if seq < MEMORY_BASE}
        self._disk.undeleted |= stored | set(self._memory.delete(seqs))
        with self._disk.if_free() as is_free:
            if (
                not is_free
                or not self._disk.is_open
                or not (self._disk.undeleted or self._disk.counted_only)
            ):
                return
            try:
                self._disk.attempt(self._disk.store_overflow, False)
            except (sqlite3.Error, OSError) as error:
                _log.debug("acknowledged alerts cannot be deleted now: %s", error)
                return
        self._reserve.make()

    @property
    def is_behind(self) -> bool:
        """A busy or failing disk has not deleted all that has arrived; the next `append` will."""
        return bool(self._disk.undeleted)

    # -- what people ask ------------------------------------------------------------------------

    @property
    def session(self) -> int:
        """The number of this start of the app, growing by one each time."""
        return self._disk.session

    @property
    def last_seq(self) -> int:
        """The highest number given out so far."""
        return self._disk.last_seq

    @property
    def store_id(self) -> str:
        """The numbering that `seq` belongs to, in messages."""
        return f"{self._disk.store_id:016x}" if self._disk.store_id else ""

    @property
    def note(self) -> str:
        """What was repaired, "" if nothing was."""
        return self._disk.note

    @property
    def refusal(self) -> str:
        """Why the disk takes nothing, "" while it does."""
        return self._disk.refusal

    def depth(self) -> int:
        """Return how many alerts wait for the broker."""
        return self._disk.depth - len(self._disk.undeleted) + self._memory.waiting

    def health(self) -> OutboxHealth:
        """Return the figures for `health`; asks neither disk nor lock."""
        return OutboxHealth(
            depth=max(0, self.depth()),
            max_messages=self._max,
            counted_only=self._disk.counted_only,
            reserve_released=not self._reserve.is_held,
            note=self._disk.note,
            lost=self._disk.lost,
            dead_letters=self._disk.dead,
            in_memory=self._memory.waiting,
            store_id=self.store_id,
        )

    def close(self) -> None:
        """Close the files; what waits stays in them. The next start knows the last number."""
        self._disk.close()

    # -- inside a transaction -------------------------------------------------------------------

    def _store_alerts(
        self, connection: sqlite3.Connection, alerts: Sequence[AlertDraft]
    ) -> list[int]:
        self._disk.store_overflow(connection)
        numbers = []
        for position, alert in enumerate(alerts):
            has_arrived, numbering = self._memory.look(alert)
            if not has_arrived and self._disk.depth >= self._max:
                for rest in alerts[position:]:
                    count_overflow(connection, rest)
                break
            seq = 0 if has_arrived else self._disk.insert(connection, alert, numbering)
            numbers.append(seq)
        self._disk.counted_only = overflow_total(connection)
        return numbers

    def _stored_batch(self, count: int, after: int) -> list[StoredAlert]:
        """Return whole rows; the caller holds the lock."""
        batch: list[StoredAlert] = []
        while len(batch) < count:
            rows = self._disk.rows(after, self._held(), count)
            if not rows:
                break
            after = rows[-1].seq
            for row in rows:
                why = row.fault()
                if why is not None:
                    self._disk.put_aside(row.seq)
                elif row.seq not in self._disk.undeleted and len(batch) < count:
                    batch.append(row.alert(self.store_id))
        self._handed_out = max([self._handed_out, *(alert.seq for alert in batch)])
        self._pending.sent([alert.seq for alert in batch])
        return batch

    def _held(self) -> int:
        held = self._pending.first()
        return MAX_SEQ if held is None else held
