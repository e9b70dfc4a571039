"""What a driver in the child process delivers: bytes as the camera sent them, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from edge_app.errors import FrameCorrupt, FrameTimeout

Settings = dict[str, Any]
"""What a driver needs to know; travels as JSON."""


class PictureAwaited(FrameTimeout):
    """Data came, and no picture yet: the camera lives."""


class PictureSpoilt(FrameCorrupt):
    """Data came, and the picture made of it cannot be believed: the camera lives."""


@dataclass(frozen=True, slots=True, eq=False)
class RawFrame:
    """One picture before any conversion.

    Attributes:
        data: the rows, `stride` bytes apart; the last row may be shorter by its padding.
        hw: (height, width) in pixels.
        stride: bytes from one row to the next; 0 where rows follow each other bit by bit.
        pixel_format: a name of `edge_app.cameras.pixel_format`.
        device_ns: the camera's own clock, ns since anything; None if it has none.
        frame_id: the camera's own count, for finding losses; None if it has none.
    """

    data: bytes | bytearray | memoryview
    hw: tuple[int, int]
    stride: int
    pixel_format: str
    device_ns: int | None = None
    frame_id: int | None = None


class RawSource(Protocol):
    """A camera's driver. Its calls may hang: then the process is ended."""

    def open(self) -> None:
        """Connect, apply the settings, start the stream.

        Raises:
            CameraUnavailable: something is missing; says what and how to install or find it.
        """

    def read(self, timeout_s: float) -> RawFrame:
        """Return the next frame.

        Raises:
            FrameTimeout: none came in time.
            FrameCorrupt: this one is lost.
            EndOfStream: a finite stream is at its end.
            CameraUnavailable: the camera has gone.
        """

    def trigger(self) -> None:
        """Ask for one frame; called only where the frames are fired by us."""

    def close(self) -> None:
        """Release everything; may be called after a failed open."""
