"""Notices from a device's own states that two machines are it, or that it has gone back. No IO.

A device sends its state again, unchanged, at every new connection, and never an earlier one. Two
machines under one name take the broker's connection from each other, and so an earlier state comes
back. `deploy.watch.twins` tells the same from alerts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge_app.mqtt.messages import DeviceStatus

TWINS = (
    "two machines are this device, their states take turns: switch one off, or give it a name of "
    "its own (docs/replace_device.md)"
)
WENT_BACK = (
    "its count of starts went back from {before} to {now}: its state folder was lost, or an older "
    "image of its disk was started (docs/replace_device.md)"
)
MAX_STATES = 50
"""Remembered a device: twins take turns within seconds to minutes."""


@dataclass(slots=True)
class Turns:
    """Compares each state of one device with those before.

    Attributes:
        fault: what is wrong, for people; "" if nothing is. It stays: two machines are still two
            while one of them is away.
    """

    fault: str = ""
    _current: tuple[int, str] | None = None
    _given_up: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=MAX_STATES))

    def note(self, status: DeviceStatus) -> None:
        """Take the next state; a last will, which the broker sends, says nothing."""
        if status.since is None:
            return
        state = (status.session, status.since)
        if state == self._current:
            return
        before, self._current = self._current, state
        if before is None:
            return
        if state in self._given_up:
            self.fault = TWINS
        elif status.session < before[0] and not self.fault:
            self.fault = WENT_BACK.format(before=before[0], now=status.session)
        self._given_up.append(before)
