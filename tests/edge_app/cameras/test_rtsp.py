"""Network cameras against a real RTSP server on loopback: killed, frozen, resized, locked."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.brokers import free_port, patient_s
from support.needs import needing

from edge_app.cameras.grabber import CameraState, Grabber, GrabberLimits
from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.isolation.process import SYSTEM_PYTHON
from edge_app.cameras.registry import open_camera
from edge_app.cameras.rtsp import from_url
from edge_app.errors import CameraUnavailable, ConfigError, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

SERVER = Path(__file__).parents[2] / "support" / "rtsp_server.py"


class RtspServer:
    """GStreamer's RTSP server as a process; `port` stays the same over restarts."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/line"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), str(self.port), *self.options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def resize(self, w: int, h: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{w}x{h}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5.0)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
@needing("the extra rtsp", "GStreamer's RTSP server")
def server() -> Iterator[RtspServer]:
    """Return a running server with a 320 x 240 picture at 25 frames per second."""
    running = RtspServer()
    yield running
    running.kill()


def test_frames_come_with_the_streams_own_time(server: RtspServer) -> None:
    """At 25 frames per second capture times lie 40 ms apart by the stream's stamps."""
    camera = from_url(server.url, name="cam1")
    camera.open()
    frames = [camera.read(3.0) for _ in range(25)]
    camera.close()
    assert all(f.hw == (240, 320) for f in frames)
    steps_ms = np.diff([f.captured_at_ns for f in frames]) / 1e6
    assert abs(float(np.median(steps_ms)) - 40.0) < 4.0
    assert not (frames[0].pixels_hwc == frames[-1].pixels_hwc).all()
    assert camera.describe().mode == "live"
    assert not camera.describe().is_local


def test_resolution_changed_in_the_middle(server: RtspServer) -> None:
    """When the stream changes its size the frames follow, without a new connection."""
    camera = from_url(server.url, name="cam1")
    camera.open()
    assert camera.read(3.0).hw == (240, 320)
    pid = camera.pid
    server.resize(640, 480)
    sizes = [camera.read(3.0).hw for _ in range(50)]
    assert sizes[-1] == (480, 640)
    assert set(sizes) <= {(240, 320), (480, 640)}
    assert camera.pid == pid
    camera.close()


def read_for(camera: IsolatedCamera, seconds: float, ages_s: list[float]) -> None:
    """Read until the camera fails or the time is over; note how old each frame was."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        with contextlib.suppress(FrameTimeout):
            frame = camera.read(0.5)
            ages_s.append((time.time_ns() - frame.captured_at_ns) / 1e9)


def test_frozen_server_is_noticed_and_its_old_picture_thrown_away(server: RtspServer) -> None:
    """A server that stands still with the connection open is told within 4 s; no late frame."""
    camera = from_url(server.url, name="cam1")
    camera.open()
    camera.read(3.0)
    os.kill(server.process.pid, signal.SIGSTOP)
    frozen_s = time.monotonic()
    ages_s: list[float] = []
    with pytest.raises(CameraUnavailable, match=r"nothing came for 2\.5 s"):
        read_for(camera, 30.0, ages_s)
    assert time.monotonic() - frozen_s < patient_s(6.0)
    assert all(age_s < 2.5 for age_s in ages_s)
    os.kill(server.process.pid, signal.SIGCONT)
    camera.open()
    assert camera.read(3.0).hw == (240, 320)
    camera.close()


def test_killed_server_is_reconnected_by_the_grabber(server: RtspServer) -> None:
    """Killed and started again: the state tells it, and frames come without a person."""
    states: list[CameraState] = []
    grabber = Grabber(
        from_url(server.url, name="cam1"),
        "cam1",
        limits=GrabberLimits(reconnect_max_s=1.0),
        on_state=lambda state, why: states.append(state),
    )
    grabber.start()
    assert grabber.next(10.0) is not None
    server.kill()
    until_s = time.monotonic() + 10
    while CameraState.RECONNECTING not in states[1:] and time.monotonic() < until_s:
        grabber.next(0.05)
    while grabber.next(0.0) is not None:
        pass
    server.start()
    frame = grabber.next(10.0)
    grabber.stop()
    assert isinstance(frame, Frame)
    assert time.time_ns() - frame.captured_at_ns < 5e9
    assert states[-1] is CameraState.CAPTURING


def test_wrong_path_is_told(server: RtspServer) -> None:
    """A path the server does not know says what to check, without the password."""
    url = f"rtsp://anna:secret@127.0.0.1:{server.port}/nothing"
    camera = from_url(url, name="cam1")
    with pytest.raises(
        CameraUnavailable, match=r"cannot be opened: .*Check that the camera"
    ) as told:
        camera.open()
    assert "secret" not in str(told.value)
    assert camera.describe().url == f"rtsp://127.0.0.1:{server.port}/nothing"


@pytest.mark.needs("the extra rtsp")
def test_nobody_at_the_address_is_told() -> None:
    """A port nobody listens at is refused in the server's words."""
    with pytest.raises(CameraUnavailable, match="Connection refused"):
        from_url(f"rtsp://127.0.0.1:{free_port()}/x", name="cam1").open()


