"""The fault table: what the grabber makes of a camera that freezes, repeats, goes dark or away.

The camera's pictures, its faults and the clock are played; grabber, queue and states are real.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.brokers import patient_s
from support.small_bundles import write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import CameraState, Grabber, GrabberClock, GrabberLimits, Unjudged
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.errors import CameraUnavailable, EndOfStream, FrameTimeout
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.records import Frame, U8Array

S = 1_000_000_000
HOUR_NS = 3600 * S
STEP_NS = S // 10
HW = (48, 64)
NEW, SAME, BLACK, WHITE, NOTHING = "new", "same", "black", "white", "nothing"


class FakeClock:
    """Two clocks: monotonic time passes when somebody waits, the wall clock may be set."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self.set_by_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return 1_700_000_000 * S + self.now_ns + self.set_by_ns

    def pause(self, stop: threading.Event, seconds: float) -> None:
        del stop
        self.now_ns += round(seconds * S)


class PlayedCamera:
    """Ten pictures a second, each as the story says; opening fails while it is unplugged.

    Args:
        story: what each picture is; the source ends with it.
        plugged_at_ns: on the clock; before that `open` fails.
        jumps_ns: picture's number → the wall clock is set by so much before it.
    """

    def __init__(
        self,
        clock: FakeClock,
        mode: CameraMode,
        story: list[str],
        plugged_at_ns: int = 0,
        jumps_ns: dict[int, int] | None = None,
    ) -> None:
        self._clock, self._mode = clock, mode
        self._story: Iterator[tuple[int, str]] = iter(enumerate(story))
        self._plugged_at_ns = plugged_at_ns
        self._jumps_ns = jumps_ns or {}
        self._rng = np.random.default_rng(11)
        self._last = self._picture(NEW)
        self.opens_ns: list[int] = []

    def open(self, resume_after: int | None = None) -> None:
        self.opens_ns.append(self._clock.now_ns)
        if self._clock.now_ns < self._plugged_at_ns:
            raise CameraUnavailable("no camera on the cable")

    def read(self, timeout_s: float) -> Frame:
        self._clock.now_ns += STEP_NS
        number, kind = next(self._story, (0, ""))
        if not kind:
            raise EndOfStream("the story is over")
        self._clock.set_by_ns += self._jumps_ns.get(number, 0)
        if kind == NOTHING:
            self._clock.now_ns += round(timeout_s * S) - STEP_NS
            raise FrameTimeout("nothing")
        if kind == "unplug":
            self._plugged_at_ns = self._clock.now_ns + 30 * S
            raise CameraUnavailable("the cable is out")
        self._last = self._picture(kind)
        is_part = self._mode == "triggered"
        return Frame(
            "cam1",
            number,
            self._last,
            self._clock.wall_ns(),
            f"T{number}" if is_part else None,
            number if is_part else None,
        )

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        return CameraInfo("played:", self._mode, HW, self._mode != "live", False)

    def _picture(self, kind: str) -> U8Array:
        if kind == SAME:
            return np.array(self._last)
        level = {NEW: 90, BLACK: 0, WHITE: 252}[kind]
        spread = self._rng.integers(0, 60 if kind == NEW else 4, (*HW, 3))
        return np.clip(level + spread, 0, 255).astype(np.uint8)


class ListeningGrabber(Grabber):
    """Also writes down what it hands on: a live queue keeps only the newest."""

    items: list[Frame | Unjudged]

    def _pass_on(self, item: Frame | Unjudged) -> None:
        self.items.append(item)
        super()._pass_on(item)


class Watched:
    """A grabber at work on a story, and everything that people and the line get to see of it."""

    def __init__(self, camera: PlayedCamera, clock: FakeClock, **limits: float) -> None:
        self.clock = clock
        self.states: list[tuple[int, str]] = []
        self.whys: list[str] = []
        self.items: list[Frame | Unjudged] = []
        self.grabber = ListeningGrabber(
            camera,
            "cam1",
            limits=GrabberLimits(queue_depth=1000, **limits),
            health=PictureHealth(),
            on_state=self._state_changed,
            clock=GrabberClock(
                monotonic_ns=clock.monotonic_ns, wall_ns=clock.wall_ns, pause=clock.pause
            ),
        )
        self.grabber.items = self.items
        self.grabber.start()
        self.grabber._thread.join(20)
        assert not self.grabber._thread.is_alive()
        self.grabber.stop()

    def _state_changed(self, state: CameraState, why: str) -> None:
        if self.states and self.states[-1][1] == state.value:
            return  # another reason
        self.states.append((self.clock.now_ns - 1000 * S, state.value))
        self.whys.append(why)

    @property
    def state_names(self) -> list[str]:
        return [name for _, name in self.states]


