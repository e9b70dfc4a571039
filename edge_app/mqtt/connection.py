"""One connection to a broker, from CONNECT to its end. Everything that happens is an event.

A new paho client is made for every attempt: paho would otherwise resend messages on its own,
in addition to those that the outbox resends.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_app.errors import BrokerError
from edge_app.mqtt.settings import MqttSettings

MQTT_5 = MQTTProtocolVersion.MQTTv5
MQTT_311 = MQTTProtocolVersion.MQTTv311

CONNECT_TIMEOUT_S = 5.0
"""TCP and TLS on a plant network take milliseconds; more than this is a wrong address."""
MAX_UNSENT_LOSSY = 200
"""QoS 0 messages waiting for a slow socket; further ones are dropped and counted."""

LOGIN_CODES = frozenset({0x86, 0x87, 0x8C})
"""Bad user name or password, not authorised, bad authentication method (MQTT 5, 3.2.2.2)."""
PROTOCOL_CODE = 0x84
TAKEN_OVER_CODE = 0x8E


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted us."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered CONNECT with a refusal; `code` is MQTT 5's."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended unexpectedly; `code` is 0 if the broker gave none."""

    text: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker answered a QoS 1 publish. `refusal` is its reason, None if it accepted."""

    mid: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """A message for us."""

    topic: str
    payload: bytes
    is_retained: bool


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """The broker refuses a subscription."""

    text: str


Event = Connected | Refused | Lost | Acked | Received | SubscriptionRefused


@dataclass(frozen=True, slots=True)
class Will:
    """The last will: published by the broker, retained, when the connection breaks."""

    topic: str
    payload: bytes


def make_client(
    settings: MqttSettings, protocol: MQTTProtocolVersion, client_id: str, is_persistent: bool
) -> Client:
    """Return a paho client with login and TLS set, not yet connected.

    Raises:
        ConfigError: the password or a certificate cannot be read.
    """
    clean: dict[str, Any] = {} if protocol == MQTT_5 else {"clean_session": not is_persistent}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=protocol,
        reconnect_on_failure=False,
        **clean,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.read_password())
    context = settings.tls_context()
    if context is not None:
        client.tls_set_context(context)
    return client


class Connection:
    """A connection attempt and what follows.

    Attributes:
        events: what happened, from paho's thread, in order; None is a wake-up without an event.
        is_mqtt5: the protocol of this attempt.

    Raises:
        ConfigError: the password or a certificate cannot be read.
        BrokerError: nobody answers at the address, or TLS failed.
    """

    def __init__(
        self,
        settings: MqttSettings,
        protocol: MQTTProtocolVersion,
        client_id: str,
        will: Will | None,
    ) -> None:
        self.is_mqtt5 = protocol == MQTT_5
        self.events: SimpleQueue[Event | None] = SimpleQueue()
        self._lossy: set[int] = set()
        self._lock = threading.Lock()
        self._client = make_client(settings, protocol, client_id, is_persistent=False)
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._open(settings)

    def _open(self, settings: MqttSettings) -> None:
        where = f"{settings.host}:{settings.port}"
        try:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise BrokerError(
                f"no MQTT connection to {where}: {error}; check host, port, TLS and that the "
                "broker runs"
            ) from error
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> int:
        """Send with QoS 1 and return the number that `Acked` will carry."""
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    def publish_lossy(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 0; False if the connection is gone or too many are still unsent."""
        with self._lock:
            if len(self._lossy) >= MAX_UNSENT_LOSSY:
                return False
            sent = self._client.publish(topic, payload, qos=0)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            if not sent.is_published():
                self._lossy.add(sent.mid)
            return True

    def subscribe(self, *filters: str) -> None:
        """Ask for messages with QoS 1."""
        self._client.subscribe([(topic, 1) for topic in filters])

    def wake(self) -> None:
        """Wake the thread that waits for an event; may be called from any thread."""
        self.events.put(None)

    def hang_up(self, why: str) -> None:
        """End the connection for a reason of our own; it arrives as a `Lost` event."""
        self.events.put(Lost(why))

    def close(self) -> None:
        """Disconnect in an orderly way (no last will is sent) and end paho's thread."""
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()
        self._release_callbacks()

    def _release_callbacks(self) -> None:
        """Forget the callbacks: paho closes its socket pair in `__del__`, which must not have to
        wait for the collector of cycles."""
        self._client.on_connect = None
        self._client.on_publish = None
        self._client.on_subscribe = None
        self._client.on_message = None

    def _on_connect(
        self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        self.events.put(Refused(reason.value, str(reason)) if reason.is_failure else Connected())

    def _on_disconnect(
        self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        self.events.put(Lost(str(reason), reason.value))

    def _on_publish(
        self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Properties
    ) -> None:
        with self._lock:
            if mid in self._lossy:
                self._lossy.discard(mid)
                return
        self.events.put(Acked(mid, str(reason) if reason.is_failure else None))

    def _on_subscribe(
        self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        refusals = [str(reason) for reason in reasons if reason.is_failure]
        if refusals:
            self.events.put(SubscriptionRefused(", ".join(refusals)))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self.events.put(Received(message.topic, bytes(message.payload), bool(message.retain)))
