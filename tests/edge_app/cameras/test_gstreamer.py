"""GStreamer pipelines as cameras: the real library in the child, run by the system's Python."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_app.cameras.gstreamer import csi_pipeline, from_url
from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.registry import open_camera
from edge_app.errors import CameraUnavailable, ConfigError, FrameTimeout

LIVE = "videotestsrc is-live=true ! video/x-raw,width=321,height=240,framerate=50/1"


pytestmark = pytest.mark.needs("GStreamer")


@pytest.fixture
def camera(request: pytest.FixtureRequest) -> Iterator[IsolatedCamera]:
    """Return an open camera of the pipeline given by the test."""
    made = from_url(f"gstreamer:{request.param}", name="cam1")
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("camera", [LIVE], indirect=True)
def test_frames_come_with_the_pipelines_own_time(camera: IsolatedCamera) -> None:
    """An odd width arrives whole, and capture times lie 20 ms apart at 50 frames per second."""
    frames = [camera.read(3.0) for _ in range(30)]
    assert all(f.pixels_hwc.shape == (240, 321, 3) for f in frames)
    steps_ms = np.diff([f.captured_at_ns for f in frames]) / 1e6
    assert abs(float(np.median(steps_ms)) - 20.0) < 3.0
    assert all(0 <= time.time_ns() - f.captured_at_ns < 5e9 for f in frames)


@pytest.mark.parametrize(
    "camera", ["videotestsrc pattern=red ! video/x-raw,width=7"], indirect=True
)
def test_colours_are_blue_first(camera: IsolatedCamera) -> None:
    """A red test picture is red in every pixel of every row, whatever its padding."""
    pixels = camera.read(3.0).pixels_hwc.astype(int)
    assert (np.abs(pixels - (0, 0, 255)) < 3).all()


@pytest.mark.parametrize("camera", ["videotestsrc num-buffers=3"], indirect=True)
def test_pipeline_that_ends_is_a_camera_that_has_gone(camera: IsolatedCamera) -> None:
    """The end of a stream is told after its last frame, so that the grabber starts it again."""
    for _ in range(3):
        camera.read(3.0)
    with pytest.raises(CameraUnavailable, match="has ended; it is started again"):
        camera.read(3.0)


@pytest.mark.parametrize(
    "camera", ["videotestsrc is-live=true ! valve name=v drop=true"], indirect=True
)
def test_pipeline_that_shows_nothing_is_silent_not_broken(camera: IsolatedCamera) -> None:
    """A pipeline that runs without frames times out read by read."""
    for _ in range(2):
        with pytest.raises(FrameTimeout):
            camera.read(0.4)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("nosuchelement", 'no element "nosuchelement". A missing element comes with'),
        ("v4l2src device=/dev/video77", "GStreamer element v4l2src0: .*/dev/video77"),
        ("videotestsrc ! audioconvert", "cannot be built: could not link"),
    ],
)
def test_pipeline_that_cannot_run_says_why(pipeline: str, said: str) -> None:
    """Missing elements, missing devices and impossible links are told in GStreamer's words."""
    with pytest.raises(CameraUnavailable, match=said):
        from_url(f"gstreamer:{pipeline}", name="cam1").open()


def test_csi_camera_without_a_jetson_says_what_is_missing() -> None:
    """csi: builds the Jetson's pipeline; elsewhere its element is named as missing."""
    pipeline = csi_pipeline("csi:1?width=1280&height=720&fps=60")
    assert pipeline.startswith("nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1280")
    assert "framerate=60/1" in pipeline
    with pytest.raises(CameraUnavailable, match=r"nvarguscamerasrc.*nvidia-l4t-gstreamer"):
        open_camera("csi:0", "cam1").open()
    with pytest.raises(ConfigError, match="write the sensor's number"):
        open_camera("csi:left", "cam1")


def test_end_of_the_pipeline_is_ours() -> None:
    """An appsink of its own, or no pipeline, is refused with an example."""
    for url in ("gstreamer:videotestsrc ! appsink", "gstreamer:"):
        with pytest.raises(ConfigError, match="Write the pipeline without its end"):
            open_camera(url, "cam1")


def test_secrets_of_a_pipeline_are_not_shown() -> None:
    """Passwords in properties and addresses stay out of what people and MQTT see."""
    text = "rtspsrc location=rtsp://anna:secret@host/x user-id=anna user-pw=secret ! decodebin"
    shown = from_url(f"gstreamer:{text}", name="cam1").describe().url
    assert "secret" not in shown
    assert "rtsp://host/x" in shown
