"""A camera under Linux' V4L2 through OpenCV's reader, in the child."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edge_app.cameras.isolation.raw import RawFrame, Settings
from edge_app.errors import CameraUnavailable

SILENT_S = 2
"""OpenCV waits for a frame this long, in whole seconds, and knows no shorter read; below the
silence after which the parent ends a driver (`isolation.camera.SILENCE_S`)."""


class V4l2Source:
    """Implements `raw.RawSource`.

    Args:
        device: e.g. /dev/video0.
        wanted: (width, height, frames per second), each 0 for the driver's own choice.
    """

    def __init__(self, device: str, wanted: tuple[float, float, float]) -> None:
        self._device, self._wanted = device, wanted
        self._capture: Any = None

    def open(self) -> None:
        if not Path(self._device).exists():
            raise CameraUnavailable(
                f"{self._device} is not there. Plug the camera in, and see `ls /dev/video*` for "
                "the devices there are."
            )
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SILENT_S))
        import cv2

        self._cv2 = cv2
        self._capture = self._reader()
        if not self._capture.isOpened():
            raise CameraUnavailable(
                f"{self._device} cannot be opened as a V4L2 camera. Another program may hold it, "
                "or this user may not read it (group `video`)."
            )
        keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        for key, value in zip(keys, self._wanted, strict=True):
            if value:
                self._capture.set(key, value)

    def read(self, timeout_s: float) -> RawFrame:
        del timeout_s  # see SILENT_S
        ok, pixels_hwc = self._capture.read()
        if not ok or pixels_hwc is None:
            raise CameraUnavailable(f"{self._device} gave no frame for {SILENT_S} s, or has gone.")
        h, w = pixels_hwc.shape[:2]
        stamp_ms = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)  # the kernel's, monotonic
        return RawFrame(
            data=pixels_hwc.tobytes(),
            hw=(h, w),
            stride=0,
            pixel_format="BGR8",
            device_ns=round(stamp_ms * 1e6) if stamp_ms > 0 else None,
        )

    def trigger(self) -> None:
        raise CameraUnavailable("A V4L2 camera runs free; it takes no trigger.")

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _reader(self) -> Any:
        """Return OpenCV's reader; tests put a file in the camera's place here."""
        return self._cv2.VideoCapture(self._device, self._cv2.CAP_V4L2)


def make_source(settings: Settings) -> V4l2Source:
    """Return the driver for `{"device": PATH, "wanted": [width, height, fps]}`."""
    w, h, fps = settings["wanted"]
    return V4l2Source(settings["device"], (w, h, fps))
