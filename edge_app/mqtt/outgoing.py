"""Messages that wait for the broker, and those that it has not acknowledged yet."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edge_app.mqtt.connection import Connection
from edge_app.mqtt.message_base import Message


@dataclass(frozen=True, slots=True)
class _Once:
    topic: str
    message: Message | None
    is_retained: bool = False


class Outgoing:
    """The newest message per retained topic, and messages that are sent once.

    Any thread may add a message; the session's thread sends as many as the broker takes at once,
    and takes acknowledgements.

    Attributes:
        unsendable: topic → bytes of a message that is larger than the broker takes; it is not sent.
    """

    def __init__(self) -> None:
        self._retained: dict[str, Message] = {}
        self._changed: dict[str, None] = {}
        self._once: deque[_Once] = deque()
        self._unacknowledged: dict[int, str] = {}
        self._lock = threading.Lock()
        self.unsendable: dict[str, int] = {}

    def retain(self, topic: str, message: Message) -> None:
        """Replace a topic's retained message; every new connection publishes it again."""
        with self._lock:
            self._retained[topic] = message
            self._changed[topic] = None

    def send_once(self, topic: str, message: Message) -> None:
        """Publish a message on this connection, or on the next one if there is none."""
        self._once.append(_Once(topic, message))

    def clear(self, topic: str) -> None:
        """Remove a message that the broker retains on a topic of ours."""
        removal = _Once(topic, None, is_retained=True)
        if removal not in self._once:
            self._once.append(removal)

    def retains(self, topic: str) -> bool:
        """Return whether we retain a message on a topic."""
        with self._lock:
            return topic in self._retained

    # -- the session's thread -------------------------------------------------------------------

    def begin(self) -> None:
        """Publish everything retained again: a new connection may be a new broker."""
        self._unacknowledged.clear()
        self.unsendable = {}
        with self._lock:
            self._changed = dict.fromkeys(self._retained)

    def publish(self, connection: Connection) -> None:
        """Send what changed since the last call, in the order in which it first changed.

        Ends when the broker's receive maximum is used up; the rest follows in the next call.
        """
        room = connection.room("retained")
        count = 0
        while count < room and (message := self._next()) is not None:
            count += self._send(connection, message)
        connection.window.used("retained", count, self._is_waiting)

    @property
    def _is_waiting(self) -> bool:
        return bool(self._changed or self._once)

    def _next(self) -> _Once | None:
        with self._lock:
            if self._changed:
                topic = next(iter(self._changed))
                del self._changed[topic]
                return _Once(topic, self._retained[topic], is_retained=True)
        return self._once.popleft() if self._once else None

    def _send(self, connection: Connection, message: _Once) -> int:
        """Publish one message; return how many were: 0 if it is larger than the broker takes."""
        topic, room = message.topic, connection.limits.payload_room(message.topic)
        payload = b"" if message.message is None else message.message.payload_within(room)
        if payload is None:
            self.unsendable[topic] = len(message.message.payload()) if message.message else 0
            return 0
        self.unsendable.pop(topic, None)
        mid = connection.publish(topic, payload, retain=message.is_retained)
        self._unacknowledged[mid] = topic
        return 1

    def acknowledge(self, packet_id: int) -> str | None:
        """Note the broker's answer to a packet; return its topic, None if it was not sent here."""
        return self._unacknowledged.pop(packet_id, None)

    @property
    def is_acknowledged(self) -> bool:
        """Every message has been sent on this connection, and answered."""
        return not (self._unacknowledged or self._is_waiting)
