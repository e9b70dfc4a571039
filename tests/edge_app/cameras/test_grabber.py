"""The grabber's thread, fed by a source that plays a script of frames and faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.brokers import patient_s

from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.grabber import CameraState, Grabber, GrabberClock, GrabberLimits, Unjudged
from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.errors import (
    CameraError,
    CameraUnavailable,
    EndOfStream,
    FrameCorrupt,
    FrameTimeout,
)
from edge_app.records import Frame

S = 1_000_000_000
WAIT_S = 5.0

Step = int | CameraError | Exception | Callable[[], None]


class Clock:
    """Monotonic time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S

    def __call__(self) -> int:
        return self.now_ns

    def pause(self, stop: threading.Event, seconds: float) -> None:
        del stop
        self.now_ns += round(seconds * S)


class ScriptedCamera:
    """Delivers a frame for each number, raises each error, calls each function; then ends.

    `open` takes its faults from `open_faults`, one per attempt. A time-out lets the clock pass.
    """

    def __init__(
        self,
        mode: CameraMode,
        script: list[Step],
        *,
        open_faults: list[Exception | None] | None = None,
        clock: Clock | None = None,
        is_local: bool = False,
    ) -> None:
        self.mode: CameraMode = mode
        self.is_local = is_local
        self.opened_after: list[int | None] = []
        self.closes = 0
        self._steps: Iterator[Step] = iter(script)
        self._open_faults = iter(open_faults or [])
        self._clock = clock
        self._frames = 0

    def open(self, resume_after: int | None = None) -> None:
        self.opened_after.append(resume_after)
        fault = next(self._open_faults, None)
        if fault is not None:
            raise fault

    def read(self, timeout_s: float) -> Frame:
        for step in self._steps:
            if callable(step):
                step()
                continue
            if isinstance(step, FrameTimeout) and self._clock is not None:
                self._clock.now_ns += round(timeout_s * S)
            if isinstance(step, Exception):
                raise step
            return self._frame(step)
        raise EndOfStream("script done")

    def close(self) -> None:
        self.closes += 1

    def describe(self) -> CameraInfo:
        is_file, is_numbered = self.mode == "file", self.mode != "live"
        return CameraInfo("scripted:", self.mode, None, is_numbered, is_file, self.is_local)

    def _frame(self, number: int) -> Frame:
        self._frames += 1
        is_part = self.mode != "live"
        trigger_id = f"t{number}" if self.mode == "triggered" else None
        pixels = np.zeros((2, 3, 3), np.uint8)
        return Frame("cam1", number, pixels, 77, trigger_id, number if is_part else None)


def drain(grabber: Grabber) -> list[Frame | Unjudged]:
    """Take everything until the grabber has finished."""
    items, until_s = [], time.monotonic() + 20
    while not grabber.is_finished():
        assert time.monotonic() < until_s, "the grabber does not finish"
        item = grabber.next(0.5)
        if item is not None:
            items.append(item)
    grabber.stop()
    return items


def outline(items: list[Frame | Unjudged]) -> list[tuple[str, int | None]]:
    return [
        (item.reason if isinstance(item, Unjudged) else "frame", item.source_number)
        for item in items
    ]


def test_file_source_is_read_to_its_end_and_nothing_is_skipped() -> None:
    """A hundred parts through a queue of two: all come out in order, whoever is slower."""
    states: list[CameraState] = []
    camera = ScriptedCamera("file", list(range(1, 101)))
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(queue_depth=2),
        on_state=lambda new, _: states.append(new),
    )
    grabber.start()
    time.sleep(0.05)  # the writer is waiting for room now
    assert grabber.queue_length() == 2
    assert outline(drain(grabber)) == [("frame", n) for n in range(1, 101)]
    assert states == [CameraState.CAPTURING, CameraState.ENDED]
    counts = grabber.counts()
    assert (counts.frames, counts.skipped, counts.reconnects) == (100, 0, 0)
    assert grabber.next(0) is None


def test_corrupt_picture_becomes_an_unjudged_part_in_its_place(tmp_path: Path) -> None:
    """In a real folder, the damaged second of three pictures keeps its number and its reason."""
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 7, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"")
    grabber = Grabber(
        FolderCamera(tmp_path, "cam1"), "cam1", clock=GrabberClock(wall_ns=lambda: 55)
    )
    grabber.start()
    first, lost, last = drain(grabber)
    assert isinstance(lost, Unjudged)
    assert (lost.source_number, lost.source_name, lost.reason) == (2, "b.png", "corrupt_picture")
    assert (lost.captured_at_ns, lost.trigger_id) == (55, None)
    assert "0 bytes" in lost.message
    assert (first.source_number, last.source_number) == (1, 3)
    assert grabber.counts().corrupt == 1


def test_reading_resumes_where_the_caller_says(tmp_path: Path) -> None:
    """resume_after reaches the source's open."""
    for number in range(1, 6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((4, 7, 3), np.uint8))
    grabber = Grabber(FolderCamera(tmp_path, "cam1"), "cam1", resume_after=3)
    grabber.start()
    assert outline(drain(grabber)) == [("frame", 4), ("frame", 5)]


