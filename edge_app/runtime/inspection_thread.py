"""The inspection thread: takes what the grabbers give, in order, and hands on what follows.

One thread for all cameras, because a graph belongs to one thread. While it inspects a picture, the
products of the one that waits are found in another (`find_ahead.py`). It never waits for a network,
a page or a person: events go into the outbox on disk, everything else is a copy.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edge_app.cameras.frame_queue import Waiting
from edge_app.cameras.grabber import CameraState, Grabber, Unjudged
from edge_app.errors import EdgeError
from edge_app.inspection.line import Found, InspectionLine
from edge_app.records import AlarmEvent, Frame, FrameReport
from edge_app.runtime.find_ahead import FindAhead, FindJob, has_core_to_spare
from edge_app.runtime.kept_maps import MapKeeper
from edge_app.runtime.unseen_parts import PAUSED, stopped, unseen, without_alerts

_log = logging.getLogger(__name__)

IDLE_POLL_S = 0.25
"""A frame of any camera wakes us; this is only how often a stop request is checked."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What a grabber gave and nobody has judged yet.

    Attributes:
        job: finds its products, where that has begun.
    """

    pipeline: CameraPipeline
    entry: Waiting
    job: FindJob | None = None

    def found_for(self, line: InspectionLine) -> Found | None:
        """Return what a line's own detector has found in it; waits for it."""
        return self.job.result() if self.job is not None and self.job.line is line else None


class InspectionThread:
    """Runs every pipeline's line until all sources have ended or `stop` is called.

    Args:
        pipelines: the cameras.
        sink: where events become safe.
        show: gets every frame's report, after its events are safe; must return at once.
        finds_ahead: find the next picture's products while one is inspected; None: where the
            process has a core to spare.
    """

    def __init__(
        self,
        pipelines: Sequence[CameraPipeline],
        sink: EventSink,
        show: Callable[[FrameReport], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        finds_ahead: bool | None = None,
    ) -> None:
        self._pipelines = pipelines
        self._turn = 0
        self._finder = FindAhead()
        self._finds_ahead = has_core_to_spare() if finds_ahead is None else finds_ahead
        self._next: Taken | None = None
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
        return self._next is None and all(p.grabber.queue_length() == 0 for p in self._pipelines)

    def _run_deferred(self) -> None:
        while not self._deferred.empty():
            self._finder.settle()  # a task may put another model in the line's place
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
                taken, self._next = self._next or self._take_next(), None
                if taken is not None:
                    self._judge(taken)
                if not self._close_ended() and taken is None:
                    self._wake_up.wait(IDLE_POLL_S)
            for pipeline in self._pipelines:
                self._close(pipeline)
        except Exception as error:
            self._failure = error
            _log.exception("inspection ended by an unexpected error")
        finally:
            self._finder.close()

    def _in_turn(self) -> list[CameraPipeline]:
        """Return the open pipelines, the one after the last that was served first.

        Under overload every camera gets the same number of turns, whatever the others deliver; what
        comes while a part of another camera is ahead waits for it as well.
        """
        order = [*self._pipelines[self._turn :], *self._pipelines[: self._turn]]
        return [pipeline for pipeline in order if not pipeline.is_closed]

    def _take_next(self) -> Taken | None:
        """Return what waits at the camera whose turn it is."""
        for pipeline in self._in_turn():
            entry = pipeline.grabber.take(0.0)
            if entry is not None:
                self._turn = self._pipelines.index(pipeline) + 1
                return Taken(pipeline, entry)
        return None

    def _look_ahead(self) -> None:
        """Have the products of the next frame found, if one waits and its line can do that."""
        waiting = next((p for p in self._in_turn() if p.grabber.queue_length()), None)
        if not self._finds_ahead or waiting is None or waiting.is_paused:
            return
        line = waiting.line
        if not isinstance(line, InspectionLine) or not line.finds_ahead:
            return
        self._next = taken = self._take_next()
        if taken is not None and taken.pipeline is waiting and isinstance(taken.entry.item, Frame):
            self._next = replace(taken, job=self._finder.begin(line, taken.entry.item))

    def _judge(self, taken: Taken) -> None:
        if taken.job is not None:
            self._finder.settle()  # also of a part that is late by now
        self._take(taken.pipeline, taken.pipeline.grabber.due(taken.entry), taken)

    def _close_ended(self) -> bool:
        """Close the pipelines whose source has ended and whose last frame is judged."""
        in_hand = None if self._next is None else self._next.pipeline
        ended = [p for p in self._in_turn() if p is not in_hand and p.grabber.is_finished()]
        for pipeline in ended:
            self._close(pipeline)
            if pipeline.grabber.state() is CameraState.ENDED:
                self._sink.forget_progress(pipeline.name)
        return bool(ended)

    def _close(self, pipeline: CameraPipeline) -> None:
        """Give every part still in the picture, or waiting for us, its verdict; once."""
        if pipeline.is_closed:
            return
        pipeline.is_closed = True
        for item in self._waiting_of(pipeline):
            if pipeline.can_resume:
                break  # the source shows these again at the next start
            self._take(pipeline, item if isinstance(item, Unjudged) else stopped(item))
        if pipeline.latest is not None:
            self._hand_on(pipeline, pipeline.line.finish(pipeline.latest), None)

    def _waiting_of(self, pipeline: CameraPipeline) -> Iterator[Frame | Unjudged]:
        """Take everything that waits at one camera, what is ahead first.

        Of a belt's pictures only the newest: nobody knows whether they show a part.
        """
        if self._next is not None and self._next.pipeline is pipeline:
            ahead, self._next = self._next.entry.item, None
            if ahead.source_number is not None or ahead.trigger_id is not None:
                yield ahead
        while (item := pipeline.grabber.next(0.0)) is not None:
            yield item

    def _take(
        self, pipeline: CameraPipeline, item: Frame | Unjudged, taken: Taken | None = None
    ) -> None:
        if pipeline.gaps.last_finished is None and item.source_number is not None:
            # The very first part: from here on a kill leaves a gap that can be reported.
            self._sink.deliver(pipeline.name, [], item.source_number - 1)
        missing = pipeline.gaps.before(item.source_number)
        if pipeline.is_paused:
            report = self._pass_by(pipeline, item)
        elif isinstance(item, Unjudged):
            _log.warning("%s: part not inspected: %s %s", pipeline.name, item.reason, item.message)
            report = pipeline.line.miss(unseen(item), item.reason)
        else:
            pipeline.latest = item
            report = self._inspect(pipeline, item, taken)
        if missing:
            report = replace(report, events=(pipeline.line.gap(*missing), *report.events))
        self._hand_on(pipeline, report, item.source_number)

    def _pass_by(self, pipeline: CameraPipeline, item: Frame | Unjudged) -> FrameReport:
        """Return a part as not inspected, without an alert; of a belt nobody knows the parts."""
        is_part = isinstance(item, Unjudged) or item.source_number is not None
        frame = unseen(item) if isinstance(item, Unjudged) else item
        if not is_part and item.trigger_id is None:
            return FrameReport(frame, (), {}, {}, {}, (), ())
        return without_alerts(pipeline.line.miss(frame, PAUSED))

    def _inspect(self, pipeline: CameraPipeline, frame: Frame, taken: Taken | None) -> FrameReport:
        line = pipeline.line
        try:
            if not isinstance(line, InspectionLine):
                return line.inspect(frame)
            self._finder.settle()  # a detector looks at one picture at a time
            found = (taken and taken.found_for(line)) or line.find(frame)
            self._look_ahead()
            return line.inspect(frame, found)
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
