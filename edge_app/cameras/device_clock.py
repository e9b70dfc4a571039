"""A camera's own clock, told on this machine's monotonic clock. Pure, told the time.

A camera stamps a frame when the light falls; the host sees it when the transfer is done. The least
delayed of the latest frames shows the difference between the two clocks best, so their smallest
difference is taken: jitter of the network and of this machine's threads drops out.
"""

from __future__ import annotations

from collections import deque

WINDOW = 100
"""Frames the smallest difference is taken over. Crystals drift apart by up to about 100 ppm: at 10
frames per second that is 1 ms in a window."""

RESTART_NS = 1_000_000_000
"""A difference that changes by more than a second is no jitter: the camera was switched off and on,
and its clock began anew."""


class DeviceClock:
    """Maps one camera's stamps; keep it as long as the camera is open or reopened."""

    def __init__(self) -> None:
        self._offsets_ns: deque[int] = deque(maxlen=WINDOW)

    def monotonic_ns(self, device_ns: int, arrived_ns: int) -> int:
        """Return when a frame was taken, on the host's monotonic clock; never after it arrived.

        Args:
            device_ns: the camera's stamp, in ns of its own clock.
            arrived_ns: host's monotonic time at which the frame was complete.
        """
        offset_ns = arrived_ns - device_ns
        if self._offsets_ns and abs(offset_ns - self._offsets_ns[-1]) > RESTART_NS:
            self._offsets_ns.clear()
        self._offsets_ns.append(offset_ns)
        return device_ns + min(self._offsets_ns)
