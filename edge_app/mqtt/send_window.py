"""How many messages may be unacknowledged at once, fair to alerts and to retained ones."""

from __future__ import annotations

import threading
from typing import Literal

Lane = Literal["alerts", "retained"]
_OTHER: dict[Lane, Lane] = {"alerts": "retained", "retained": "alerts"}


class SendWindow:
    """The room that a broker's receive maximum leaves on one connection (MQTT 5, 4.9).

    Of the last free place both kinds have every second one, so that neither a flood of alerts nor
    a level that changes all the time holds the other up for ever, at a receive maximum of 1 too.

    Args:
        size: the broker's receive maximum, >= 1.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._last: Lane = "retained"
        self._is_waiting: dict[Lane, bool] = {"alerts": False, "retained": False}

    def room(self, lane: Lane) -> int:
        """Return how many messages of a lane may be sent now, >= 0."""
        with self._lock:
            free = max(0, self._free)
            if self._is_waiting[_OTHER[lane]] and self._last == lane:
                return max(0, free - 1)
            return free

    def used(self, lane: Lane, count: int, has_more: bool) -> None:
        """Note what a lane has just sent, and whether it had to leave something waiting."""
        with self._lock:
            if count:
                self._last = lane
            self._is_waiting[lane] = has_more

    def sent(self) -> None:
        """Note one message on its way; to be called before it is published."""
        with self._lock:
            self._free -= 1

    def answered(self) -> None:
        """Note one answer; called from any thread."""
        with self._lock:
            self._free += 1
