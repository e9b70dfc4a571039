"""The inspection thread: takes what the grabbers give, in order, and hands on what follows.

One thread for all cameras, because the graphs belong to one thread. It never waits for a
network, a page or a person: events go into the outbox on disk, everything else is a copy.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from edge_app.cameras.grabber import CameraState, Grabber, Unjudged
from edge_app.errors import EdgeError
from edge_app.records import AlarmEvent, Frame, FrameReport, PartVerdict, VerdictState
from edge_app.runtime.kept_maps import MapKeeper

_log = logging.getLogger(__name__)

IDLE_POLL_S = 0.25
"""A frame of any camera wakes us; this is only how often a stop request is checked."""


PAUSED = "paused"
"""Reason of parts that pass while a person has paused their camera."""


class Line(Protocol):
    """Judges one camera's parts: a model's `InspectionLine`, or one that has no model."""

    def inspect(self, frame: Frame) -> FrameReport: ...

    def miss(self, frame: Frame, reason: str) -> FrameReport: ...

    def finish(self, frame: Frame) -> FrameReport: ...

    def gap(self, first_number: int, last_number: int, reason: str) -> AlarmEvent: ...


LineHandOver = Callable[[Line, "Frame | None"], tuple[Line, "FrameReport | None"]]
"""Takes a line and its latest frame; returns the line after it, and what closing the old led to."""


class EventSink(Protocol):
    """Takes alarm events for good: when `deliver` returns they are safe on disk."""

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        """Store the events, and the last finished source number, in one transaction."""

    def forget_progress(self, camera: str) -> None:
        """A finite source was shown to its end: the next start begins with its first part."""


@dataclass(slots=True)
class GapWatch:
    """Notices numbered parts that nobody judged: between two numbers seen, or across a restart.

    Attributes:
        last_finished: as stored by the outbox; None when this camera never finished a part.
    """

    last_finished: int | None
    reason: str = "restart"

    def before(self, number: int | None) -> tuple[int, int, str] | None:
        """Return (first, last, reason) of the numbers missing before `number`; take note of it.

        A number that goes back (a source started over) is no gap.
        """
        if number is None:
            return None
        last, reason = self.last_finished, self.reason
        self.last_finished, self.reason = number, "lost"
        if last is None or number <= last + 1:
            return None
        return last + 1, number - 1, reason


@dataclass(slots=True)
class CameraPipeline:
    """One camera's way from its grabber to its line, and what is remembered between frames.

    Attributes:
        is_paused: a person has paused it; changed by the inspection thread.
        maps: brings maps to the pictures that are kept.
    """

    name: str
    grabber: Grabber
    line: Line
    gaps: GapWatch
    can_resume: bool = False
    latest: Frame | None = None
    is_closed: bool = field(default=False)
    is_paused: bool = field(default=False)
    maps: MapKeeper = field(default_factory=MapKeeper)


class InspectionThread:
    """Runs every pipeline's line until all sources have ended or `stop` is called.

    Args:
        pipelines: the cameras.
        sink: where events become safe.
        show: gets every frame's report, after its events are safe; must return at once.
    """

    def __init__(
        self,
        pipelines: Sequence[CameraPipeline],
        sink: EventSink,
        show: Callable[[FrameReport], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._pipelines = pipelines
        self._sink = sink
        self._show = show
        self._monotonic_ns = monotonic_ns
        self._seen: Callable[[FrameReport], FrameReport] = lambda report: report
        self._stop = threading.Event()
        self._wake_up = threading.Event()
        for pipeline in pipelines:
            pipeline.grabber.wake(self._wake_up)
        self._heartbeat_ns = monotonic_ns()
        self._failure: BaseException | None = None
        self._deferred: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="inspection", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask the thread to end after the part in hand, and wait for it."""
        self._stop.set()
        self._wake_up.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What ended the thread before its time, if anything did."""
        return self._failure

    def heartbeat_ns(self) -> int:
        """Monotonic time of the loop's last round, for the watchdog."""
        return self._heartbeat_ns

    def between_parts(self, task: Callable[[], None]) -> None:
        """Defer a quick task: this thread runs it after the frame in hand and before the next."""
        self._deferred.put(task)
        self._wake_up.set()

    def exchange(self, name: str, hand_over: LineHandOver) -> None:
        """Exchange a camera's line; from a deferred task only. No waiting frame is touched."""
        for pipeline in self._pipelines:
            if pipeline.name == name and not pipeline.is_closed:
                pipeline.line, report = hand_over(pipeline.line, pipeline.latest)
                if report is not None:
                    self._hand_on(pipeline, report, None)

    def pause(self, name: str, is_paused: bool) -> None:
        """Inspect no part of a camera from its next one on, or inspect again; returns at once."""

        def change() -> None:
            for pipeline in self._pipelines:
                if pipeline.name == name and pipeline.is_paused is not is_paused:
                    if is_paused and pipeline.latest is not None and not pipeline.is_closed:
                        report = without_alerts(pipeline.line.finish(pipeline.latest))
                        self._hand_on(pipeline, report, None)
                    pipeline.is_paused = is_paused

        self.between_parts(change)

    def mark_reports(self, seen: Callable[[FrameReport], FrameReport]) -> None:
        """Have every report go through `seen` before its events are stored; before `start` only."""
        self._seen = seen

    def deliver(self, camera: str, event: AlarmEvent) -> None:
        """Store an event that no frame has led to; returns at once."""
        self.between_parts(lambda: self._sink.deliver(camera, [event], None))

    def is_caught_up(self) -> bool:
        """Tell whether no frame waits anywhere."""
        return all(pipeline.grabber.queue_length() == 0 for pipeline in self._pipelines)

    def _run_deferred(self) -> None:
        while not self._deferred.empty():
            try:
                self._deferred.get()()
            except Exception:  # what was in place before goes on judging
                _log.exception("a deferred task between two parts failed")

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not all(p.is_closed for p in self._pipelines):
                self._heartbeat_ns = self._monotonic_ns()
                self._run_deferred()
                self._wake_up.clear()
                turns = [self._turn(pipeline) for pipeline in self._pipelines]
                if not any(turns):
                    self._wake_up.wait(IDLE_POLL_S)
            for pipeline in self._pipelines:
                self._close(pipeline)
        except Exception as error:
            self._failure = error
            _log.exception("inspection ended by an unexpected error")

    def _turn(self, pipeline: CameraPipeline) -> bool:
        """Give one camera its turn, at most one frame; tell whether it had one.

        Under overload every camera gets the same number of turns, whatever the others deliver.
        """
        if pipeline.is_closed:
            return False
        item = pipeline.grabber.next(0.0)
        if item is not None:
            self._take(pipeline, item)
            return True
        if pipeline.grabber.is_finished():
            self._close(pipeline)
            if pipeline.grabber.state() is CameraState.ENDED:
                self._sink.forget_progress(pipeline.name)
        return False

    def _close(self, pipeline: CameraPipeline) -> None:
        """Give every part still in the picture, or waiting for us, its verdict; once."""
        if pipeline.is_closed:
            return
        pipeline.is_closed = True
        while (item := pipeline.grabber.next(0.0)) is not None:
            if pipeline.can_resume:
                break  # the source shows these again at the next start
            self._take(pipeline, item if isinstance(item, Unjudged) else _stopped(item))
        if pipeline.latest is not None:
            self._hand_on(pipeline, pipeline.line.finish(pipeline.latest), None)

    def _take(self, pipeline: CameraPipeline, item: Frame | Unjudged) -> None:
        if pipeline.gaps.last_finished is None and item.source_number is not None:
            # The very first part: from here on a kill leaves a gap that can be reported.
            self._sink.deliver(pipeline.name, [], item.source_number - 1)
        missing = pipeline.gaps.before(item.source_number)
        if pipeline.is_paused:
            report = self._pass_by(pipeline, item)
        elif isinstance(item, Unjudged):
            _log.warning("%s: part not inspected: %s %s", pipeline.name, item.reason, item.message)
            report = pipeline.line.miss(_unseen(item), item.reason)
        else:
            pipeline.latest = item
            report = self._inspect(pipeline, item)
        if missing:
            report = replace(report, events=(pipeline.line.gap(*missing), *report.events))
        self._hand_on(pipeline, report, item.source_number)

    def _pass_by(self, pipeline: CameraPipeline, item: Frame | Unjudged) -> FrameReport:
        """Return a part as not inspected, without an alert; of a belt nobody knows the parts."""
        is_part = isinstance(item, Unjudged) or item.source_number is not None
        frame = _unseen(item) if isinstance(item, Unjudged) else item
        if not is_part and item.trigger_id is None:
            return FrameReport(frame, (), {}, {}, {}, (), ())
        return without_alerts(pipeline.line.miss(frame, PAUSED))

    def _inspect(self, pipeline: CameraPipeline, frame: Frame) -> FrameReport:
        try:
            return pipeline.line.inspect(frame)
        except EdgeError as error:
            _log.error("%s: frame %d not inspected: %s", pipeline.name, frame.frame_id, error)
        except Exception:  # one odd frame must not end inspection for all that follow
            _log.exception("%s: frame %d not inspected", pipeline.name, frame.frame_id)
        return pipeline.line.miss(frame, "internal_error")

    def _hand_on(self, pipeline: CameraPipeline, report: FrameReport, number: int | None) -> None:
        report = self._marked(pipeline.maps.completed(report))
        if report.events or number is not None:
            self._sink.deliver(pipeline.name, report.events, number)
        try:
            self._show(report)
        except Exception:  # the page is no reason to stop inspecting
            _log.exception("%s: showing frame %d failed", pipeline.name, report.frame.frame_id)

    def _marked(self, report: FrameReport) -> FrameReport:
        try:
            return self._seen(report)
        except Exception:  # an alarm must not be lost for a golden part
            _log.exception("golden parts of frame %d are not followed", report.frame.frame_id)
            return report