def test_question_mark_belongs_to_the_cameras_server() -> None:
    """What stands behind ? goes to the camera, what stands behind # is ours."""
    url = "rtsp://h/cam/realmonitor?channel=1&subtype=0&flag#transport=udp"
    camera = open_camera(url, "cam1")
    assert camera.describe().url == "rtsp://h/cam/realmonitor?channel=1&subtype=0&flag"
    with pytest.raises(ConfigError, match=r"'transprt' behind the # .did you mean 'transport'"):
        open_camera("rtsp://h/x#transprt=udp", "cam1")
    with pytest.raises(ConfigError, match="must be tcp or udp, got 'carrier pigeon'"):
        open_camera("rtsp://h/x#transport=carrier pigeon", "cam1")
    with pytest.raises(ConfigError, match="names no host"):
        open_camera("rtsp:/x", "cam1")


def test_udp_works_too(server: RtspServer) -> None:
    """Over UDP the same stream arrives."""
    camera = from_url(f"{server.url}#transport=udp", name="cam1")
    camera.open()
    assert camera.read(3.0).hw == (240, 320)
    camera.close()


@pytest.fixture
@needing("the extra rtsp", "GStreamer's RTSP server")
def rare_keys() -> Iterator[RtspServer]:
    """Return a server with a key frame every 10 s."""
    running = RtspServer("250")
    yield running
    running.kill()


def test_a_stream_with_rare_key_frames_is_waited_for(rare_keys: RtspServer) -> None:
    """Who joins between two key frames gets data and no picture for up to 10 s: that is life. The
    state says so, nothing is opened again, and the first picture handed on is a whole one."""
    first = from_url(rare_keys.url, name="first")
    first.open()
    first.read(40.0)
    states: list[tuple[CameraState, str]] = []
    grabber = Grabber(
        from_url(rare_keys.url, name="cam1"),
        "cam1",
        limits=GrabberLimits(stall_after_s=1.5),
        on_state=lambda state, why: states.append((state, why)),
    )
    grabber.start()
    frame = grabber.next(40.0)
    counts = grabber.counts()
    grabber.stop()
    first.close()
    assert isinstance(frame, Frame)
    assert counts.reconnects == 0
    assert [s for s, _ in states] in (
        [CameraState.BLIND, CameraState.CAPTURING],
        [CameraState.CAPTURING],  # it joined just before a key frame
    )
    if len(states) == 2:
        assert "the next good key frame is awaited" in states[0][1]


def block_means(frame: Frame) -> np.ndarray:
    """Return the colour bars in blocks of 8 pixels, (h', w', 3); noise lies below them."""
    h, w = frame.hw
    means: np.ndarray = frame.pixels_hwc.reshape(h // 8, 8, w // 8, 8, 3).mean(axis=(1, 3))
    return np.asarray(means[: 2 * h // 8 // 3])


@pytest.fixture
@needing("the extra rtsp", "GStreamer's RTSP server")
def lossy() -> Iterator[RtspServer]:
    """Return a server of which 2 % of the packets are lost."""
    running = RtspServer("12", "0.02")
    yield running
    running.kill()


def test_no_picture_of_a_lossy_stream_is_broken(server: RtspServer, lossy: RtspServer) -> None:
    """2 % of the packets are lost over UDP: every picture handed on is like one of the stream
    without losses, block by block; the others are counted as corrupt."""
    whole = from_url(server.url, name="whole")
    whole.open()
    known = np.stack([block_means(whole.read(3.0)) for _ in range(200)])  # it repeats after 80
    whole.close()
    camera = from_url(f"{lossy.url}#transport=udp", name="cam1")
    camera.open()
    good, corrupt, broken = 0, 0, 0
    until_s = time.monotonic() + 12.0
    while good + corrupt < 225 and time.monotonic() < until_s:
        try:
            seen = block_means(camera.read(1.0))
        except FrameCorrupt:
            corrupt += 1
            continue
        except FrameTimeout:
            continue
        good += 1
        differing = (np.abs(known - seen).max(axis=3) > 30).sum(axis=(1, 2))
        broken += differing.min() > 2  # blocks of 8 x 8
    camera.close()
    assert broken == 0
    assert corrupt > 20
    assert good > 10


def test_capitals_and_tls_are_addresses_too() -> None:
    """`RTSP://` is asked for as rtsp://, the path as it is written; rtsps is a scheme."""
    camera = open_camera("RTSP://Host/Path", "cam1")
    assert camera.describe().url == "rtsp://Host/Path"
    assert isinstance(camera, IsolatedCamera)
    assert camera._driver.settings["url"] == "rtsp://Host/Path"
    assert open_camera("RTSPS://h:322/x", "cam1").describe().url == "rtsps://h:322/x"


@pytest.mark.needs("the extra rtsp")
def test_rtsps_speaks_tls() -> None:
    """A camera behind rtsps is greeted with a TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        heard: list[bytes] = []

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(3))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        with pytest.raises(CameraUnavailable, match="cannot be opened"):
            from_url(f"rtsps://127.0.0.1:{port}/x", name="cam1").open()
        thread.join(5.0)
    assert heard[0][:2] == b"\x16\x03", heard
