"""The workstation's MQTT client: receives devices' reports, sends pointers and commands.

One thread: nothing happens outside `pump` and `publish`.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_app.errors import BrokerError
from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.connection import Acked, Connection, Received, SubscriptionRefused
from edge_app.mqtt.dial import DialFailure
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.session import MAX_HANG_UPS, TICK_S, Disconnection, Session, SessionEvent
from edge_app.mqtt.settings import MqttSettings

PUBLISH_TIMEOUT_S = 10.0
"""From a publish to its coming back; on a plant network it takes milliseconds."""
RETRY_MAX_S = 5.0
"""A person waits in front of the screen."""


@dataclass(slots=True)
class _Sent:
    """A message on its way to the broker and back."""

    topic: str
    payload: bytes
    packet_id: int
    is_acknowledged: bool = False
    has_come_back: bool = False
    refusal: str | None = None


class FleetMqttClient:
    """A connection that is renewed when it is lost.

    Args:
        filters: what to subscribe to.
        take: gets every message's topic and payload.
        note: gets one line per trouble.

    Raises:
        BrokerError: no connection, login or subscription the first time.
    """

    def __init__(
        self,
        settings: MqttSettings,
        filters: Sequence[str],
        take: Callable[[str, bytes], None],
        note: Callable[[str], None],
    ) -> None:
        self._filters = filters
        self._take_message = take
        self._note = note
        self._backoff = Backoff(settings.reconnect_min_s, RETRY_MAX_S, random.random)
        self._was_connected = False
        self._sent: _Sent | None = None
        client_id = settings.client_id or f"edge-deploy-{secrets.token_hex(4)}"
        self._session = Session(settings, client_id, self, Outgoing())
        self._connection()

    def pump(self, for_s: float) -> None:
        """Receive messages for so long, and until a lost connection is renewed.

        Raises:
            BrokerError: the broker refuses the subscription.
        """
        end_s = time.monotonic() + for_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._session.step(left_s)
        self._connection()

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        """Publish and wait until the broker has sent it back: the filters include its topic.

        Raises:
            BrokerError: it refuses the message.
        """
        for _ in range(MAX_HANG_UPS):
            connection = self._connection()
            sent = self._sent = _Sent(topic, payload, connection.publish(topic, payload, retain))
            end_s = time.monotonic() + PUBLISH_TIMEOUT_S
            while self._session.connection is connection:
                if sent.is_acknowledged and sent.has_come_back:
                    return
                if sent.refusal is not None:
                    raise _refused(topic, sent.refusal)
                if time.monotonic() > end_s:
                    raise _refused(topic, "it did not come back")
                self._session.step(TICK_S)
        raise _refused(topic, "the broker hangs up on it")

    def close(self) -> None:
        """Disconnect."""
        self._session.close()

    def _connection(self) -> Connection:
        """Return the connection, once there is one."""
        while self._session.connection is None:
            self._session.step(RETRY_MAX_S)
        return self._session.connection

    # -- called by the session ------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """Subscribe."""
        self._was_connected = True
        self._backoff.reset()
        connection.subscribe(*self._filters)

    def take(self, event: SessionEvent) -> None:
        """Pass a message on, and track the one that `publish` waits for."""
        sent = self._sent
        if isinstance(event, Received):
            if sent is not None and (event.topic, event.payload) == (sent.topic, sent.payload):
                sent.has_come_back = True
            self._take_message(event.topic, event.payload)
        elif isinstance(event, Acked) and sent is not None and event.mid == sent.packet_id:
            sent.is_acknowledged, sent.refusal = event.refusal is None, event.refusal
        elif isinstance(event, SubscriptionRefused):
            raise BrokerError(
                f"broker refused the subscription: {event.text}; its ACL must let this user read "
                f"{', '.join(self._filters)}"
            )

    def work(self) -> None:
        """Send nothing: `publish` does that."""

    def disconnected(self, reason: Disconnection) -> float:
        """Report why there is no connection; return the wait in seconds."""
        if not isinstance(reason, DialFailure):
            self._note(f"connection lost: {reason.text}; connecting again")
        elif self._was_connected:
            self._note(f"{reason.text}; trying again")
        else:
            raise BrokerError(reason.text)
        return self._backoff.next_s()


def _refused(topic: str, why: str) -> BrokerError:
    return BrokerError(
        f"publish refused: {why} ({topic}); the broker's ACL must let this user write and read it, "
        "see docs/mqtt.md"
    )
