"""What every frame source can do: four methods, usable in-thread or behind a process boundary.

A source never retries, sleeps or reconnects by itself: the grabber does that, the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from edge_app.records import Frame
from edge_app.secret_text import mask, shown_address

CameraMode = Literal["live", "triggered", "file"]
"""live: frames come by themselves and only the newest matters.
triggered: one part per trigger, every trigger gets a verdict before its deadline.
file: one part per picture (or a stream), the reader waits for the line, nothing is skipped."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What a source is, for people and for `info` on MQTT.

    Attributes:
        url: how it was opened, without login and passwords: whatever is given, they are left out.
        mode: see CameraMode.
        frame_hw: (height, width) in pixels, or None while unknown.
        is_numbered: its frames carry `source_number`: one part each, growing by one.
        can_resume: it can start at a given source number (files can, a belt cannot).
        is_local: on this machine or its own cable; it is tried every second, while a server on
            the plant's network is asked ever more slowly.
        awaits_fire: it takes a picture only when asked: it is a FiredCamera.
    """

    url: str
    mode: CameraMode
    frame_hw: tuple[int, int] | None
    is_numbered: bool
    can_resume: bool
    is_local: bool = True
    awaits_fire: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", mask(shown_address(self.url)))


class Camera(Protocol):
    """A frame source. Not thread-safe: one thread opens, reads and closes it."""

    def open(self, resume_after: int | None = None) -> None:
        """Make the source ready to read.

        Args:
            resume_after: last finished source number; a source that can resume goes on after it,
                one that cannot ignores it.

        Raises:
            CameraUnavailable: it is not there; the message says what is missing and what to do.
        """

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame.

        Raises:
            FrameTimeout: none came within `timeout_s`.
            FrameCorrupt: this one is lost; the next call goes on after it.
            EndOfStream: a finite source is at its end.
            CameraUnavailable: the source has gone.
        """

    def close(self) -> None:
        """Release the source; may be called twice and after a failed open."""

    def describe(self) -> CameraInfo:
        """Return what this source is; may be called before `open`."""


@runtime_checkable
class FiredCamera(Protocol):
    """A camera that a program may trigger."""

    def fire(self, trigger_id: str | None = None) -> int:
        """Ask for one picture; may be called from any thread.

        Args:
            trigger_id: what the part is known by; None lets the camera name it.

        Returns:
            The part's source number.
        """


@runtime_checkable
class FlowingCamera(Protocol):
    """A camera that lives as long as data comes, whether or not a picture can be made of it."""

    def data_came_ns(self) -> int | None:
        """Return when data without a usable picture came last, host monotonic; None: never."""
