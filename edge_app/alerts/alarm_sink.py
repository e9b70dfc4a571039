"""Where the line's events become safe: numbered, on disk, and on their way to the broker.

An alert is stored before its picture is written (docs/decisions/0014-evidence-after-the-alert.md).
Where the disk is slow or takes nothing, it is told from memory, and stored as soon as that works
(docs/decisions/0018-damage-costs-itself.md).
Also keeps each camera's alarm level, for lamps and PLCs: on with a bad part, off when none has
come for the debounce time. The level is debounced; events never are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_app.alerts.alarm_level import AlarmLevel
from edge_app.alerts.alert_drafts import AlertDrafts, with_evidence
from edge_app.alerts.evidence_worker import Picture, PictureTaker
from edge_app.alerts.sidecar import PictureFacts
from edge_app.alerts.store_queue import StoreQueue
from edge_app.errors import OutboxError
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.records import AlarmEvent, EventKind, Evidence, KeepReason

_log = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Batches held in memory while the alarm store cannot be written (disk full beyond the reserve,
disk gone). More would put inspection itself at risk; the oldest wait on, the overflow is counted
and told as a gap."""

STORE_WAIT_S = 0.5
"""How long inspection waits for an alert to be on the disk: a hundred times what a good disk takes,
20 times an SD card's. After that the alert is told from memory."""

CLOSE_S = 3.0
"""For what is not stored yet when the app ends."""


