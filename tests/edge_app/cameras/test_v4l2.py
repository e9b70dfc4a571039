"""USB cameras, as far as they can be tested without one: OpenCV reads a video in their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.registry import open_camera
from edge_app.cameras.v4l2 import driver_of
from edge_app.errors import CameraUnavailable, ConfigError


def test_a_device_that_is_not_there_is_named() -> None:
    """A missing device says what to plug in and how to look."""
    with pytest.raises(CameraUnavailable, match=r"/dev/video77 is not there.*ls /dev/video"):
        open_camera("v4l2:/dev/video77", "cam1").open()


def test_a_file_that_is_no_camera_is_explained(tmp_path: Path) -> None:
    """Something that exists but is no V4L2 device is refused with the likely reasons."""
    (tmp_path / "x").write_bytes(b"no camera")
    with pytest.raises(CameraUnavailable, match="cannot be opened as a V4L2 camera"):
        open_camera(f"v4l2:{tmp_path}/x", "cam1").open()


def test_an_unknown_option_is_refused() -> None:
    """Options other than width, height and fps are errors."""
    with pytest.raises(ConfigError, match="widht"):
        open_camera("v4l2:/dev/video0?widht=640", "cam1")


def test_frames_come_numbered_and_the_end_is_a_loss(tmp_path: Path) -> None:
    """What OpenCV's reader gives arrives unchanged; a camera that goes silent is unavailable."""
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for value in (10, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    driver = replace(driver_of(f"v4l2:{path}"), module="tests.edge_app.cameras.filmed_v4l2")
    camera = IsolatedCamera(driver, "cam1")
    camera.open()
    frames = [camera.read(3.0), camera.read(3.0)]
    assert [f.frame_id for f in frames] == [1, 2]
    assert [abs(float(f.pixels_hwc.mean()) - v) < 4 for f, v in zip(frames, (10, 200), strict=True)]
    assert camera.describe().frame_hw == (48, 64)
    with pytest.raises(CameraUnavailable, match="gave no frame"):
        camera.read(3.0)
    camera.close()
    with pytest.raises(CameraUnavailable, match="is closed"):
        camera.read(1.0)


@pytest.mark.needs("a camera")
def test_a_real_device_delivers() -> None:
    """Where the kernel offers a camera (vivid, v4l2loopback, a real one) it is read."""
    device = min(Path("/dev").glob("video*"))
    camera = open_camera(f"v4l2:{device}", "cam1")
    camera.open()
    assert camera.read(5.0).pixels_hwc.ndim == 3
    camera.close()
