"""GigE Vision through Aravis, against its fake camera on loopback: a real stack, real packets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from support.brokers import patient_s
from support.fake_gige_camera import ADDRESS, GigeCamera
from support.needs import needing

from edge_app.cameras.aravis import from_url
from edge_app.cameras.drivers.aravis import AravisSource
from edge_app.cameras.genicam_settings import settings_of
from edge_app.cameras.grabber import CameraState, Grabber, GrabberLimits
from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import CameraUnavailable, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

OpenCamera = Callable[..., IsolatedCamera]

SMALL = "region=0,0,320,240"


@pytest.fixture
@needing("Aravis", "Aravis' tools")
def gige() -> Iterator[GigeCamera]:
    """Return a running fake camera."""
    with GigeCamera() as camera:
        yield camera


@pytest.fixture
def opened() -> Iterator[OpenCamera]:
    """Return a function that opens the fake camera with the options given."""
    made: list[IsolatedCamera] = []

    def make(options: str = SMALL, device: str = ADDRESS) -> IsolatedCamera:
        made.append(from_url(f"aravis:{device}?{options}", name="cam1"))
        made[-1].open()
        return made[-1]

    yield make
    for camera in made:
        camera.close()


def is_whole(frame: Frame) -> bool:
    """Tell whether a frame is the fake camera's gradient, undisturbed by what got lost."""
    grey = frame.pixels_hwc[:, :, 0].astype(int)
    y, x = np.indices(grey.shape)
    return bool(((grey - grey[0, 0] - x - y) % 255 == 0).all())


def read_all(camera: IsolatedCamera, count: int) -> tuple[list[Frame], list[str]]:
    """Read `count` frames or losses; return both kinds."""
    frames, losses = [], []
    for _ in range(count):
        try:
            frames.append(camera.read(3.0))
        except FrameCorrupt as error:
            losses.append(str(error))
    return frames, losses


@pytest.mark.usefixtures("gige")
def test_frames_come_with_the_cameras_own_time(opened: OpenCamera) -> None:
    """At 50 frames per second capture times lie 20 ms apart, whenever the messages arrive."""
    camera = opened(f"{SMALL}&fps=50")
    frames = [camera.read(3.0) for _ in range(30)]
    assert [f.frame_id for f in frames] == list(range(1, 31))
    assert all(f.hw == (240, 320) and is_whole(f) for f in frames)
    steps_ms = np.diff([f.captured_at_ns for f in frames]) / 1e6
    assert abs(float(np.median(steps_ms)) - 20.0) < 2.0
    assert all(0 <= time.time_ns() - f.captured_at_ns < 5e9 for f in frames)
    assert all(f.monotonic_ns is not None for f in frames)


@pytest.mark.usefixtures("gige")
def test_end_of_the_cameras_16_bit_count_is_no_loss(opened: OpenCamera) -> None:
    """The fake camera's ids begin at 65400: behind 65535 comes 1, and no 65,000 are missing."""
    camera = opened("region=0,0,64,48&fps=60")
    frames, _ = read_all(camera, 160)
    assert frames[-1].frame_id < 400


@pytest.mark.usefixtures("gige")
@pytest.mark.parametrize("pixel_format", ["Mono8", "Mono16", "BayerRG8", "RGB8"])
def test_every_format_of_the_camera_is_read(opened: OpenCamera, pixel_format: str) -> None:
    """Each pixel format the fake camera has arrives as BGR of the region's size."""
    frame = opened(f"region=0,0,64,48&pixel_format={pixel_format}").read(3.0)
    assert frame.pixels_hwc.shape == (48, 64, 3)
    assert frame.pixels_hwc.std() > 1


def stream_of(*statuses: str) -> tuple[AravisSource, list[object]]:
    """Return a driver whose stream gives buffers of these statuses; and where they go back to.

    The last one's frame has the number 7. A buffer that was never begun cannot be had from the
    fake camera at will, so the library is a stand-in here.
    """
    nicks = ("success", "cleared", "missing-packets")
    status = {nick: SimpleNamespace(value_nick=nick) for nick in nicks}
    buffers = [
        SimpleNamespace(
            get_status=lambda nick=nick: status[nick],
            get_image_height=lambda: 2,
            get_image_width=lambda: 4,
            get_image_pixel_format=lambda: 0x01080001,
            get_data=lambda: bytes(8),
            get_timestamp=lambda: 1,
            get_frame_id=lambda: 7,
        )
        for nick in statuses
    ]
    given_back: list[object] = []
    source = AravisSource(settings_of(parse_source_url("aravis:127.0.0.1")))
    source._aravis = SimpleNamespace(
        BufferStatus=SimpleNamespace(SUCCESS=status["success"], CLEARED=status["cleared"])
    )
    source._stream = SimpleNamespace(
        timeout_pop_buffer=lambda _us: buffers.pop(0) if buffers else None,
        push_buffer=given_back.append,
    )
    return source, given_back


