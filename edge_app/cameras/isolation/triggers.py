"""The book of triggers: every one that is written in comes out once, answered or lost."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edge_app.errors import FrameCorrupt

ASKED_POLL_S = 0.01
"""A trigger from another thread is sent after this long at most: a belt at 1 m/s moves 10 mm."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One trigger: its number (growing by one) and the name it was asked under."""

    number: int
    trigger_id: str


@dataclass(frozen=True, slots=True)
class LostTrigger:
    """A trigger without a picture, and why."""

    firing: Firing
    why: str

    def as_error(self) -> FrameCorrupt:
        """Return the error that gives it its verdict: NOT_INSPECTED."""
        return FrameCorrupt(self.why, self.firing.number, self.firing.trigger_id)


class TriggerBook:
    """Numbers triggers and follows them. `fire` may be called from any thread.

    One is in flight at a time. A trigger that comes while the camera is still busy is lost at
    once: a picture taken later would show something else. Triggers come out in their order.

    Args:
        camera: its name; begins the names of triggers that were given none.
        interval_s: fire by the clock; 0 for never.
    """

    def __init__(self, camera: str, interval_s: float = 0.0) -> None:
        self._camera, self._interval_s = camera, interval_s
        self._lock = threading.Lock()
        self._last_number = 0
        self._asked: deque[Firing] = deque()
        self._in_flight: Firing | None = None
        self._behind: deque[LostTrigger] = deque()
        self._lost: deque[LostTrigger] = deque()
        self._due_s: float | None = None

    def reopened(self, last_number: int) -> None:
        """The camera is opened again: numbers go on, what was asked meanwhile is lost."""
        with self._lock:
            self._last_number = max(self._last_number, last_number)
            self._due_s = None
            for firing in self._asked:
                self._lost.append(self._loss(firing, "the camera was away when it came"))
            self._asked.clear()

    def fire(self, trigger_id: str | None = None) -> int:
        """Write a trigger in; `take_due` gives it out. Returns its number."""
        with self._lock:
            firing = self._next(trigger_id)
            self._asked.append(firing)
            return firing.number

    def take_due(self, now_s: float) -> Firing | None:
        """Return the trigger to send now, if there is one: asked for, or the clock's."""
        with self._lock:
            if self._is_clock_due(now_s):
                self._asked.append(self._next(None))
            due = None
            while self._asked:
                firing = self._asked.popleft()
                if self._in_flight is None:
                    self._in_flight = due = firing
                else:
                    why = f"the camera was still busy with {self._in_flight.trigger_id}"
                    self._behind.append(self._loss(firing, why))
            return due

    def idle_s(self, now_s: float) -> float:
        """Return how long the reader may wait before it looks at `take_due` again."""
        if self._due_s is None:
            return ASKED_POLL_S
        return min(ASKED_POLL_S, max(0.0, self._due_s - now_s))

    def answered(self, number: int | None) -> Firing:
        """Return the trigger a frame belongs to; None: a pulse on the camera's own input."""
        with self._lock:
            return self._next(None) if number is None else self._landed()

    def lose(self, number: int | None, why: str) -> None:
        """A trigger's frame will not come; None: a pulse on the camera's own input."""
        with self._lock:
            firing = self._next(None) if number is None else self._in_flight
            assert firing is not None
            self._lost.append(self._loss(firing, why))
            if number is not None:
                self._landed()

    def lose_fired(self, why: str) -> None:
        """What is in flight will not come."""
        with self._lock:
            if self._in_flight is not None:
                self._lost.append(self._loss(self._in_flight, why))
                self._landed()

    def next_lost(self) -> LostTrigger | None:
        """Return a lost trigger that was not reported yet."""
        with self._lock:
            return self._lost.popleft() if self._lost else None

    def _next(self, trigger_id: str | None) -> Firing:
        self._last_number += 1
        return Firing(self._last_number, trigger_id or f"{self._camera}-{self._last_number}")

    def _landed(self) -> Firing:
        """Nothing is in flight any more; those refused meanwhile come out behind it."""
        firing, self._in_flight = self._in_flight, None
        assert firing is not None
        self._lost.extend(self._behind)
        self._behind.clear()
        return firing

    def _loss(self, firing: Firing, why: str) -> LostTrigger:
        text = f"Camera {self._camera}: no picture for trigger {firing.trigger_id}: {why}."
        return LostTrigger(firing, text)

    def _is_clock_due(self, now_s: float) -> bool:
        """Keep the beat; a beat missed by more than an interval is not made up for."""
        if not self._interval_s:
            return False
        if self._due_s is None:
            self._due_s = now_s
        if now_s < self._due_s:
            return False
        on_time_s = self._due_s + self._interval_s
        self._due_s = on_time_s if on_time_s > now_s else now_s + self._interval_s
        return True