def test_unplugged_and_back() -> None:
    """Out for 30 s: tried at least every second, capturing within 2 s of being there again."""
    clock = FakeClock()
    camera = PlayedCamera(clock, "live", [NEW] * 5 + ["unplug"] + [NEW] * 5)
    seen = Watched(camera, clock, reconnect_max_s=10.0)
    outage_ns = np.diff(camera.opens_ns[1:])
    assert len(outage_ns) >= 30
    assert outage_ns.max() <= S
    assert seen.state_names == ["capturing", "reconnecting", "capturing", "ended"]
    back_ns = seen.states[2][0] - seen.states[1][0]
    assert 30 * S <= back_ns <= 32 * S
    assert len(seen.items) == 10


def test_unplugged_before_the_start() -> None:
    """A camera that is plugged in after the app started is taken within a second of that."""
    clock = FakeClock()
    plugged_ns = clock.now_ns + 17 * S + S // 3
    camera = PlayedCamera(clock, "live", [NEW] * 3, plugged_at_ns=plugged_ns)
    seen = Watched(camera, clock)
    assert seen.state_names == ["reconnecting", "capturing", "ended"]
    assert seen.states[1][0] <= plugged_ns - 1000 * S + 2 * S


def test_frozen_picture_of_a_live_camera() -> None:
    """The same bytes for 8 s: not one is handed on, it is stalled after 5 s and opened again."""
    clock = FakeClock()
    camera = PlayedCamera(clock, "live", [NEW] * 10 + [SAME] * 80 + [NEW] * 10)
    seen = Watched(camera, clock, stall_after_s=5.0)
    assert seen.state_names == ["capturing", "stalled", "capturing", "ended"]
    frozen_since_ns = 10 * STEP_NS
    assert seen.states[1][0] == frozen_since_ns + 5 * S
    assert "same picture" in seen.whys[1]
    counts = seen.grabber.counts()
    assert (len(seen.items), counts.repeated, counts.frames) == (20, 80, 100)
    assert len(camera.opens_ns) == 2


def test_one_repeated_picture_of_a_live_camera_is_passed_over() -> None:
    """A driver that shows one picture twice loses nothing but the copy."""
    clock = FakeClock()
    seen = Watched(PlayedCamera(clock, "live", [NEW, SAME, NEW, SAME, NEW]), clock)
    assert [item.frame_id for item in seen.items] == [0, 2, 4]
    assert seen.state_names == ["capturing", "ended"]


def test_repeated_picture_at_a_trigger() -> None:
    """A trigger answered with the picture before: NOT_INSPECTED, never judged, and blind."""
    clock = FakeClock()
    seen = Watched(PlayedCamera(clock, "triggered", [NEW, SAME, NEW]), clock)
    assert [type(item).__name__ for item in seen.items] == ["Frame", "Unjudged", "Frame"]
    repeat = seen.items[1]
    assert isinstance(repeat, Unjudged)
    assert (repeat.reason, repeat.trigger_id) == ("repeated_picture", "T1")
    assert seen.state_names == ["capturing", "blind", "capturing", "ended"]


def test_frozen_picture_at_triggers() -> None:
    """Every trigger gets its verdict; after three copies the driver is opened again."""
    clock = FakeClock()
    camera = PlayedCamera(clock, "triggered", [NEW] + [SAME] * 7 + [NEW])
    seen = Watched(camera, clock)
    assert [item.source_number for item in seen.items] == list(range(9))
    assert sum(isinstance(item, Frame) for item in seen.items) == 2
    assert len(camera.opens_ns) == 3
    assert seen.state_names == [
        "capturing", "blind", "stalled", "blind", "stalled", "blind", "capturing", "ended",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["live", "triggered"])
@pytest.mark.parametrize("kind", [BLACK, WHITE])
def test_black_or_white_pictures(mode: CameraMode, kind: str) -> None:
    """Light off for 20 pictures: none is judged, the state says blind at once and why."""
    clock = FakeClock()
    seen = Watched(PlayedCamera(clock, mode, [NEW] * 3 + [kind] * 20 + [NEW] * 3), clock)
    assert seen.state_names == ["capturing", "blind", "capturing", "ended"]
    assert seen.states[1][0] == 4 * STEP_NS
    assert f"picture is {kind}" in seen.whys[1]
    judged = [item for item in seen.items if isinstance(item, Frame)]
    lost = [item for item in seen.items if isinstance(item, Unjudged)]
    assert len(judged) == 6
    told = 20 if mode == "triggered" else 0
    assert [item.reason for item in lost] == [f"{kind}_picture"] * told
    assert seen.grabber.counts().unusable == 20