def test_buffer_that_was_never_begun_is_no_lost_frame() -> None:
    """Aravis may give a buffer back without a frame: the next is awaited, none is told lost."""
    source, given_back = stream_of("cleared", "cleared", "success")
    assert source.read(1.0).frame_id == 7
    assert len(given_back) == 3
    source, given_back = stream_of("cleared")
    with pytest.raises(FrameTimeout):
        source.read(0.05)
    assert len(given_back) == 1
    with pytest.raises(FrameCorrupt, match="missing packets"):
        stream_of("cleared", "missing-packets")[0].read(1.0)


@pytest.mark.usefixtures("gige")
def test_serial_number_finds_the_camera(opened: OpenCamera) -> None:
    """A serial number is searched for in the networks, an unknown one names what was found."""
    assert opened(device="GV01").read(3.0).hw == (240, 320)
    with pytest.raises(CameraUnavailable, match=r"no .* camera GV77; found: Aravis-Fake-GV01"):
        opened(device="GV77")


@pytest.mark.usefixtures("gige")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("pixel_format=Mono12", "refuses pixel_format = Mono12: .*It offers .*BayerBG8"),
        ("trigger=Line3", "refuses trigger = Line3"),
    ],
)
def test_refused_setting_is_named(opened: OpenCamera, options: str, said: str) -> None:
    """A setting the camera does not have is told by its name, with what there is instead."""
    with pytest.raises(CameraUnavailable, match=said):
        opened(options)


@pytest.mark.usefixtures("gige")
def test_triggers_in_are_parts_out(opened: OpenCamera) -> None:
    """Five software triggers give five parts with their names; without a trigger none comes."""
    camera = opened(f"{SMALL}&trigger=software")
    with pytest.raises(FrameTimeout):
        camera.read(0.3)
    names = []
    for number in range(1, 6):
        assert camera.fire(f"plc-{number}") == number
        frame = camera.read(3.0)
        names.append(frame.trigger_id)
        assert frame.source_number == number
    assert names == [f"plc-{n}" for n in range(1, 6)]


@pytest.mark.usefixtures("gige")
def test_hardware_line_waits_for_its_pulse(opened: OpenCamera) -> None:
    """On a hardware input without pulses nothing comes, and nothing is called lost."""
    camera = opened(f"{SMALL}&trigger=Line0")
    assert camera.describe().mode == "triggered"
    with pytest.raises(FrameTimeout):
        camera.read(0.6)


@pytest.mark.needs("Aravis", "Aravis' tools")
def test_lost_packets_never_make_a_picture(opened: OpenCamera) -> None:
    """With 3 of 1,000 packets lost, damaged frames are told and every delivered one is whole."""
    with GigeCamera(lost_per_thousand=3):
        camera = opened(f"{SMALL}&fps=50")
        frames, losses = read_all(camera, 120)
        camera.close()
    assert len(frames) > 40
    assert any("missing packets" in loss for loss in losses)
    assert all(is_whole(frame) for frame in frames)


def test_killed_and_restarted_camera_is_back_within_two_seconds(gige: GigeCamera) -> None:
    """Behind the grabber: states tell the loss, and 2 s after its return there is a picture."""
    states: list[CameraState] = []
    grabber = Grabber(
        from_url(f"aravis:{ADDRESS}?{SMALL}&fps=20", name="cam1"),
        "cam1",
        limits=GrabberLimits(stall_after_s=1.0, reconnect_max_s=1.0),
        on_state=lambda state, why: states.append(state),
    )
    grabber.start()
    assert grabber.next(5.0) is not None
    gige.kill()
    until_s = time.monotonic() + 15
    while CameraState.RECONNECTING not in states[1:] and time.monotonic() < until_s:
        grabber.next(0.05)
    while grabber.next(0.0) is not None:
        pass
    gige.start()
    started_s = time.monotonic()
    frame = grabber.next(30.0)
    back_s = time.monotonic() - started_s
    grabber.stop()
    assert isinstance(frame, Frame)
    assert time.time_ns() - frame.captured_at_ns < 5e9
    assert states[0] is CameraState.CAPTURING
    assert CameraState.RECONNECTING in states[1:]
    assert states[-1] is CameraState.CAPTURING
    assert back_s < patient_s(2), f"back after {back_s:.1f} s"


@pytest.mark.slow
@pytest.mark.usefixtures("gige")
def test_killed_driver_gets_the_camera_back_after_its_heartbeat(opened: OpenCamera) -> None:
    """The camera lets a driver that died go after its 3 s heartbeat; until then that is said."""
    camera = opened()
    camera.read(3.0)
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    until_s, is_back, refusals = time.monotonic() + 15, False, []
    while not is_back and time.monotonic() < until_s:
        try:
            camera.open()
            is_back = camera.read(3.0).hw == (240, 320)
        except CameraUnavailable as error:
            refusals.append(str(error))
            time.sleep(0.5)
    assert is_back
    assert all("heartbeat has run out" in refusal for refusal in refusals)


@pytest.mark.needs("Aravis")
def test_absent_camera_is_told_quickly(opened: OpenCamera) -> None:
    """Where nothing answers, an attempt takes about a second and says what to check."""
    started_s = time.monotonic()
    with pytest.raises(CameraUnavailable, match=r"No GigE Vision camera answers at 127\.9\.9\.9"):
        opened(device="127.9.9.9")
    assert time.monotonic() - started_s < patient_s(3.0)
