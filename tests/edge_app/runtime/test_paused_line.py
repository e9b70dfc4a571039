"""A pause on the inspection thread: what is in the picture is closed, what passes has no alert."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.brokers import wait_until
from support.history_parts import verdict
from support.small_bundles import write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import Grabber, Unjudged
from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.errors import FrameTimeout
from edge_app.history.ledger import check_history
from edge_app.history.retention import Retention
from edge_app.history.writer import HistoryWriter
from edge_app.inspection.tracker import BeltTracker, Tracker
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.records import (
    AlarmEvent,
    Detection,
    EventKind,
    Frame,
    FrameReport,
    Gap,
    VerdictState,
)
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread
from edge_app.runtime.unseen_parts import without_alerts


class SteadyCamera:
    """Shows one picture again and again; a trigger's name on each, if it is triggered."""

    def __init__(self, is_triggered: bool, grey: int) -> None:
        self._is_triggered, self._grey = is_triggered, grey
        self._count = 0
        self._gate = threading.Event()

    def open(self, resume_after: int | None = None) -> None:
        pass

    def read(self, timeout_s: float) -> Frame:
        if self._gate.wait(min(timeout_s, 0.01)):
            raise FrameTimeout("closed")
        self._count += 1
        pixels = np.full((80, 96, 3), self._grey, np.uint8)
        pixels[0, 0] = self._count % 256  # no picture is the one before
        trigger = f"t{self._count}" if self._is_triggered else None
        number = self._count if self._is_triggered else None
        now_ns = time.time_ns()
        return Frame("cam", self._count, pixels, now_ns, trigger_id=trigger, source_number=number)

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        mode: CameraMode = "triggered" if self._is_triggered else "live"
        return CameraInfo("steady:", mode, (80, 96), self._is_triggered, False)


class StandingPart:
    """A finder that sees one part lying still in the middle of the picture."""

    def find(self, pixels_hwc: object) -> list[Detection]:
        return [Detection((48.0, 40.0, 60.0, 30.0, 0.0), 0.9)]


class Sink:
    """Writes down what was delivered."""

    def __init__(self) -> None:
        self.events: list[AlarmEvent] = []
        self.numbers: list[int] = []

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        self.events += events
        if finished_number is not None:
            self.numbers.append(finished_number)

    def forget_progress(self, camera: str) -> None:
        pass


class Line:
    """One camera's line, running."""

    def __init__(self, folder: Path, is_triggered: bool, grey: int) -> None:
        model = load_model(read_bundle(write_bright_bundle(folder / "a.bundle")))
        camera = SteadyCamera(is_triggered, grey)
        tracker: Tracker = BeltTracker("b")
        if is_triggered:
            tracker = make_tracker(camera.describe(), "t", True)
        else:
            model = replace(model, finder=StandingPart())
        line = make_line(model, "cam", tracker, lambda: "alarm")
        self.grabber = Grabber(camera, "cam")
        self.sink, self.reports = Sink(), list[FrameReport]()
        pipeline = CameraPipeline("cam", self.grabber, line, GapWatch(None))
        self.thread = InspectionThread([pipeline], self.sink, self.reports.append)

    def __enter__(self) -> Line:
        self.grabber.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.grabber.stop()
        self.thread.stop()
        assert self.thread.failure is None

    def pause(self, is_paused: bool) -> None:
        """Order it, and wait until some frames came after it."""
        self.thread.pause("cam", is_paused)
        seen = len(self.reports)
        wait_until(lambda: len(self.reports) > seen + 5, 20, "frames")

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.sink.events]


def test_a_belt_that_is_paused(tmp_path: Path) -> None:
    """The bad part in the picture gets its end; then nothing is looked at, pictures still come;
    afterwards the part there is a new one."""
    with Line(tmp_path, is_triggered=False, grey=250) as line:
        wait_until(lambda: line.kinds == [EventKind.NEW], 20, "the alarm")
        line.pause(True)
        assert line.kinds == [EventKind.NEW, EventKind.END]
        paused = line.reports[-3:]
        assert all(not (r.views or r.finished or r.events) for r in paused)
        line.pause(True)  # twice is once
        line.pause(False)
        wait_until(lambda: len(line.kinds) == 3, 20, "the alarm after the pause")
        first, _, second = line.sink.events
        assert first.verdict is not None
        assert second.verdict is not None
        assert first.verdict.part_id != second.verdict.part_id


def test_triggers_in_a_pause_are_verdicts_out(tmp_path: Path) -> None:
    """Each has one, in order, and its number is finished; none has an alert."""
    with Line(tmp_path, is_triggered=True, grey=250) as line:
        wait_until(lambda: len(line.kinds) > 2, 20, "alarms")
        line.pause(True)
        before, seen = len(line.kinds), len(line.reports)
        line.pause(True)
        assert len(line.kinds) == before
        found = [v for r in line.reports[seen:] for v in r.finished]
        assert {(v.state, v.reason) for v in found} == {(VerdictState.NOT_INSPECTED, "paused")}
        assert all(v.trigger_id for v in found)
        line.pause(False)
        wait_until(lambda: len(line.kinds) > before, 20, "alarms after it")
    numbers = [v.source_number for r in line.reports for v in r.finished]
    assert numbers == list(range(1, len(numbers) + 1))
    assert line.sink.numbers[-1] == numbers[-1]


@pytest.mark.parametrize("reason", ["overload", "deadline", "corrupt_picture"])
def test_what_could_not_be_judged_anyway_is_paused_too(tmp_path: Path, reason: str) -> None:
    """No alert for it either."""
    line = Line(tmp_path, is_triggered=True, grey=250)
    (pipeline,) = line.thread._pipelines
    pipeline.is_paused = True
    line.thread._take(pipeline, Unjudged("cam", 4, "t4", time.time_ns(), reason))
    assert line.sink.events == []
    (report,) = line.reports
    assert [(v.reason, v.trigger_id) for v in report.finished] == [("paused", "t4")]


def test_only_alerts_of_parts_that_passed_are_left_out() -> None:
    """A part that was alerted before has its end; a gap is told; what was judged stays so."""
    bad, unseen = verdict(1, "NG", 5.0), verdict(2, "NOT_INSPECTED")
    events = (
        AlarmEvent(EventKind.END, "c", "a1", bad),
        AlarmEvent(EventKind.NEW, "c", "a2", unseen),
        AlarmEvent(EventKind.END, "c", "a2", unseen),
        AlarmEvent(EventKind.GAP, "c", "a3", gap=Gap("c", 5, 6, "lost")),
    )
    frame = Frame("c", 1, np.zeros((4, 4, 3), np.uint8), 1)
    verdicts = {bad.part_id: bad, unseen.part_id: unseen}
    report = FrameReport(frame, (), {}, {}, verdicts, (bad, unseen), events)
    found = without_alerts(report)
    assert [e.alarm_id for e in found.events] == ["a1", "a3"]
    assert [v.reason for v in found.finished] == [bad.reason, "paused"]
    assert found.verdicts[unseen.part_id].reason == "paused"
    assert found.verdicts[bad.part_id] == bad


def test_a_pause_of_parts_without_numbers_is_a_row(tmp_path: Path) -> None:
    """It says from when to when nobody knows what passed, and is told apart from a restart."""
    path = tmp_path / "history.sqlite"
    writer = HistoryWriter(path, {"c": "main"}, Retention(90, 64), {})
    writer.start()
    writer.paused("c", 1_000, 2_000)
    writer.close()
    found = check_history(path)
    assert found.is_whole
    assert (found.downs, found.pauses) == (0, 1)