def test_blind_lasts_until_a_good_picture_comes() -> None:
    """A triggered camera that went dark and then waits for triggers is still called blind."""
    clock = FakeClock()
    seen = Watched(PlayedCamera(clock, "triggered", [NEW, BLACK] + [NOTHING] * 20 + [NEW]), clock)
    assert seen.state_names == ["capturing", "blind", "capturing", "ended"]


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
def test_clock_set_by_an_hour(jump_ns: int) -> None:
    """Nothing stalls, nothing is late, and frames stay 0.1 s apart on the steady clock."""
    clock = FakeClock()
    camera = PlayedCamera(clock, "live", [NEW] * 20, jumps_ns={10: jump_ns})
    seen = Watched(camera, clock, stall_after_s=1.0)
    assert seen.state_names == ["capturing", "ended"]
    steady_ns = [item.steady_ns for item in seen.items if isinstance(item, Frame)]
    assert set(np.diff(steady_ns)) == {STEP_NS}
    captured_ns = [item.captured_at_ns for item in seen.items]
    assert np.diff(captured_ns)[9] == STEP_NS + jump_ns  # people are told the corrected time


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
def test_clock_set_by_an_hour_while_triggers_wait(jump_ns: int) -> None:
    """A part that waits 0.5 s of its second is judged, whatever the wall clock does meanwhile."""
    clock = FakeClock()
    camera = PlayedCamera(clock, "triggered", [NEW, NEW], jumps_ns={1: jump_ns})
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(verdict_deadline_s=1.0),
        clock=GrabberClock(
            monotonic_ns=clock.monotonic_ns, wall_ns=clock.wall_ns, pause=clock.pause
        ),
    )
    grabber.start()
    grabber._thread.join(10)
    clock.now_ns += S // 2
    assert [type(grabber.next(0)) for _ in range(2)] == [Frame, Frame]
    grabber.stop()


def test_numbers_missing_between_live_pictures_are_counted() -> None:
    """Frames 0, 1, 5, 6: three were lost between the camera and us, and are said to be."""

    class Lossy(PlayedCamera):
        def read(self, timeout_s: float) -> Frame:
            frame = super().read(timeout_s)
            late = 3 if frame.frame_id >= 2 else 0
            return Frame("cam1", frame.frame_id + late, frame.pixels_hwc, frame.captured_at_ns)

    clock = FakeClock()
    seen = Watched(Lossy(clock, "live", [NEW] * 4), clock)
    assert seen.grabber.counts().missed == 3


@pytest.mark.parametrize("mode", ["live", "triggered"])
@pytest.mark.parametrize("fault", [SAME, BLACK, WHITE])
def test_no_part_is_ok_on_a_stale_or_empty_picture(
    mode: CameraMode, fault: str, tmp_path: Path
) -> None:
    """Through the whole line with a real model: as many parts OK as there were good pictures."""
    clock, story = FakeClock(), [NEW] * 3 + [fault] * 10 + [NEW] * 2
    camera = PlayedCamera(clock, mode, story)
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")), 1)
    tracker = make_tracker(camera.describe(), "cam1", model.fills_frame)
    line = make_line(model, "cam1", tracker, lambda: "alarm")
    reports = []
    for item in Watched(camera, clock).items:
        if isinstance(item, Unjudged):
            empty = np.zeros((0, 0, 3), np.uint8)
            frame = Frame("cam1", item.frame_id, empty, 0, source_number=item.source_number)
            reports.append(line.miss(frame, item.reason))
        else:
            reports.append(line.inspect(item))
    verdicts = [v for report in reports for v in report.finished]
    told = [v.state.value for v in verdicts]
    assert told.count("OK") == 5
    assert told.count("NOT_INSPECTED") == (10 if mode == "triggered" else 0)
    assert all(report.events for report in reports if report.finished[0].state.value != "OK")


def test_unplugged_and_back_in_real_time() -> None:
    """The same with the machine's own clock: back within 2 s of being plugged in."""
    is_plugged = threading.Event()

    class Cable(PlayedCamera):
        def open(self, resume_after: int | None = None) -> None:
            if not is_plugged.is_set():
                raise CameraUnavailable("no camera on the cable")

        def read(self, timeout_s: float) -> Frame:
            time.sleep(0.02)
            return super().read(timeout_s)

    grabber = Grabber(Cable(FakeClock(), "live", [NEW] * 10_000), "cam1", health=PictureHealth())
    grabber.start()
    time.sleep(1.8)  # the waits have grown to their longest by now
    assert grabber.state() is CameraState.RECONNECTING
    is_plugged.set()
    began_s = time.monotonic()
    assert grabber.next(30.0) is not None
    assert time.monotonic() - began_s < patient_s(2)
    assert grabber.state() is CameraState.CAPTURING
    grabber.stop()
