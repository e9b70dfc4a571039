"""The V4L2 driver with a video file in the camera's place; runs in the isolated child."""

from __future__ import annotations

from typing import Any

from edge_app.cameras.drivers.v4l2 import V4l2Source


class FilmedV4l2(V4l2Source):
    def _reader(self) -> Any:
        return self._cv2.VideoCapture(self._device)


def make_source(settings: dict[str, Any]) -> FilmedV4l2:
    return FilmedV4l2(settings["device"], tuple(settings["wanted"]))
