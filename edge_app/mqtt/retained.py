"""What the broker shall remember about this device: the newest message per retained topic."""

from __future__ import annotations

import threading

from edge_app.mqtt.messages import Message


class Retained:
    """Newest message by topic; any thread may set, the publisher takes what changed."""

    def __init__(self) -> None:
        self._messages: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._lock = threading.Lock()

    def set(self, topic: str, message: Message) -> None:
        """Replace what stands on a topic."""
        with self._lock:
            self._messages[topic] = message.payload()
            self._changed[topic] = None

    def take_changed(self) -> list[tuple[str, bytes]]:
        """Return what changed since the last call, in the order in which it first changed."""
        with self._lock:
            changed = [(topic, self._messages[topic]) for topic in self._changed]
            self._changed.clear()
        return changed

    def say_all_again(self) -> None:
        """Count everything as changed: a new connection may be a new broker."""
        with self._lock:
            self._changed = dict.fromkeys(self._messages)

    def __contains__(self, topic: object) -> bool:
        with self._lock:
            return topic in self._messages