@dataclass(slots=True, eq=False)
class _View:
    """The view that an alarm's picture shows, and what became of the picture.

    Attributes:
        event: without its frame, whose memory the picture's writer alone keeps.
        seqs: the stored alerts that the picture belongs to.
        is_settled: the picture is written, or there will be none.
        is_told_bare: an alert of it went out from memory, without the picture.
        is_superseded: a later view of the same part has a picture of its own.
        before: the part's view before this one, while its picture may have to stand in.
        instead: that view, once this one has no picture.
    """

    event: AlarmEvent
    draft: AlertDraft
    seqs: list[int] = field(default_factory=list)
    evidence: Evidence | None = None
    is_settled: bool = False
    is_told_bare: bool = False
    is_superseded: bool = False
    before: _View | None = None
    instead: _View | None = None

    def shown(self) -> _View:
        """Return the view whose picture is shown: this one, or an earlier one in its place."""
        return self if self.instead is None else self.instead.shown()


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What is stored in one transaction: alerts, each with the view it shows, and progress.

    An empty one has the outbox delete what it could not delete before.
    """

    camera: str
    alerts: Sequence[tuple[AlertDraft, _View | None]] = ()
    finished_number: int | None = None


class AlarmSink:
    """Stores events in the outbox and wakes the publisher; called by the inspection thread.

    Args:
        drafts: makes alerts of events.
        outbox: the alarm store.
        publisher: None where nothing is published.
        debounce_s: camera → how long its level stays on after the last bad part left.
        pictures: writes evidence; None where none is kept.
        on_kept: gets an event again once its picture is kept, with `evidence`; from another thread.
    """

    def __init__(
        self,
        drafts: AlertDrafts,
        outbox: Outbox,
        publisher: Publisher | None,
        debounce_s: Mapping[str, float],
        pictures: PictureTaker | None = None,
        on_kept: Callable[[AlarmEvent], None] = lambda _: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drafts = drafts
        self._outbox = outbox
        self._publisher = publisher
        self._pictures = pictures
        self._on_kept = on_kept
        self._queue: StoreQueue[_Batch] = StoreQueue(self._store)
        self._overflow: Counter[str] = Counter()
        self._views: dict[str, _View] = {}  # by alarm id, of parts that have not left
        self._lock = threading.Lock()
        self._is_in_memory, self._why = False, ""
        self._levels = {name: AlarmLevel(s, monotonic_s) for name, s in debounce_s.items()}
        if outbox.refusal:
            self._note_failure(outbox.refusal)

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        """Store the events, then have their pictures written.

        A disk that takes longer than STORE_WAIT_S, or nothing, does not hold the line up: alerts
        are told from memory, and stored as soon as that works.
        """
        drafts = self._drafts.of(camera, events)
        with self._lock:
            pairs = list(zip(events, drafts, strict=True))
            alerts = [(draft, self._view_of(event, draft)) for event, draft in pairs]
            for event in events:
                self._levels[camera].take(event)
        self._put(_Batch(camera, alerts, finished_number))
        for event, (_, view) in zip(events, alerts, strict=True):
            if view is not None:
                self._have_written(event, view)
        self._publish_levels()

    def forget_progress(self, camera: str) -> None:
        """Let a finite source that was shown to its end begin anew at the next start."""
        if self._queue.wait(STORE_WAIT_S):
            try:
                self._outbox.forget_finished(camera)
            except OutboxError as error:
                _log.warning("%s begins behind its last part at the next start: %s", camera, error)

    def tick(self) -> None:
        """Publish levels whose debounce time has passed, and retry a failing store."""
        if self.pending:
            self._queue.retry()
            self._await()
        elif self._outbox.refusal or self._outbox.is_behind:
            self._queue.put(_Batch(""), lambda _: False)
        elif self._is_in_memory:
            self._note_success()
        self._publish_levels()

    def _publish_levels(self) -> None:
        with self._lock:
            for camera, level in self._levels.items():
                change = level.change()
                if change is not None and self._publisher is not None:
                    self._publisher.set_alarm_level(camera, change[0], change[1])

    def close(self) -> None:
        """Store what can be stored now, and end; call before the outbox is closed."""
        self._queue.retry()
        self._queue.close(CLOSE_S)

    @property
    def pending(self) -> int:
        """Batches that are in memory only, because the store could not be written."""
        return len(self._queue)

    # -- pictures -------------------------------------------------------------------------------

    def _view_of(self, event: AlarmEvent, draft: AlertDraft) -> _View | None:
        """Return the view that an event shows: its own, or at the end the part's latest."""
        if event.kind is EventKind.END:
            return self._views.pop(event.alarm_id, None)
        if event.frame is None or self._pictures is None:
            return None
        before = self._views.get(event.alarm_id)
        view = _View(event.without_pixels(), draft, before=before)
        if before is not None:
            before.is_superseded = before.shown().is_superseded = True
        self._views[event.alarm_id] = view
        return view

    def _have_written(self, event: AlarmEvent, view: _View) -> None:
        """Hand an event's picture over. An `end` has none of its own."""
        if self._pictures is None or event.frame is None or event.verdict is None:
            return
        facts = PictureFacts(event.verdict, event.reasons or ("ng",), event.crop, event.alarm_id)
        self._pictures.offer(
            Picture(
                event.verdict.part_id,
                event.frame.pixels_hwc,
                lambda kept, reasons: self._settle(view, kept, reasons),
                facts=facts,
            )
        )

    def _settle(
        self, view: _View, evidence: Evidence | None, reasons: tuple[KeepReason, ...]
    ) -> None:
        """Bring a view's picture to its alerts, or let them go without."""
        with self._lock:
            view.is_settled, view.evidence = True, evidence
            before, view.before = view.before, None
            shown = view
            if evidence is None and before is not None:
                shown = view.instead = before.shown()
                if not shown.is_settled:  # its picture serves this view's alerts too
                    shown.seqs += view.seqs
                    shown.draft, shown.is_superseded = view.draft, view.is_superseded
                    return
            seqs = tuple(view.seqs)  # what is still in memory takes it along when it is stored
        self._bring(shown, seqs)
        if evidence is not None:
            self._on_kept(replace(view.event, evidence=evidence, reasons=reasons))

    def _bring(self, shown: _View, seqs: Sequence[int]) -> None:
        """Put a settled view's picture into stored alerts, or send it after them."""
        if shown.evidence is None:
            self._outbox.release(seqs)
        elif seqs and not self._is_added(seqs, shown.evidence):
            self._send_after(shown, shown.evidence)
        self._wake()

    def _send_after(self, view: _View, evidence: Evidence) -> None:
        """Have an `update` bring a picture that came too late for its alerts."""
        if not view.is_superseded:
            update = self._drafts.update_with(view.draft, evidence)
            self._put(_Batch(view.event.camera, [(update, None)]))

    def _is_added(self, seqs: Sequence[int], evidence: Evidence) -> bool:
        try:
            return self._outbox.add_evidence(seqs, evidence.url, evidence.sha256)
        except OutboxError as error:
            _log.debug("a picture comes after its alert: %s", error)
            return False

    # -- storing --------------------------------------------------------------------------------

    def _put(self, batch: _Batch) -> None:
        """Queue a batch and wait for the disk, a moment at most."""
        is_behind = self._is_in_memory and self.pending > 0
        self._queue.put(batch, lambda last: _is_replaced(last, batch))
        if self._queue.is_own_thread:
            return
        if is_behind:
            self._tell_from_memory(self._why)
        else:
            self._await()

    def _await(self) -> None:
        """Wait until all is stored; tell from memory what the disk does not take in time."""
        if self._queue.wait(STORE_WAIT_S):
            self._note_success()
        else:
            failure = self._queue.failure
            self._tell_from_memory("it is too slow" if failure is None else str(failure))

    def _store(self, batch: _Batch) -> None:
        """Store one batch; called by the queue."""
        with self._lock:
            alerts = [(draft, view and view.shown()) for draft, view in batch.alerts]
            drafts = [_complete(draft, view) for draft, view in alerts]
            waiting = [(d, view) for d, (_, view) in zip(drafts, alerts, strict=True)
                       if view and not view.is_settled]  # fmt: skip
        awaiting = {draft.message_id for draft, _ in waiting}
        numbers = self._outbox.append(drafts, batch.camera, batch.finished_number, awaiting)
        with self._lock:
            for seq, (_, view) in zip(numbers, alerts, strict=False):
                if view is not None and seq:
                    view.seqs.append(seq)
            late = {id(v): v for _, v in waiting if v.is_settled}
            bare = {id(v): v for n, (_, v) in zip(numbers, alerts, strict=False)
                    if v and not n and v.is_told_bare and v.evidence}  # fmt: skip
            for view in bare.values():
                view.is_told_bare = False
        for view in late.values():
            self._bring(view.shown(), tuple(view.shown().seqs))
        for view in bare.values():
            if view.evidence is not None:
                self._send_after(view, view.evidence)

    def _tell_from_memory(self, why: str) -> None:
        self._trim()
        with self._lock:
            for batch in self._queue.all():
                told = [(draft, view and view.shown()) for draft, view in batch.alerts]
                for _, view in told:
                    if view is not None and view.evidence is None:
                        view.is_told_bare = True
                self._outbox.tell_from_memory([_complete(draft, view) for draft, view in told])
        self._note_failure(why)
        self._wake()

    def _wake(self) -> None:
        if self._publisher is not None:
            self._publisher.wake()

    def _note_success(self) -> None:
        if self._is_in_memory:
            self._is_in_memory = False
            _log.info("alarm store works again")
            for camera, count in self._overflow.items():
                gap = self._drafts.gap_of(camera, count, "memory_full")
                self._queue.put(_Batch(camera, [(gap, None)]), lambda _: False)
            self._overflow.clear()
        if self._publisher is not None:
            self._publisher.set_degraded(None)
            self._publisher.wake()

    def _note_failure(self, why: str) -> None:
        level = logging.DEBUG if self._is_in_memory else logging.ERROR
        _log.log(level, "alarms wait in memory (%d batches): %s", self.pending, why)
        self._is_in_memory, self._why = True, why
        if self._publisher is not None:
            self._publisher.set_degraded(
                "alarm store cannot be written: alerts go out from memory and do not survive a "
                f"power cut ({why})"
            )

    def _trim(self) -> None:
        """Count what is too much for the memory, the newest first."""
        while self.pending > MAX_PENDING and (lost := self._queue.drop_newest()) is not None:
            self._overflow[lost.camera] += len(lost.alerts)
            _log.critical(
                "camera %s: %d alarms lost: memory is full", lost.camera, len(lost.alerts)
            )


def _complete(draft: AlertDraft, view: _View | None) -> AlertDraft:
    """Return an alert with its picture, if it is there by now."""
    return with_evidence(draft, view.evidence) if view and view.evidence else draft


def _is_replaced(last: _Batch, batch: _Batch) -> bool:
    """Progress without alarms does not take an alarm's place."""
    is_newer = last.camera == batch.camera and batch.finished_number is not None
    return is_newer and not last.alerts
