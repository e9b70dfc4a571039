"""The simulated line as a camera: four modes, one clock, and what a restart does to numbers."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_app.cameras.protocol import Camera
from edge_app.cameras.registry import open_camera
from edge_app.cameras.simulated import (
    BUFFERED_TRIGGERS,
    SimulatedCamera,
    SimulatedMode,
    SimulatedSettings,
    from_url,
)
from edge_app.errors import CameraUnavailable, ConfigError, EndOfStream, FrameTimeout
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine

EPOCH_S = 1_700_000_000.0


class Clock:
    """Time that passes only when somebody sleeps, or when the story says so."""

    def __init__(self, at_s: float = EPOCH_S) -> None:
        self.at_s = at_s

    def now_s(self) -> float:
        return self.at_s

    def sleep_s(self, duration_s: float) -> None:
        self.at_s += duration_s


@pytest.fixture(scope="module")
def line() -> SimulatedLine:
    return SimulatedLine(SimulatorConfig("round", seed=44, parts=200, frame_hw=(520, 640)))


Maker = Callable[..., SimulatedCamera]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def camera_of(line: SimulatedLine, clock: Clock) -> Maker:
    def make(mode: SimulatedMode, fps: float = 5, rate: float = 2,
             epoch_s: float | None = None) -> SimulatedCamera:  # fmt: skip
        settings = SimulatedSettings(mode, fps, rate, epoch_s)
        return SimulatedCamera("belt", line, settings, now_s=clock.now_s, sleep_s=clock.sleep_s)

    return make


def test_live_waits_for_the_next_frame(camera_of: Maker, clock: Clock) -> None:
    """A reader in time gets frame after frame, each at its own moment, none numbered."""
    camera = camera_of("live", fps=5)
    camera.open()
    frames = [camera.read(1.0) for _ in range(4)]
    assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]
    assert np.diff([frame.captured_at_ns for frame in frames]) == pytest.approx(2e8, abs=300)
    assert clock.at_s == pytest.approx(EPOCH_S + 0.6)
    assert {frame.source_number for frame in frames} == {None}


def test_a_late_live_reader_gets_the_frame_of_now(camera_of: Maker, clock: Clock) -> None:
    """After 2.1 s of other work the reader skips to frame 10; the id shows the hole."""
    camera = camera_of("live", fps=5)
    camera.open()
    camera.read(1.0)
    clock.at_s += 2.1
    frame = camera.read(1.0)
    assert frame.frame_id == 10
    assert frame.captured_at_ns == round((EPOCH_S + 2.0) * 1e9)


def test_live_times_out_without_losing_its_place(camera_of: Maker) -> None:
    """A deadline shorter than the frame interval is a FrameTimeout; the next read succeeds."""
    camera = camera_of("live", fps=5)
    camera.open()
    camera.read(1.0)
    with pytest.raises(FrameTimeout, match=r"no frame within 0\.05 s; the next is due in 0\.20 s"):
        camera.read(0.05)
    assert camera.read(1.0).frame_id == 1


def test_a_live_belt_runs_on_while_closed(camera_of: Maker, clock: Clock) -> None:
    """Closing for four seconds and opening again loses the 20 frames in between."""
    camera = camera_of("live", fps=5)
    camera.open()
    camera.read(1.0)
    camera.close()
    clock.at_s += 4.0
    camera.open()
    assert camera.read(1.0).frame_id == 20


def test_file_mode_never_waits_and_ends(clock: Clock) -> None:
    """All frames come at once, stamped 1/fps apart and none in the future, then EndOfStream."""
    config = SimulatorConfig("round", seed=44, parts=2, frame_hw=(520, 640))
    camera = SimulatedCamera("belt", SimulatedLine(config), SimulatedSettings("file", fps=8),
                             now_s=clock.now_s, sleep_s=clock.sleep_s)  # fmt: skip
    camera.open()
    frames = [camera.read(0) for _ in range(camera.line.frame_count or 0)]
    with pytest.raises(EndOfStream, match="all 2 parts have left"):
        camera.read(0)
    assert clock.at_s == EPOCH_S
    assert np.diff([frame.captured_at_ns for frame in frames]) == pytest.approx(1.25e8, abs=300)
    assert frames[-1].captured_at_ns <= EPOCH_S * 1e9
    assert camera.parts_seen_total == 2


def test_triggered_numbers_every_part(camera_of: Maker) -> None:
    """Each trigger is one part: number, trigger id and moment belong together."""
    camera = camera_of("triggered", rate=4, epoch_s=EPOCH_S)
    camera.open()
    frames = [camera.read(1.0) for _ in range(3)]
    assert [frame.source_number for frame in frames] == [1, 2, 3]
    assert [frame.trigger_id for frame in frames] == ["T1", "T2", "T3"]
    assert frames[2].captured_at_ns == round((EPOCH_S + 0.75) * 1e9)
    assert [part.number for part in camera.truth(frames[1].frame_id).parts] == [2]


def test_a_restarted_process_sees_a_gap(camera_of: Maker, clock: Clock) -> None:
    """Killed after number 3 and started 5 s later at 4 per second, the line is at number 24."""
    first = camera_of("triggered", rate=4, epoch_s=EPOCH_S)
    first.open()
    assert [first.read(1.0).source_number for _ in range(3)] == [1, 2, 3]
    clock.at_s += 5.0
    second = camera_of("triggered", rate=4, epoch_s=EPOCH_S)
    second.open(resume_after=3)
    assert second.read(1.0).source_number == 24


def test_a_slow_reader_of_triggers_has_a_bounded_buffer(camera_of: Maker, clock: Clock) -> None:
    """Ten missed triggers are still delivered, of a hundred only the buffered last ones."""
    camera = camera_of("triggered", rate=10, epoch_s=EPOCH_S)
    camera.open()
    camera.read(1.0)
    clock.at_s += 1.0
    assert [camera.read(1.0).source_number for _ in range(3)] == [2, 3, 4]
    clock.at_s = EPOCH_S + 11.05
    assert camera.read(1.0).source_number == 110 - BUFFERED_TRIGGERS + 1


def test_numbered_resumes_where_it_was(camera_of: Maker, clock: Clock) -> None:
    """The numbered source does not wait for anybody: after number 41 comes number 42."""
    camera = camera_of("numbered")
    camera.open(resume_after=41)
    frame = camera.read(0)
    assert (frame.source_number, frame.trigger_id) == (42, "T42")
    assert clock.at_s == EPOCH_S
    camera.open(resume_after=199)
    camera.read(0)
    with pytest.raises(EndOfStream, match="all 200 parts were shown"):
        camera.read(0)


@pytest.mark.parametrize(
    ("mode", "public", "is_numbered", "can_resume"),
    [
        ("live", "live", False, False),
        ("file", "file", False, False),
        ("triggered", "triggered", True, False),
        ("numbered", "file", True, True),
    ],
)
def test_each_mode_says_what_it_is(
    camera_of: Maker, mode: SimulatedMode, public: str, is_numbered: bool, can_resume: bool
) -> None:
    """describe() works before open and states what the reader may rely on."""
    info = camera_of(mode).describe()
    assert (info.mode, info.is_numbered, info.can_resume) == (public, is_numbered, can_resume)
    assert info.frame_hw == (520, 640)


def test_reading_a_closed_camera_is_refused(camera_of: Maker) -> None:
    """Before open and after close (which may come twice) a read says what to do."""
    camera = camera_of("file")
    with pytest.raises(CameraUnavailable, match=r"call open\(\) first"):
        camera.read(0)
    camera.open()
    camera.read(0)
    camera.close()
    camera.close()
    with pytest.raises(CameraUnavailable):
        camera.read(0)


def test_old_truth_is_forgotten(camera_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth is kept for a bounded number of frames; older frames are a KeyError."""
    monkeypatch.setattr("edge_app.cameras.simulated.TRUTHS_KEPT", 3)
    camera = camera_of("file")
    camera.open()
    for _ in range(5):
        camera.read(0)
    assert camera.truth(4).frame_id == 4
    with pytest.raises(KeyError):
        camera.truth(1)


