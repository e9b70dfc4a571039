"""The products of the picture that waits are found while the one before it is inspected."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
import weakref

import pytest
from support.brokers import wait_until
from support.small_bundles import write_bright_bundle
from support.watched_line import Looks, Pictures, Running, Scores, Sink, model_of

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import Grabber, GrabberClock
from edge_app.errors import ModelError
from edge_app.inspection.line import InspectionLine
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import FrameReport, U8Array
from edge_app.runtime.find_ahead import has_core_to_spare
from edge_app.runtime.inspection_thread import (
    IDLE_POLL_S,
    CameraPipeline,
    GapWatch,
    InspectionThread,
)


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("bundle") / "a.bundle"
    return load_model(read_bundle(write_bright_bundle(path)), 1)


def test_two_pictures_are_in_work_at_once(bright: LoadedModel) -> None:
    """The first picture's inspection waits for the second one to be looked at, and it is."""
    second, both = threading.Event(), list[bool]()
    looks = Looks(lambda number: second.set() if number == 2 else None)
    scores = Scores(lambda grey: both.append(second.wait(20)) if grey == 1 else None)
    line = Running(bright, looks, scores, Pictures("file", 3))
    line.run(3)
    assert both == [True]
    assert line.looks.seen[0] == (1, "inspection")  # nothing to go ahead of
    assert line.looks.ahead == [2, 3]


@pytest.mark.parametrize(("finds_ahead", "may_run_beside"), [(False, True), (True, False)])
def test_nothing_goes_ahead(bright: LoadedModel, finds_ahead: bool, may_run_beside: bool) -> None:
    """Not on one core, and not a graph that shares a GPU with the other."""
    looks = Looks(may_run_beside=may_run_beside)
    line = Running(bright, looks, Scores(), Pictures("file", 5), finds_ahead)
    line.run(5)
    assert looks.seen == [(n, "inspection") for n in range(1, 6)]


def test_verdicts_alerts_and_order_are_the_same(bright: LoadedModel) -> None:
    """Fifteen parts, three of them bad: what is delivered is the same, one by one."""
    found = []
    for finds_ahead in (True, False):
        camera = Pictures("file", 15, frozenset({4, 5, 11}))
        line = Running(bright, Looks(), Scores(), camera, finds_ahead)
        line.run(15)
        found.append((line.sink.kinds, line.verdicts, [len(r.views) for r in line.reports]))
        assert [r.timings_ms.keys() for r in line.reports if r.views] == 15 * [
            {"detect": 0, "crop": 0, "inspect": 0, "judge": 0}.keys()
        ]
    assert found[0] == found[1]
    assert [n for n, state, _ in found[0][1] if state == "NG"] == [4, 5, 11]


