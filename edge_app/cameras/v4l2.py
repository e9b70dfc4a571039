"""`v4l2:`: a USB or built-in camera under Linux, through OpenCV's V4L2 reader.

Not run on a real device where this was written (docs/hardware.md): there is no camera here. What
is tested is that a missing or wrong device is explained and that frames of OpenCV's reader pass
unchanged. Triggers, isolation and device clocks arrive with issue G.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import CameraUnavailable
from edge_app.records import Frame

OPTIONS = ("width", "height", "fps")

DEFAULT_DEVICE = "/dev/video0"

OpenCapture = Callable[[str], cv2.VideoCapture]


def open_device(device: str) -> cv2.VideoCapture:
    """Return OpenCV's reader of a V4L2 device."""
    return cv2.VideoCapture(device, cv2.CAP_V4L2)


class V4l2Camera:
    """A live camera. Implements `protocol.Camera`.

    OpenCV's reader has no deadline of its own below ten seconds: `read` may take that long to
    notice a camera that fell silent. Frames are stamped when they arrive.

    Args:
        device: e.g. /dev/video0.
        wanted: (width, height, fps), each 0 for the driver's own choice.
        open_capture: passed in by tests.
    """

    def __init__(
        self,
        device: str,
        name: str,
        wanted: tuple[float, float, float] = (0, 0, 0),
        open_capture: OpenCapture = open_device,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._device = device
        self._name = name
        self._wanted = wanted
        self._open_capture = open_capture
        self._wall_ns = wall_ns
        self._capture: cv2.VideoCapture | None = None
        self._frame_id = 0
        self._hw: tuple[int, int] | None = None

    def open(self, resume_after: int | None = None) -> None:
        del resume_after  # a live camera has no past
        self.close()
        if not Path(self._device).exists():
            raise CameraUnavailable(
                f"Camera {self._name}: {self._device} is not there. Plug the camera in, and see "
                "`ls /dev/video*` for the devices there are."
            )
        capture = self._open_capture(self._device)
        if not capture.isOpened():
            capture.release()
            raise CameraUnavailable(
                f"Camera {self._name}: {self._device} cannot be opened as a V4L2 camera. Another "
                "program may hold it, or this user may not read it (group `video`)."
            )
        keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        for key, value in zip(keys, self._wanted, strict=True):
            if value:
                capture.set(key, value)
        self._capture = capture

    def read(self, timeout_s: float) -> Frame:
        del timeout_s  # see the class: OpenCV's reader waits by itself
        if self._capture is None:
            raise CameraUnavailable(f"Camera {self._name} is closed. Open it before reading.")
        ok, pixels = self._capture.read()
        if not ok or pixels is None:
            raise CameraUnavailable(f"Camera {self._name}: {self._device} gave no frame.")
        frame = Frame(
            self._name, self._frame_id, np.asarray(pixels, dtype=np.uint8), self._wall_ns()
        )
        self._frame_id += 1
        self._hw = frame.hw
        return frame

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def describe(self) -> CameraInfo:
        return CameraInfo(f"v4l2:{self._device}", "live", self._hw, False, False)


def from_url(url: str, *, name: str) -> V4l2Camera:
    """Return the camera of `v4l2:/dev/video0?width=1280&height=1024&fps=30`.

    Raises:
        ConfigError: an unknown option or a value that is no number.
    """
    source = parse_source_url(url).allow_options(OPTIONS)
    wanted = (source.number("width", 0), source.number("height", 0), source.number("fps", 0))
    return V4l2Camera(source.path or DEFAULT_DEVICE, name, wanted)
