"""Alarms on their way to the outbox, with the history told before and after."""

from __future__ import annotations

from collections.abc import Sequence

from edge_app.history.writer import HistoryWriter
from edge_app.records import AlarmEvent
from edge_app.runtime.inspection_thread import EventSink


class RecordedSink:
    """An event sink whose alarms the history records (see EventSink).

    The outbox has an alert first; it may delete it once the part's row is committed.
    """

    def __init__(self, sink: EventSink, history: HistoryWriter) -> None:
        self._sink, self._history = sink, history

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        """See EventSink."""
        self._history.expect(events)
        try:
            self._sink.deliver(camera, events, finished_number)
        finally:
            self._history.alarmed(events)

    def forget_progress(self, camera: str) -> None:
        """See EventSink."""
        self._sink.forget_progress(camera)