@pytest.mark.parametrize(
    ("error", "reason"), [(ModelError("no"), "model_error"), (ValueError("no"), "internal_error")]
)
def test_a_detector_that_fails_ahead_costs_its_own_part(
    bright: LoadedModel, error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The part that could not be looked for is not inspected; those beside it are."""
    caplog.set_level(logging.CRITICAL)

    def fail(number: int) -> None:
        if number == 2:
            raise error

    line = Running(bright, Looks(fail), Scores(), Pictures("file", 3))
    line.run(3)
    assert line.verdicts == [(1, "OK", ""), (2, "NOT_INSPECTED", reason), (3, "OK", "")]
    assert line.looks.ahead[0] == 2


def test_a_detector_looks_at_one_picture_at_a_time(bright: LoadedModel) -> None:
    """The part ahead is late when its turn comes, and still being looked for: the next one waits
    until the detector is free."""
    now_ns, is_late = [0], threading.Event()

    def slow(number: int) -> None:
        if number == 2:
            is_late.wait(20)
            time.sleep(0.3)

    def pass_time(grey: int) -> None:
        if grey == 1:
            now_ns[0] += 200_000_000
            is_late.set()

    camera = Pictures("triggered", 3, last_after=is_late)
    clock = GrabberClock(monotonic_ns=lambda: now_ns[0])
    line = Running(bright, Looks(slow), Scores(pass_time), camera, clock=clock)
    line.run(3, waiting=2)
    assert line.verdicts == [(1, "OK", ""), (2, "NOT_INSPECTED", "deadline"), (3, "OK", "")]
    assert line.looks.overlaps == 0


def test_another_model_looks_anew(bright: LoadedModel) -> None:
    """The model changes while a picture is looked at: the old one has finished by then, and the new
    one looks again."""
    other, was_busy = Looks(), list[bool]()
    has_begun = threading.Event()
    line: Running

    def slow(number: int) -> None:
        if number == 2:
            has_begun.set()
            time.sleep(0.3)

    def change(grey: int) -> None:
        if grey == 1:
            assert has_begun.wait(20)
            line.thread.between_parts(lambda: line.thread.exchange("cam", exchange))

    def exchange(_old: object, _latest: object) -> tuple[InspectionLine, None]:
        was_busy.append(line.looks.is_busy)
        return new, None

    line = Running(bright, Looks(slow), Scores(change), Pictures("file", 3))
    new = make_line(model_of(bright, other, Scores()), "cam", line.tracker, lambda: "alarm")
    line.run(3)
    assert was_busy == [False]
    assert [number for number, _ in line.looks.seen] == [1, 2]
    assert [number for number, _ in other.seen] == [2, 3]
    assert [state for _, state, _ in line.verdicts] == ["OK", "OK", "OK"]


def test_a_pause_with_a_part_ahead(bright: LoadedModel) -> None:
    """It passes uninspected like those behind it, and while it lasts nothing goes ahead."""
    line: Running

    def pause(grey: int) -> None:
        if grey == 1:
            wait_until(lambda: line.looks.ahead == [2], 20, "the second picture")
            line.thread.pause("cam", True)

    line = Running(bright, Looks(), Scores(pause), Pictures("file", 4))
    line.run(4)
    assert line.verdicts == [(1, "OK", ""), *((n, "NOT_INSPECTED", "paused") for n in (2, 3, 4))]
    assert [number for number, _ in line.looks.seen] == [1, 2]


def test_a_picture_ahead_waits_too(bright: LoadedModel) -> None:
    """Nobody takes the line for caught up while one is ahead and the queue is empty."""
    caught_up = list[bool]()
    line: Running

    def ask(grey: int) -> None:
        if grey == 1:
            assert line.grabber.queue_length() == 0
            caught_up.append(line.thread.is_caught_up())

    line = Running(bright, Looks(), Scores(ask), Pictures("file", 2))
    line.run(2)
    assert caught_up == [False]


def test_no_thread_to_be_had(bright: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part is judged all the same, and later pictures go ahead again."""
    start, refused = threading.Thread.start, list[str]()

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == "find-ahead" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    line = Running(bright, Looks(), Scores(), Pictures("file", 5))
    line.run(5)
    assert refused == ["find-ahead"]
    assert [state for _, state, _ in line.verdicts] == ["OK"] * 5
    assert line.looks.ahead == [3, 4, 5]


def test_a_detector_that_hangs_ahead_stops_the_heartbeat(bright: LoadedModel) -> None:
    """The watchdog sees it as it sees one that hangs in the inspection thread."""
    release = threading.Event()

    def hang(number: int) -> None:
        if number > 1:
            release.wait(60)

    looks = Looks(hang)
    line = Running(bright, looks, Scores(), Pictures("file", 3))
    line.grabber.start()
    wait_until(lambda: line.grabber.queue_length() == 3, 20, "pictures")
    line.thread.start()
    wait_until(lambda: looks.ahead == [2] and len(line.verdicts) == 1, 20, "the second picture")
    time.sleep(0.1)
    beat = line.thread.heartbeat_ns()
    time.sleep(3 * IDLE_POLL_S)
    assert line.thread.heartbeat_ns() == beat
    release.set()
    wait_until(lambda: len(line.verdicts) == 3, 20, "verdicts")
    line.grabber.stop()
    line.thread.stop()


def two_cameras(bright: LoadedModel, looks: Looks, paused: str | None = None) -> list[FrameReport]:
    """Judge twelve parts of each of the cameras a and b, with one model; one may be paused."""
    model = model_of(bright, looks, Scores())
    pipelines = []
    for name in ("a", "b"):
        camera = Pictures("file", 12)
        tracker = make_tracker(camera.describe(), name, model.fills_frame)
        line = make_line(model, name, tracker, lambda: "alarm")
        pipelines.append(CameraPipeline(name, Grabber(camera, name), line, GapWatch(None)))
    reports = list[FrameReport]()
    thread = InspectionThread(pipelines, Sink(), reports.append, finds_ahead=True)
    for pipeline in pipelines:
        pipeline.grabber.start()
    if paused is not None:
        thread.pause(paused, True)
    thread.start()
    thread._thread.join(60)
    assert thread.failure is None
    return reports


def test_cameras_share_a_detector(bright: LoadedModel) -> None:
    """Two cameras, one model: each part once, in each camera's order, never two at the detector."""
    looks = Looks(lambda _number: time.sleep(0.002))
    found = [v for report in two_cameras(bright, looks) for v in report.finished]
    for name in ("a", "b"):
        own = [v.source_number for v in found if v.part_id.startswith(name)]
        assert own == list(range(1, 13))
    assert looks.overlaps == 0
    assert looks.ahead


def test_nobody_looks_at_the_parts_of_a_paused_camera(bright: LoadedModel) -> None:
    """Not ahead either, while another camera's parts are inspected."""
    looks = Looks(lambda _number: time.sleep(0.002))
    found = [v for report in two_cameras(bright, looks, "a") for v in report.finished]
    assert {v.reason for v in found if v.part_id.startswith("a")} == {"paused"}
    assert sorted(number for number, _ in looks.seen) == list(range(1, 13))


@pytest.mark.parametrize("can_resume", [False, True])
def test_a_stop_with_a_picture_ahead(bright: LoadedModel, can_resume: bool) -> None:
    """It is among those that waited: not inspected, once, in order; or shown again another time."""
    line: Running

    def stop(_grey: int) -> None:
        wait_until(lambda: line.looks.ahead == [2], 20, "the second picture")
        line.thread._stop.set()

    line = Running(bright, Looks(), Scores(stop), Pictures("file", 4))
    line.pipeline.can_resume = can_resume
    line.grabber.start()
    wait_until(lambda: line.grabber.queue_length() == 4, 20, "pictures")
    line.thread.start()
    line.thread._thread.join(20)
    line.grabber.stop()
    stopped = [(n, "NOT_INSPECTED", "stopped") for n in (2, 3, 4)]
    assert line.verdicts == [(1, "OK", ""), *([] if can_resume else stopped)]


def test_a_source_ends_beside_one_that_never_rests(bright: LoadedModel) -> None:
    """A camera that always has a picture waiting keeps no other from being closed."""
    model = model_of(bright, Looks(), Scores(lambda _grey: time.sleep(0.005)))
    pipelines = []
    for name, camera in (("busy", Pictures("live", 0)), ("ends", Pictures("file", 3))):
        tracker = make_tracker(camera.describe(), name, model.fills_frame)
        line = make_line(model, name, tracker, lambda: "alarm")
        pipelines.append(CameraPipeline(name, Grabber(camera, name), line, GapWatch(None)))
    sink, reports = Sink(), list[FrameReport]()
    thread = InspectionThread(pipelines, sink, reports.append, finds_ahead=True)
    for pipeline in pipelines:
        pipeline.grabber.start()
    thread.start()
    wait_until(lambda: sink.forgotten == ["ends"], 20, "the end")
    assert pipelines[1].is_closed
    assert not pipelines[0].is_closed
    for pipeline in pipelines:
        pipeline.grabber.stop()
    thread.stop()
    assert [n for n in sink.numbers if n is not None] == [0, 1, 2, 3]
    assert thread.failure is None


def test_a_stop_of_a_belt_with_a_picture_ahead(bright: LoadedModel) -> None:
    """One picture is told as not looked at, as without: which parts they show nobody knows."""
    line: Running

    def stop(_grey: int) -> None:
        if line.thread._next is not None:
            wait_until(lambda: line.grabber.queue_length() == 1, 20, "one more")
            line.grabber.stop()  # first, as the application does: it lets what waits be
            line.thread._stop.set()

    line = Running(bright, Looks(), Scores(stop), Pictures("live", 0))
    line.grabber.start()
    wait_until(lambda: line.grabber.queue_length() == 1, 20, "a picture")
    line.thread.start()
    line.thread._thread.join(20)
    assert [reason for _, _, reason in line.verdicts].count("stopped") == 1
    assert line.thread.is_caught_up() or line.grabber.queue_length() > 0


def test_one_core_has_none_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what this process may use, not what the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert not has_core_to_spare()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {1, 3})
    assert has_core_to_spare()


