"""Where the line's events become safe: numbered, on disk, and on their way to the broker.

An alert is stored before its picture is written (docs/decisions/0014-evidence-after-the-alert.md).
Also keeps each camera's alarm level, for lamps and PLCs: on with a bad part, off when none has
come for the debounce time. The level is debounced; events never are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_app.alerts.alert_drafts import AlertDrafts, with_evidence
from edge_app.alerts.evidence_worker import Picture, PictureTaker
from edge_app.errors import OutboxError
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.records import AlarmEvent, EventKind, Evidence, VerdictState

_log = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Batches held in memory while the alarm store cannot be written (disk full beyond the reserve,
disk gone). More would put inspection itself at risk; the oldest wait on, the overflow is logged."""


@dataclass(slots=True, eq=False)
class _View:
    """The view that an alarm's picture shows, and what became of the picture.

    Attributes:
        event: without its frame, whose memory the picture's writer alone keeps.
        seqs: the stored alerts that the picture belongs to.
        is_settled: the picture is written, or there will be none.
        is_superseded: a later view of the same part has a picture of its own.
        before: the part's view before this one, while its picture may have to stand in.
        instead: that view, once this one has no picture.
    """

    event: AlarmEvent
    draft: AlertDraft
    seqs: list[int] = field(default_factory=list)
    evidence: Evidence | None = None
    is_settled: bool = False
    is_superseded: bool = False
    before: _View | None = None
    instead: _View | None = None

    def shown(self) -> _View:
        """Return the view whose picture is shown: this one, or an earlier one in its place."""
        return self if self.instead is None else self.instead.shown()


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What is stored in one transaction: alerts, each with the view it shows, and progress."""

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
        self._pending: deque[_Batch] = deque()
        self._views: dict[str, _View] = {}  # by alarm id, of parts that have not left
        self._lock = threading.Lock()
        self._is_failing = False
        self._levels = {name: AlarmLevel(s, monotonic_s) for name, s in debounce_s.items()}

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        """Store the events, then have their pictures written.

        On a failing store they are kept in memory and tried again later.
        """
        drafts = self._drafts.of(camera, events)
        with self._lock:
            pairs = list(zip(events, drafts, strict=True))
            alerts = [(draft, self._view_of(event, draft)) for event, draft in pairs]
            self._hold(_Batch(camera, alerts, finished_number))
            self._flush()
            for event in events:
                self._levels[camera].take(event)
        for event, (_, view) in zip(events, alerts, strict=True):
            if view is not None:
                self._have_written(event, view)
        self.tick()

    def forget_progress(self, camera: str) -> None:
        """Let a finite source that was shown to its end begin anew at the next start."""
        with self._lock:
            self._flush()
            if not self._pending:
                self._outbox.forget_finished(camera)

    def tick(self) -> None:
        """Publish levels whose debounce time has passed, and retry a failing store."""
        with self._lock:
            if self._pending:
                self._flush()
            for camera, level in self._levels.items():
                change = level.change()
                if change is not None and self._publisher is not None:
                    self._publisher.set_alarm_level(camera, change[0], change[1])

    @property
    def pending(self) -> int:
        """Batches that are in memory only, because the store could not be written."""
        return len(self._pending)

    # -- pictures -------------------------------------------------------------------------------

    def _view_of(self, event: AlarmEvent, draft: AlertDraft) -> _View | None:
        """Return the view that an event shows: its own, or at the end the part's latest."""
        if event.kind is EventKind.END:
            return self._views.pop(event.alarm_id, None)
        if event.frame is None or self._pictures is None:
            return None
        before = self._views.get(event.alarm_id)
        view = _View(replace(event, frame=None), draft, before=before)
        if before is not None:
            before.is_superseded = before.shown().is_superseded = True
        self._views[event.alarm_id] = view
        return view

    def _have_written(self, event: AlarmEvent, view: _View) -> None:
        """Hand an event's picture over. An `end` has none of its own."""
        if self._pictures is None or event.frame is None or event.verdict is None:
            return
        pixels = event.frame.pixels_hwc
        name = event.verdict.part_id
        self._pictures.offer(Picture(name, pixels, lambda kept: self._settle(view, kept)))

    def _settle(self, view: _View, evidence: Evidence | None) -> None:
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
        if shown.evidence is None:
            self._outbox.release(seqs)
        elif seqs and not self._is_added(seqs, shown.evidence) and not view.is_superseded:
            update = self._drafts.update_with(view.draft, shown.evidence)
            with self._lock:
                self._hold(_Batch(view.event.camera, [(update, None)]))
                self._flush()
        if self._publisher is not None:
            self._publisher.wake()
        if evidence is not None:
            self._on_kept(replace(view.event, evidence=evidence))

    def _is_added(self, seqs: Sequence[int], evidence: Evidence) -> bool:
        try:
            return self._outbox.add_evidence(seqs, evidence.url, evidence.sha256)
        except OutboxError as error:
            _log.debug("a picture comes after its alert: %s", error)
            return False

    # -- storing; the caller holds the lock -----------------------------------------------------

    def _hold(self, batch: _Batch) -> None:
        """Queue a batch; progress without alarms does not take an alarm's place."""
        if self._pending:
            last = self._pending[-1]
            is_newer = last.camera == batch.camera and batch.finished_number is not None
            if is_newer and not last.alerts:
                self._pending.pop()
        self._pending.append(batch)

    def _flush(self) -> None:
        """Store what is pending, in order."""
        try:
            while self._pending:
                self._store(self._pending[0])
                self._pending.popleft()
        except OutboxError as error:
            self._note_failure(error)
            return
        if self._is_failing:
            self._is_failing = False
            _log.info("alarm store works again")
        if self._publisher is not None:
            self._publisher.set_degraded(None)
            self._publisher.wake()

    def _store(self, batch: _Batch) -> None:
        alerts = [(draft, view and view.shown()) for draft, view in batch.alerts]
        drafts = [
            with_evidence(draft, view.evidence) if view and view.evidence else draft
            for draft, view in alerts
        ]
        awaiting = {d.message_id for d, view in alerts if view and not view.is_settled}
        numbers = self._outbox.append(drafts, batch.camera, batch.finished_number, awaiting)
        for seq, (_, view) in zip(numbers, alerts, strict=False):
            if view is not None:
                view.seqs.append(seq)

    def _note_failure(self, error: OutboxError) -> None:
        level = logging.DEBUG if self._is_failing else logging.ERROR
        _log.log(level, "alarms wait in memory (%d batches): %s", len(self._pending), error)
        self._is_failing = True
        if self._publisher is not None:
            self._publisher.set_degraded("alarm store cannot be written")
        while len(self._pending) > MAX_PENDING:
            lost = self._pending.pop()
            _log.critical(
                "camera %s: %d alarms lost: memory is full", lost.camera, len(lost.alerts)
            )


