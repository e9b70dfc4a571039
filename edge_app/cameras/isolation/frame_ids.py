"""Finding lost frames from the camera's own count. Pure."""

from __future__ import annotations

GVSP_16_BIT_LAST = 65_535
"""GigE Vision's 16-bit block id goes from 65535 to 1; 0 is reserved (GigE Vision 1.x, GVSP)."""


class FrameIdGaps:
    """Counts the frames missing between two that came.

    Args:
        wraps_after: the last id before the count begins again at 1; None where it never does.
    """

    def __init__(self, wraps_after: int | None = None) -> None:
        self._wraps_after = wraps_after
        self._last: int | None = None

    def missing_before(self, frame_id: int | None) -> int:
        """Return how many frames were lost before this one; take note of it.

        A count that goes back without a wrap (the camera started anew) is no loss.
        """
        last, self._last = self._last, frame_id
        if last is None or frame_id is None:
            return 0
        if frame_id > last:
            return frame_id - last - 1
        if self._wraps_after is None or not self._is_wrap(last, frame_id):
            return 0
        return self._wraps_after - last + frame_id - 1

    def told_as_lost(self) -> None:
        """A frame came damaged and was reported as such: its id is no gap."""
        if self._last is not None:
            self._last += 1

    def _is_wrap(self, last: int, frame_id: int) -> bool:
        """The way over the top is the shorter one."""
        assert self._wraps_after is not None
        return last - frame_id > self._wraps_after // 2