def test_live_line_gets_the_newest_frame_and_the_rest_is_counted() -> None:
    """While the line is busy ten frames pass: the last is handed on, nine are counted skipped."""
    grabber = Grabber(ScriptedCamera("live", list(range(1, 11))), "cam1")
    grabber.start()
    grabber._thread.join(WAIT_S)  # the line looks up only when all have passed
    items = drain(grabber)
    assert [item.frame_id for item in items] == [10]
    assert (grabber.counts().frames, grabber.counts().skipped) == (10, 9)


def test_corrupt_live_frame_is_counted_but_is_no_part() -> None:
    """A frame of a free-running camera stands for no part, so nothing comes out for it."""
    camera = ScriptedCamera("live", [FrameCorrupt("torn"), FrameCorrupt("torn"), 1])
    grabber = Grabber(camera, "cam1")
    grabber.start()
    assert [item.frame_id for item in drain(grabber)] == [1]
    assert grabber.counts().corrupt == 2


@pytest.mark.parametrize("line_s", [0.0, 0.002])
def test_triggers_in_equal_verdicts_out(line_s: float) -> None:
    """300 triggers, some corrupt, against lines of any speed: each number comes out once."""
    rng = np.random.default_rng(5)
    script: list[Step] = []
    for number in range(1, 301):
        script.append(lambda: time.sleep(rng.uniform(0, 0.001)))
        is_torn = number % 50 == 0
        script.append(FrameCorrupt("torn", number, f"t{number}") if is_torn else number)
    grabber = Grabber(
        ScriptedCamera("triggered", script), "cam1", limits=GrabberLimits(queue_depth=3)
    )
    grabber.start()
    items = []
    while not grabber.is_finished():
        item = grabber.next(0.2)
        if item is not None:
            items.append(item)
            time.sleep(line_s)
    grabber.stop()
    assert [item.source_number for item in items] == list(range(1, 301))
    assert [item.trigger_id for item in items] == [f"t{n}" for n in range(1, 301)]
    reasons = [item.reason for item in items if isinstance(item, Unjudged)]
    counts = grabber.counts()
    assert reasons.count("corrupt_picture") == counts.corrupt == 6
    assert reasons.count("overload") == counts.overload
    assert sum(isinstance(item, Frame) for item in items) + len(reasons) == 300
    if line_s:
        assert counts.overload > 0


def test_part_that_waited_past_its_deadline_is_not_judged() -> None:
    """With 100 ms allowed, a part looked at after 101 ms is NOT_INSPECTED, one after 100 is not."""
    clock = Clock()
    camera = ScriptedCamera("triggered", [1, 2])
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(verdict_deadline_s=0.1),
        clock=GrabberClock(monotonic_ns=clock),
    )
    grabber.start()
    grabber._thread.join(WAIT_S)
    clock.now_ns += 100_000_000
    assert isinstance(grabber.next(0), Frame)
    clock.now_ns += 1_000_000
    late = grabber.next(0)
    grabber.stop()
    assert isinstance(late, Unjudged)
    assert (late.trigger_id, late.reason, late.frame_hw) == ("t2", "deadline", (2, 3))
    assert late.message == "waited 101 ms, allowed 100 ms"
    assert grabber.counts().deadline == 1


def test_flaky_source_is_reopened_with_growing_waits() -> None:
    """Three failed attempts, a loss, a driver's bug: every frame still comes, waits are capped."""
    clock, waits_s = Clock(), []
    camera = ScriptedCamera(
        "file",
        [1, 2, CameraUnavailable("cable out"), 3, RuntimeError("driver bug"), 4],
        open_faults=[CameraUnavailable("off"), CameraUnavailable("off"), CameraUnavailable("off")],
    )

    def pause(stop: threading.Event, seconds: float) -> None:
        waits_s.append(seconds)
        clock.pause(stop, seconds)

    states: list[tuple[str, str]] = []
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(reconnect_max_s=1.5),
        on_state=lambda new, why: states.append((new.value, why)),
        clock=GrabberClock(monotonic_ns=clock, pause=pause),
    )
    grabber.start()
    assert outline(drain(grabber)) == [("frame", n) for n in (1, 2, 3, 4)]
    # 0.5 + 1 + 1.5 s until the first opening works, then 0.5 s for each of the two losses
    assert sum(waits_s) == pytest.approx(4.0)
    assert max(waits_s) <= 0.5  # slices, so that the heart goes on beating
    assert camera.opened_after == [None, None, None, None, 2, 3]
    assert grabber.counts().reconnects == 2
    assert states == [
        ("reconnecting", "off"),
        ("capturing", ""),
        ("reconnecting", "cable out"),
        ("capturing", ""),
        ("reconnecting", "the driver raised RuntimeError: driver bug"),
        ("capturing", ""),
        ("ended", "script done"),
    ]


