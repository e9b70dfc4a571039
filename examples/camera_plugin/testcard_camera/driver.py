"""The driver: runs in a child process, whose end costs this camera only."""

from __future__ import annotations

import time
from typing import Any

from edge_app.cameras.isolation.raw import RawFrame
from edge_app.errors import CameraUnavailable, FrameTimeout

GROUND, BRIGHT = 90, 220


class Testcard:
    """Draws a picture whenever one is due. Implements `raw.RawSource`.

    Args:
        hw: (height, width) in pixels.
        fps: pictures per second.
    """

    def __init__(self, hw: tuple[int, int], fps: float) -> None:
        self._hw, self._period_s = hw, 1 / fps
        self._count, self._next_s = 0, 0.0

    def open(self) -> None:
        self._next_s = time.monotonic()

    def read(self, timeout_s: float) -> RawFrame:
        wait_s = self._next_s - time.monotonic()
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            raise FrameTimeout("no picture is due")
        time.sleep(max(0.0, wait_s))
        self._next_s += self._period_s
        self._count += 1
        return RawFrame(
            data=self._picture(),
            hw=self._hw,
            stride=self._hw[1],
            pixel_format="Mono8",
            device_ns=time.monotonic_ns(),
            frame_id=self._count,
        )

    def _picture(self) -> bytes:
        h, w = self._hw
        side = min(h, w) // 4
        x, y = 5 * self._count % (w - side), (h - side) // 2
        rows = bytearray([GROUND]) * (h * w)
        for row in range(y, y + side):
            rows[row * w + x : row * w + x + side] = bytes([BRIGHT]) * side
        return bytes(rows)

    def trigger(self) -> None:
        raise CameraUnavailable("A test card runs free; it takes no trigger.")

    def close(self) -> None:
        """There is nothing to release."""


def make_source(settings: dict[str, Any]) -> Testcard:
    """Return the driver for `{"hw": [HEIGHT, WIDTH], "fps": FPS}`."""
    h, w = settings["hw"]
    return Testcard((h, w), settings["fps"])
