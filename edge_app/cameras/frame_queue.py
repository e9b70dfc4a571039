"""Between the grabber's thread and the line: what waits, what is replaced, what is refused.

One class for the three modes, because they differ in one rule only: what happens when it is full.

    live        the newest frame replaces the waiting one, which is counted as skipped
    triggered   the newest part is refused as `Unjudged("overload")`: triggers in = verdicts out
    file        the writer waits for the reader
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

from edge_app.cameras.protocol import CameraMode
from edge_app.errors import FrameCorrupt
from edge_app.records import Frame

OVERLOAD = "overload"
DEADLINE = "deadline"
CORRUPT_PICTURE = "corrupt_picture"


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A part that came but will not be inspected; it still gets a verdict: NOT_INSPECTED.

    Attributes:
        reason: "overload" (queue full), "deadline" (waited too long), "corrupt_picture", or what
            `PictureFault` names.
        message: for people; says what was wrong with the picture.
        captured_at_ns: ns since the epoch; time of reading for a picture that could not be read.
        frame_id: as in Frame; 0 where there was no frame.
        frame_hw: (height, width) in pixels; (0, 0) where there was no frame.
    """

    camera: str
    source_number: int | None
    trigger_id: str | None
    captured_at_ns: int
    reason: str
    message: str = ""
    source_name: str | None = None
    frame_id: int = 0
    frame_hw: tuple[int, int] = (0, 0)


def with_arrival(frame: Frame, mode: CameraMode, now_ns: int) -> Frame:
    """Return the frame with its arrival as its time where the source has no steady clock.

    A recording of a belt keeps its own stamps: only they tell how far parts have moved.
    """
    is_recording = mode == "file" and frame.source_number is None
    if frame.monotonic_ns is not None or is_recording:
        return frame
    return replace(frame, monotonic_ns=now_ns)


def unjudged_of(frame: Frame, reason: str, message: str) -> Unjudged:
    """Return the record that stands for a frame nobody judged; its pixels are let go."""
    return Unjudged(
        camera=frame.camera,
        source_number=frame.source_number,
        trigger_id=frame.trigger_id,
        captured_at_ns=frame.captured_at_ns,
        reason=reason,
        message=message,
        source_name=frame.source_name,
        frame_id=frame.frame_id,
        frame_hw=frame.hw,
    )


def unjudged_of_corrupt(
    camera: str, error: FrameCorrupt, wall_ns: int, is_triggered: bool
) -> Unjudged:
    """Return the record that stands for a part whose picture could not be read."""
    return Unjudged(
        camera=camera,
        source_number=error.source_number,
        trigger_id=error.source_name if is_triggered else None,
        captured_at_ns=wall_ns,
        reason=CORRUPT_PICTURE,
        message=str(error),
        source_name=error.source_name,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """One entry: the item and when it arrived, in monotonic ns."""

    item: Frame | Unjudged
    arrived_ns: int


class FrameQueue:
    """Hands frames from one thread to another by the mode's rule. Thread-safe.

    `Unjudged` records are small and never refused: they wait in order between the frames, and
    count against the depth only where the writer can be made to wait (file).

    Attributes:
        wake_up: set whenever something comes or the queue is closed, for a reader of many queues.
    """

    def __init__(self, mode: CameraMode, depth: int) -> None:
        self._mode = mode
        self._depth = 1 if mode == "live" else depth
        self._waiting: deque[Waiting] = deque()
        self._frames = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self.wake_up: threading.Event | None = None

    def __len__(self) -> int:
        """How many frames wait (records of unjudged parts not counted)."""
        return self._frames

    def is_drained(self) -> bool:
        """Nothing waits, not even an unjudged record."""
        with self._changed:
            return not self._waiting

    def offer(self, item: Frame | Unjudged, now_ns: int, timeout_s: float) -> str:
        """Put a frame in, or a part that could not even be read.

        Args:
            timeout_s: how long a `file` writer waits for room.

        Returns:
            "queued", "replaced" (live: the waiting frame was dropped), "refused" (triggered: an
            overload record was queued instead) or "full" (file: no room in time; offer it again).
        """
        with self._changed:
            if self._mode == "file":
                self._changed.wait_for(lambda: self._has_room() or self._is_closed, timeout_s)
            if self._has_room() or (self._mode != "file" and isinstance(item, Unjudged)):
                return self._append(Waiting(item, now_ns), "queued")
            if self._mode == "file" or isinstance(item, Unjudged):
                return "full"
            return (
                self._replace(item, now_ns) if self._mode == "live" else self._refuse(item, now_ns)
            )

    def take(self, timeout_s: float) -> Waiting | None:
        """Return the oldest entry, or None when nothing came in time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed, timeout_s)
            if not self._waiting:
                return None
            entry = self._waiting.popleft()
            self._frames -= isinstance(entry.item, Frame)
            self._changed.notify_all()
            return entry

    def close(self) -> None:
        """Nobody waits from now on; what is in can still be taken."""
        with self._changed:
            self._is_closed = True
            self._notify()

    def _has_room(self) -> bool:
        return (len(self._waiting) if self._mode == "file" else self._frames) < self._depth

    def _append(self, entry: Waiting, outcome: str) -> str:
        self._waiting.append(entry)
        self._frames += isinstance(entry.item, Frame)
        self._notify()
        return outcome

    def _notify(self) -> None:
        self._changed.notify_all()
        if self.wake_up is not None:
            self.wake_up.set()

    def _replace(self, frame: Frame, now_ns: int) -> str:
        waiting = next(entry for entry in self._waiting if isinstance(entry.item, Frame))
        self._waiting.remove(waiting)
        self._frames -= 1
        return self._append(Waiting(frame, now_ns), "replaced")

    def _refuse(self, frame: Frame, now_ns: int) -> str:
        why = f"{self._frames} parts were already waiting"
        return self._append(Waiting(unjudged_of(frame, OVERLOAD, why), now_ns), "refused")