def test_stalled_live_source_is_told_and_reopened() -> None:
    """After 5 s of time-outs on the clock it is stalled, closed, reopened, and captures again."""
    clock = Clock()
    silence: list[Step] = [FrameTimeout("nothing") for _ in range(10)]
    camera = ScriptedCamera("live", [1, *silence, 2], clock=clock)
    states: list[CameraState] = []
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(stall_after_s=5.0),
        on_state=lambda new, _: states.append(new),
        clock=GrabberClock(monotonic_ns=clock, pause=clock.pause),
    )
    grabber.start()
    drain(grabber)
    assert states == [
        CameraState.CAPTURING,
        CameraState.STALLED,
        CameraState.CAPTURING,
        CameraState.ENDED,
    ]
    assert (len(camera.opened_after), grabber.counts().reconnects) == (2, 1)


def test_live_source_that_delivers_only_torn_frames_stalls() -> None:
    """Corrupt frames are no sign of life: after the deadline the source is reopened."""
    clock = Clock()
    torn: list[Step] = []
    for _ in range(6):
        torn += [lambda: clock.pause(threading.Event(), 1.0), FrameCorrupt("torn")]
    camera = ScriptedCamera("live", [1, *torn, 2], clock=clock)
    grabber = Grabber(camera, "cam1", clock=GrabberClock(monotonic_ns=clock, pause=clock.pause))
    grabber.start()
    drain(grabber)
    assert (grabber.counts().corrupt, grabber.counts().reconnects) == (6, 1)


def test_waiting_for_a_trigger_keeps_the_heart_beating() -> None:
    """A triggered camera without a trigger is waiting, not stalled, and the heartbeat moves."""
    clock, beats = Clock(), []
    silence: list[Step] = []
    for _ in range(20):
        silence += [FrameTimeout("no trigger"), lambda: beats.append(grabber.heartbeat_ns())]
    camera = ScriptedCamera("triggered", [*silence, 1], clock=clock)
    states: list[CameraState] = []
    grabber = Grabber(
        camera,
        "cam1",
        on_state=lambda new, _: states.append(new),
        clock=GrabberClock(monotonic_ns=clock),
    )
    grabber.start()
    drain(grabber)
    assert states[:2] == [CameraState.WAITING_FOR_TRIGGER, CameraState.CAPTURING]
    assert np.diff(beats).min() > 0
    assert grabber.counts().reconnects == 0


def test_heart_beats_while_the_line_lets_a_file_wait() -> None:
    """A full queue is the line's slowness, not a hang of the grabber."""
    grabber = Grabber(
        ScriptedCamera("file", [1, 2, 3]), "cam1", limits=GrabberLimits(queue_depth=1)
    )
    grabber.start()
    time.sleep(0.05)
    before_ns = grabber.heartbeat_ns()
    time.sleep(0.7)
    assert grabber.heartbeat_ns() > before_ns
    assert len(drain(grabber)) == 3


def test_heart_stands_still_while_the_driver_hangs() -> None:
    """A read that does not return is what the watchdog is for."""
    clock, hang = Clock(), threading.Event()

    def hangs() -> None:
        hang.wait(WAIT_S)

    camera = ScriptedCamera("live", [hangs, 1], clock=clock)
    grabber = Grabber(camera, "cam1", clock=GrabberClock(monotonic_ns=clock))
    grabber.start()
    time.sleep(0.05)
    clock.now_ns += 60 * S
    assert clock.now_ns - grabber.heartbeat_ns() == 60 * S
    hang.set()
    drain(grabber)


def test_stop_ends_a_waiting_grabber_and_closes_its_camera() -> None:
    """stop() returns soon while the source backs off for long; the camera is closed."""
    camera = ScriptedCamera("live", [], open_faults=[CameraUnavailable("off")] * 50)
    grabber = Grabber(camera, "cam1", limits=GrabberLimits(reconnect_max_s=60.0))
    grabber.start()
    time.sleep(0.05)
    began_s = time.monotonic()
    grabber.stop()
    assert time.monotonic() - began_s < patient_s(2)
    assert camera.closes > 0
    assert grabber.is_finished()
    assert grabber.next(10.0) is None  # returns at once: nothing can come any more


def test_driver_that_fails_at_closing_comes_back_too() -> None:
    """An exception from close() does not end the thread."""
    clock = Clock()

    class Brittle(ScriptedCamera):
        def close(self) -> None:
            super().close()
            raise OSError("handle is gone")

    grabber = Grabber(
        Brittle("file", [1, CameraUnavailable("cable out"), 2]),
        "cam1",
        clock=GrabberClock(monotonic_ns=clock, pause=clock.pause),
    )
    grabber.start()
    assert outline(drain(grabber)) == [("frame", 1), ("frame", 2)]


def test_stop_before_start_is_harmless() -> None:
    """A line that fails while starting can stop everything it made."""
    grabber = Grabber(ScriptedCamera("file", [1]), "cam1")
    assert not grabber.is_finished()
    grabber.stop()
    assert grabber.is_finished()