class AlarmLevel:
    """One camera's level: on from a bad part's alarm until `debounce_s` after its end."""

    def __init__(self, debounce_s: float, monotonic_s: Callable[[], float]) -> None:
        self._debounce_s = debounce_s
        self._now_s = monotonic_s
        self._open: set[str] = set()
        self._off_at_s: float | None = None
        self._part_id: str | None = None
        self._is_on = False
        self._returned: tuple[bool, str | None] = (False, None)

    def take(self, event: AlarmEvent) -> None:
        """Follow one event. Gaps and parts that were not inspected do not raise the level."""
        if event.verdict is None or event.verdict.state is not VerdictState.NG:
            return
        if event.kind is EventKind.END:
            self._open.discard(event.alarm_id)
            if not self._open:
                self._off_at_s = self._now_s() + self._debounce_s
            return
        self._open.add(event.alarm_id)
        self._is_on, self._off_at_s = True, None
        self._part_id = event.verdict.part_id

    def change(self) -> tuple[bool, str | None] | None:
        """Return (is_on, part) when it differs from what was returned last, else None."""
        was_on = self._returned[0] or not self._is_on  # a lamp that was to be on is on first
        if was_on and self._off_at_s is not None and self._now_s() >= self._off_at_s:
            self._is_on, self._off_at_s, self._part_id = False, None, None
        now = (self._is_on, self._part_id)
        if now == self._returned:
            return None
        self._returned = now
        return now
