"""Messages that wait for the broker, and those that it has not acknowledged yet."""

from __future__ import annotations

import threading
from collections import deque

from edge_app.mqtt.connection import Connection
from edge_app.mqtt.message_base import Message


class Outgoing:
    """The newest message per retained topic, and messages that are sent once.

    Any thread may add a message; the session's thread sends, and takes acknowledgements.
    """

    def __init__(self) -> None:
        self._retained: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._once: deque[tuple[str, bytes]] = deque()
        self._unacknowledged: dict[int, str] = {}
        self._lock = threading.Lock()

    def retain(self, topic: str, message: Message) -> None:
        """Replace a topic's retained message; every new connection publishes it again."""
        with self._lock:
            self._retained[topic] = message.payload()
            self._changed[topic] = None

    def send_once(self, topic: str, message: Message) -> None:
        """Publish a message on this connection, or on the next one if there is none."""
        self._once.append((topic, message.payload()))

    def retains(self, topic: str) -> bool:
        """Return whether we retain a message on a topic."""
        with self._lock:
            return topic in self._retained

    # -- the session's thread -------------------------------------------------------------------

    def begin(self) -> None:
        """Publish everything retained again: a new connection may be a new broker."""
        self._unacknowledged.clear()
        with self._lock:
            self._changed = dict.fromkeys(self._retained)

    def publish(self, connection: Connection) -> None:
        """Send what changed since the last call, in the order in which it first changed."""
        with self._lock:
            changed = [(topic, self._retained[topic]) for topic in self._changed]
            self._changed.clear()
        for topic, payload in changed:
            self._unacknowledged[connection.publish(topic, payload, retain=True)] = topic
        while self._once:
            topic, payload = self._once.popleft()
            self._unacknowledged[connection.publish(topic, payload)] = topic

    def acknowledge(self, packet_id: int) -> str | None:
        """Note the broker's answer to a packet; return its topic, None if it was not sent here."""
        return self._unacknowledged.pop(packet_id, None)

    @property
    def is_acknowledged(self) -> bool:
        """Every message that was sent on this connection has been answered."""
        return not self._unacknowledged
