"""From the camera's clock to the host's: when the light fell, not when the message arrived."""

from __future__ import annotations

from collections import deque

WINDOW = 128
"""Frames looked back on: long enough to hold one that came without delay, short enough that two
crystals 100 ppm apart drift by 1.3 ms at 10 frames per second."""


class DeviceClock:
    """Maps device times to the host's monotonic clock by the quickest of the latest arrivals.

    The offset between the clocks is the least (arrival - device time) of the last `WINDOW`
    frames: a frame that was held up keeps its true age. The constant part of the way (exposure,
    read-out, the quickest transfer) cannot be seen from here and stays in the figure. A device
    clock that goes back (the camera started anew) begins a new mapping. The host's wall clock
    plays no part, so setting it moves nothing here. A late arrival alone never begins a new
    mapping: a frame that a frozen stream let go seconds later must not look fresh.
    """

    def __init__(self) -> None:
        self._offsets_ns: deque[int] = deque(maxlen=WINDOW)
        self._last_device_ns = -1

    def host_ns(self, device_ns: int, arrived_ns: int) -> int:
        """Return when the frame was taken.

        Args:
            device_ns: its stamp by the camera's clock.
            arrived_ns: when it arrived, host monotonic.

        Returns:
            Host monotonic ns, never after `arrived_ns`.
        """
        if device_ns < self._last_device_ns:
            self._offsets_ns.clear()
        self._last_device_ns = device_ns
        self._offsets_ns.append(arrived_ns - device_ns)
        return device_ns + min(self._offsets_ns)