@pytest.mark.parametrize("error", [None, ModelError("no"), MemoryError()])
def test_a_picture_is_let_go_once_it_is_judged(
    bright: LoadedModel, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """At 20 million pixels a picture that the waiting threads hold on to costs 58 MiB. None waits
    for the collector: it comes seldom."""
    caplog.set_level(logging.CRITICAL)

    def look(number: int) -> None:
        if error is not None and number > 1:
            raise type(error)(*error.args)

    clock = GrabberClock(monotonic_ns=lambda: 0)
    line = Running(bright, Looks(look), Scores(), Pictures("triggered", 3), clock=clock)
    held = list[weakref.ref[U8Array]]()

    def show(report: FrameReport) -> None:
        held.append(weakref.ref(report.frame.pixels_hwc))  # and nothing else of it

    def is_let_go() -> bool:
        line.pipeline.latest = None
        return len(held) == 3 and all(ref() is None for ref in held)

    line.thread._show = show
    line.grabber.start()
    wait_until(lambda: line.grabber.queue_length() == 3, 20, "pictures")
    gc.disable()
    try:
        line.thread.start()
        wait_until(is_let_go, 20, "the pictures let go")
    finally:
        gc.enable()
    assert line.looks.ahead[:1] == [2]
    line.grabber.stop()
    line.thread.stop()
