"""Basler's pylon against its own emulated cameras: the real library, no hardware."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.brokers import patient_s
from support.needs import needing
from support.small_bundles import write_pictures

from edge_app.cameras.basler import driver_of, from_url
from edge_app.cameras.grabber import CameraState, Grabber, GrabberLimits, Unjudged
from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.isolation.process import SYSTEM_PYTHON
from edge_app.errors import CameraUnavailable, ConfigError, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

OpenCamera = Callable[..., IsolatedCamera]

SMALL = "region=0,0,320,240"


@pytest.fixture(autouse=True)
@needing("the extra basler")
def two_emulated_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pylon find two cameras: the child inherits the variable."""
    monkeypatch.setenv("PYLON_CAMEMU", "2")


@pytest.fixture
def opened() -> Iterator[OpenCamera]:
    """Return a function that opens an emulated camera with the options given."""
    made: list[IsolatedCamera] = []

    def make(options: str = SMALL, serial: str = "") -> IsolatedCamera:
        made.append(from_url(f"basler:{serial}?{options}", name="cam1"))
        made[-1].open()
        return made[-1]

    yield make
    for camera in made:
        camera.close()


def failing(url: str) -> IsolatedCamera:
    """Return a camera that breaks every fourth buffer."""
    driver = replace(driver_of(url), module="tests.edge_app.cameras.failing_basler")
    return IsolatedCamera(driver, "cam1")


def test_frames_come_one_by_one(opened: OpenCamera) -> None:
    """The emulation's moving ramp arrives whole: each frame one grey level on."""
    camera = opened(f"{SMALL}&fps=30&pixel_format=Mono8")
    frames = [camera.read(3.0) for _ in range(10)]
    assert [f.frame_id for f in frames] == list(range(1, 11))
    assert all(f.hw == (240, 320) for f in frames)
    corner = np.array([int(f.pixels_hwc[0, 0, 0]) for f in frames])
    assert (np.diff(corner) % 256 == 1).all()
    assert all(0 <= time.time_ns() - f.captured_at_ns < 5e9 for f in frames)


@pytest.mark.parametrize("pixel_format", ["Mono10", "Mono12", "BayerRG8", "BayerGB12", "RGB8"])
def test_formats_give_the_same_ramp(opened: OpenCamera, pixel_format: str) -> None:
    """Deeper and coloured formats arrive as 8-bit BGR over the whole range, not dark."""
    frame = opened(f"region=0,0,512,64&pixel_format={pixel_format}").read(3.0)
    assert frame.pixels_hwc.shape == (64, 512, 3)
    assert frame.pixels_hwc.max() > 200


def test_serial_number_chooses_the_camera(opened: OpenCamera) -> None:
    """Two cameras are told apart by their numbers; an unknown one names those found."""
    first, second = opened(serial="0815-0000"), opened(serial="0815-0001")
    assert first.read(3.0).hw == second.read(3.0).hw == (240, 320)
    with pytest.raises(CameraUnavailable, match=r"no Basler camera 4711; found: .*0815-0001"):
        opened(serial="4711")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("pixel_format=Mono12p", "refuses pixel_format = 'Mono12p'"),
        ("region=0,0,100000,240", "refuses region = 100000"),
    ],
)
def test_refused_setting_is_named(opened: OpenCamera, options: str, said: str) -> None:
    """What the camera refuses is told by the option's name, with pylon's reason."""
    with pytest.raises(CameraUnavailable, match=said):
        opened(options)


def write_features(file: Path, pictures: Path, hw: tuple[int, int]) -> Path:
    """Write a feature file that has the emulation show a folder of pictures, in grey."""
    values = {
        "Width": hw[1],
        "Height": hw[0],
        "PixelFormat": "Mono8",
        "TestImageSelector": "Off",
        "ImageFilename": pictures,
        "ImageFileMode": "On",
    }
    lines = [
        "# {05D8C294-F295-4dfb-9D01-096BD04049F4}",
        "# GenApi persistence file (version 3.5.0)",
    ]
    file.write_text("\n".join([*lines, *(f"{k}\t{v}" for k, v in values.items())]) + "\n")
    return file


def test_a_feature_file_sets_the_camera(opened: OpenCamera, tmp_path: Path) -> None:
    """The emulation shows the folder that the file names, at the file's size."""
    pictures = write_pictures(tmp_path / "pictures", 2, {2})
    features = write_features(tmp_path / "cam.pfs", pictures, (64, 128))
    camera = opened(f"features={features}")
    frames = [camera.read(3.0).pixels_hwc for _ in range(2)]
    assert {frame.shape for frame in frames} == {(64, 128, 3)}
    assert sorted(int(frame.max()) for frame in frames) == [100, 250]


