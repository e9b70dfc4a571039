"""Finding lost frames from the camera's own count. Pure."""

from __future__ import annotations

GVSP_16_BIT_LAST = 65_535
"""GigE Vision's 16-bit block id goes from 65535 to 1; 0 is reserved (GigE Vision 1.x, GVSP), and
some cameras count it all the same."""

MAX_GAP = 1000
"""Frames that one gap may stand for. A number from outside sizes no loop: beyond this a number is
taken for a wrong one, or for a new count, as the frame behind it shows."""


class FrameIdGaps:
    """Counts the frames missing between two that came.

    Args:
        wraps_after: the last id before the count begins again; None where it never does.
    """

    def __init__(self, wraps_after: int | None = None) -> None:
        self._wraps_after = wraps_after
        self._last: int | None = None
        self._odd: int | None = None

    def missing_before(self, frame_id: int | None) -> int:
        """Return how many frames were lost before this one; take note of it.

        A number that fits neither the count nor its wrap costs nothing by itself. If the next one
        follows it, the camera counts anew from there: one frame is told as missing if the count
        went up (how many were lost is not known), none if it went down (the camera started anew).

        Returns:
            0 to MAX_GAP.
        """
        if frame_id is None or self._last is None:
            self._last, self._odd = frame_id, None
            return 0
        missing = self._gap(self._last, frame_id)
        if missing is not None:
            self._last, self._odd = frame_id, None
            return missing
        if self._odd is not None and (behind := self._gap(self._odd, frame_id)) is not None:
            is_up = self._odd > self._last
            self._last, self._odd = frame_id, None
            return min(MAX_GAP, behind + is_up)
        self._odd = frame_id
        self._last = self._next(self._last)  # it stands in the place of the one expected
        return 0

    def told_as_lost(self) -> None:
        """A frame came damaged and was reported as such: its id is no gap."""
        if self._last is not None:
            self._last = self._next(self._last)

    def _gap(self, last: int, frame_id: int) -> int | None:
        """Return how many lie between two ids; None where the one cannot follow the other."""
        missing = frame_id - last - 1
        wraps_after = self._wraps_after
        if missing < 0 and wraps_after is not None and frame_id <= last <= wraps_after:
            missing = wraps_after - last + max(0, frame_id - 1)
        return missing if 0 <= missing <= MAX_GAP else None

    def _next(self, last: int) -> int:
        return 1 if last == self._wraps_after else last + 1