def without_alerts(report: FrameReport) -> FrameReport:
    """Return the report of parts that a pause let pass: NOT_INSPECTED (paused), without an alert.

    A part that was alerted before keeps its verdict and its end. Of the others no picture is kept:
    people work at the line.
    """
    finished = tuple(_paused(verdict) for verdict in report.finished)
    unseen = {v.part_id for v in report.finished if v.state is VerdictState.NOT_INSPECTED}
    verdicts = {k: _paused(v) if k in unseen else v for k, v in report.verdicts.items()}
    events = tuple(e for e in report.events if e.verdict is None or e.verdict.part_id not in unseen)
    kept = tuple(part for part in report.kept if part.verdict.part_id not in unseen)
    return replace(report, finished=finished, verdicts=verdicts, events=events, kept=kept)


def _paused(verdict: PartVerdict) -> PartVerdict:
    is_unseen = verdict.state is VerdictState.NOT_INSPECTED
    return replace(verdict, reason=PAUSED) if is_unseen else verdict


def _stopped(frame: Frame) -> Unjudged:
    """Return the record of a part that was waiting when the app was stopped."""
    return Unjudged(
        camera=frame.camera,
        source_number=frame.source_number,
        trigger_id=frame.trigger_id,
        captured_at_ns=frame.captured_at_ns,
        reason="stopped",
        frame_id=frame.frame_id,
        frame_hw=frame.hw,
    )


def _unseen(item: Unjudged) -> Frame:
    """Return the frame that stands for a part nobody saw: its picture is empty."""
    return Frame(
        camera=item.camera,
        frame_id=item.frame_id,
        pixels_hwc=np.zeros((*item.frame_hw, 0), np.uint8),
        captured_at_ns=item.captured_at_ns,
        trigger_id=item.trigger_id,
        source_number=item.source_number,
        source_name=item.source_name,
    )