def test_a_feature_file_of_another_kind_is_named(opened: OpenCamera, tmp_path: Path) -> None:
    """pylon's own words and the remedy are in the message."""
    (tmp_path / "cam.pfs").write_text("nonsense\n")
    with pytest.raises(CameraUnavailable, match=r"magic GUID in the first line\. Save it"):
        opened(f"features={tmp_path / 'cam.pfs'}")


def test_a_missing_feature_file_is_a_mistake_in_the_address() -> None:
    """Found before a camera is opened."""
    with pytest.raises(ConfigError, match="the whole path of an existing file"):
        from_url("basler:?features=cam.pfs", name="cam1")


def test_triggers_in_are_parts_out(opened: OpenCamera) -> None:
    """Six software triggers give six numbered parts; without one nothing comes."""
    camera = opened(f"{SMALL}&trigger=software")
    with pytest.raises(FrameTimeout):
        camera.read(0.3)
    for number in range(1, 7):
        camera.fire(f"plc-{number}")
        frame = camera.read(3.0)
        assert (frame.source_number, frame.trigger_id) == (number, f"plc-{number}")


def test_interval_triggers_keep_the_beat(opened: OpenCamera) -> None:
    """Fired by the clock every 0.2 s, five parts take about a second."""
    camera = opened(f"{SMALL}&trigger=interval&interval_s=0.2")
    camera.read(3.0)
    started_s = time.monotonic()
    numbers = [camera.read(3.0).source_number for _ in range(5)]
    assert numbers == list(range(2, 7))
    assert 0.7 < time.monotonic() - started_s < patient_s(4.0)


def test_hardware_line_waits_for_its_pulse(opened: OpenCamera) -> None:
    """On a hardware input without pulses nothing comes, and nothing is called lost."""
    with pytest.raises(FrameTimeout):
        opened(f"{SMALL}&trigger=line1").read(0.6)


def test_failed_buffer_of_a_trigger_is_a_part_nobody_saw() -> None:
    """Where every fourth buffer fails, each trigger still comes out once, in order."""
    camera = failing(f"basler:?{SMALL}&trigger=software")
    grabber = Grabber(camera, "cam1", limits=GrabberLimits(queue_depth=30, verdict_deadline_s=60))
    grabber.start()
    items: list[Frame | Unjudged] = []
    until_s = time.monotonic() + 20
    while len(items) < 12 and time.monotonic() < until_s:
        if grabber.state() is not CameraState.RECONNECTING or not items:
            camera.fire()
        item = grabber.next(2.0)
        if item is not None:
            items.append(item)
    counts = grabber.counts()
    grabber.stop()
    assert [item.source_number for item in items] == list(range(1, 13))
    failed = [item for item in items if isinstance(item, Unjudged)]
    assert failed
    assert counts.corrupt == len(failed)


def test_failed_buffers_of_a_free_camera_are_counted() -> None:
    """Failed grabs are told one by one; the frames between them are whole."""
    camera = failing(f"basler:?{SMALL}&fps=50")
    camera.open()
    frames, losses = 0, []
    for _ in range(20):
        try:
            camera.read(3.0)
            frames += 1
        except FrameCorrupt as error:
            losses.append(str(error))
    camera.close()
    assert frames >= 10
    assert len(losses) >= 2
    assert all("pylon" in loss for loss in losses), losses


def test_unplugged_camera_is_back_when_it_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the grabber: the camera vanishes with its driver, is missed, returns, delivers."""
    states: list[tuple[CameraState, str]] = []
    camera = from_url(f"basler:?{SMALL}&fps=30", name="cam1")
    grabber = Grabber(
        camera,
        "cam1",
        limits=GrabberLimits(reconnect_max_s=1.0),
        on_state=lambda *change: states.append(change),
    )
    grabber.start()
    assert grabber.next(10.0) is not None
    monkeypatch.setenv("PYLON_CAMEMU", "0")
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    until_s = time.monotonic() + 10
    while grabber.counts().reconnects == 0 and time.monotonic() < until_s:
        if any(state is CameraState.RECONNECTING for state, _ in states[1:]):
            break
        grabber.next(0.1)
    time.sleep(1.0)  # at least one attempt that finds nothing
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    plugged_s = time.monotonic()
    while grabber.counts().reconnects == 0 and time.monotonic() < plugged_s + 10:
        grabber.next(0.1)
    frame = grabber.next(5.0)
    grabber.stop()
    assert frame is not None
    assert [state for state, _ in states][-2:] == [CameraState.RECONNECTING, CameraState.CAPTURING]


@pytest.mark.needs("Debian's python3")
def test_missing_pylon_says_how_to_install_it() -> None:
    """Under a Python without pypylon the message is the command that installs it."""
    camera = IsolatedCamera(replace(driver_of("basler:"), interpreter=SYSTEM_PYTHON), "cam1")
    with pytest.raises(CameraUnavailable, match=r"pip install 'cropliq-edge\[basler\]'"):
        camera.open()
