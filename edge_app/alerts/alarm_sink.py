"""Where the line's events become safe: numbered, on disk, and on their way to the broker.

Also keeps each camera's alarm level, for lamps and PLCs: on with a bad part, off when none has
come for the debounce time. The level is debounced; events never are.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edge_app.errors import OutboxError
from edge_app.imaging.camera_calibration import Geometry
from edge_app.mqtt.messages import AlertDraft, alert_from_event
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.timestamps import uuid7
from edge_app.mqtt.topics import DeviceName
from edge_app.records import AlarmEvent, EventKind

_log = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Batches held in memory while the alarm store cannot be written (disk full beyond the reserve,
disk gone). More would put inspection itself at risk; the oldest wait on, the overflow is logged."""

Batch = tuple[str, list[AlertDraft], "int | None"]


class AlarmSink:
    """Stores events in the outbox and wakes the publisher; called by the inspection thread.

    Args:
        who: this device.
        outbox: the alarm store.
        publisher: None where nothing is published.
        is_clock_synchronised: asked for every event.
        debounce_s: camera → how long its level stays on after the last bad part left.
        geometries: camera → its calibration, for defects in millimetres.
    """

    def __init__(
        self,
        who: DeviceName,
        outbox: Outbox,
        publisher: Publisher | None,
        is_clock_synchronised: Callable[[], bool],
        debounce_s: Mapping[str, float],
        geometries: Mapping[str, Geometry] = MappingProxyType({}),
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._who = who
        self._outbox = outbox
        self._publisher = publisher
        self._is_clock_synchronised = is_clock_synchronised
        self._geometries = geometries
        self._clock_ns = clock_ns
        self._pending: deque[Batch] = deque()
        self._lock = threading.Lock()
        self._is_failing = False
        self._levels = {name: AlarmLevel(s, monotonic_s) for name, s in debounce_s.items()}

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        """Store the events; on a failing store keep them in memory and try again later."""
        synchronised = self._is_clock_synchronised() if events else False
        drafts = [
            alert_from_event(
                event,
                self._who,
                message_id=uuid7(self._clock_ns(), secrets.randbits),
                clock_synchronised=synchronised,
                geometry=self._geometries.get(camera),
            )
            for event in events
        ]
        with self._lock:
            self._hold((camera, drafts, finished_number))
            self._flush()
            for event in events:
                self._levels[camera].take(event)
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

    def _hold(self, batch: Batch) -> None:
        """Queue a batch; progress without alarms does not take an alarm's place."""
        if self._pending:
            camera, drafts, _ = self._pending[-1]
            if camera == batch[0] and not drafts and batch[2] is not None:
                self._pending.pop()
        self._pending.append(batch)

    def _flush(self) -> None:
        """Store what is pending, in order. The caller holds the lock."""
        try:
            while self._pending:
                camera, drafts, number = self._pending[0]
                self._outbox.append(drafts, camera, number)
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

    def _note_failure(self, error: OutboxError) -> None:
        level = logging.DEBUG if self._is_failing else logging.ERROR
        _log.log(level, "alarms wait in memory (%d batches): %s", len(self._pending), error)
        self._is_failing = True
        if self._publisher is not None:
            self._publisher.set_degraded("alarm store cannot be written")
        while len(self._pending) > MAX_PENDING:
            camera, drafts, _ = self._pending.pop()
            _log.critical("camera %s: %d alarms lost: memory is full", camera, len(drafts))


class AlarmLevel:
    """One camera's level: on from a bad part's alarm until `debounce_s` after its end."""

    def __init__(self, debounce_s: float, monotonic_s: Callable[[], float]) -> None:
        self._debounce_s = debounce_s
        self._now_s = monotonic_s
        self._open: set[str] = set()
        self._off_at_s: float | None = None
        self._part_id: str | None = None
        self._is_on = False
        self._told: tuple[bool, str | None] = (False, None)

    def take(self, event: AlarmEvent) -> None:
        """Follow one event. Gaps and parts that were not inspected do not raise the level."""
        if event.verdict is None or event.verdict.score is None:
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
        is_told = self._told[0] or not self._is_on  # a lamp that was to be on is on first
        if is_told and self._off_at_s is not None and self._now_s() >= self._off_at_s:
            self._is_on, self._off_at_s, self._part_id = False, None, None
        now = (self._is_on, self._part_id)
        if now == self._told:
            return None
        self._told = now
        return now