def test_the_real_clock_paces_a_live_camera() -> None:
    """From an address, through the registry: three frames at 20 per second take 100 ms."""
    camera: Camera = open_camera("sim:round?fps=20&height=520&width=640&defect_rate=0", "belt")
    camera.open()
    camera.read(1.0)
    before = time.monotonic()
    ids = [camera.read(1.0).frame_id for _ in range(2)]
    assert 0.03 < time.monotonic() - before < 5
    assert ids[1] > ids[0] >= 1
    assert camera.describe().url.startswith("sim:round?fps=20")


def test_an_address_sets_everything() -> None:
    """Every option of the address reaches the line."""
    camera = from_url(
        "sim:square?seed=7&parts=5&mode=file&fps=9&defect_rate=0.5&kinds=pit,crack"
        "&height=600&width=800&advance=200",
        name="belt",
    )
    assert camera.line.config == SimulatorConfig(
        "square", 7, 0.5, 5, (600, 800), ("pit", "crack"), advance_px=200
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sim:tapred", r"unknown product 'tapred' \(did you mean 'tapered'\?\)"),
        ("sim:", r"unknown product ''.*Known: tapered, square, round"),
        ("sim:round?sead=4", r"unknown option 'sead' \(did you mean 'seed'\?\)"),
        ("sim:round?mode=trigger", r"unknown mode 'trigger' \(did you mean 'triggered'\?\)"),
        ("sim:round?seed=x", "seed must be a number"),
        ("sim:round?parts=2.5", "parts must be a whole number, got '2.5'"),
        ("sim:round?parts=0", "parts must be 1 to"),
        ("sim:round?fps=0", "fps must be above 0"),
        ("sim:round?rate=5000", "rate must be above 0 and at most 1000"),
        ("sim:round?defect_rate=1.5", "defect_rate must be 0 to 1, got 1.5"),
        ("sim:round?height=100", "frame height must be 520 to 1280, got 100"),
        ("sim:round?kinds=scrach", r"unknown defect kind 'scrach' \(did you mean 'scratch'\?\)"),
        ("sim:round?seed=11&kinds=foreign_fibre", "seed 11 is the training stream"),
    ],
)
def test_a_wrong_address_names_what_is_wrong(url: str, message: str) -> None:
    """The error shows the address, the wrong word or value, and the nearest known one."""
    with pytest.raises(ConfigError, match=message) as caught:
        from_url(url, name="belt")
    assert url in str(caught.value)


def test_a_line_refuses_spacing_that_would_let_parts_touch() -> None:
    """Made in code, a pitch below a part's length plus the jitter is a ConfigError."""
    with pytest.raises(ConfigError, match="pitch_px must be 472 to"):
        SimulatorConfig(pitch_px=440)
    with pytest.raises(ConfigError, match="kinds is empty; set defect_rate=0"):
        SimulatorConfig(kinds=())
