"""One connection to a broker, from CONNECT to its end. Everything that happens is an event.

A new paho client is made for every attempt: paho would otherwise resend messages on its own,
in addition to those that the outbox resends.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_app.errors import BrokerError
from edge_app.mqtt.broker_limits import MAX_PACKET_IN, BrokerLimits
from edge_app.mqtt.guarded_client import GuardedClient, too_large_text
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.reason_words import reason_text
from edge_app.mqtt.send_window import Lane, SendWindow
from edge_app.mqtt.settings import MqttSettings

_lines = LimitedLog(logging.getLogger(__name__), time.monotonic)

MQTT_5 = MQTTProtocolVersion.MQTTv5
MQTT_311 = MQTTProtocolVersion.MQTTv311

CONNECT_TIMEOUT_S = 5.0
"""TCP and TLS on a plant network take milliseconds; more than this is a wrong address."""
MAX_UNSENT_LOSSY = 200
"""QoS 0 messages waiting for a slow socket; further ones are dropped and counted."""

MAX_RECEIVED_WAITING = 256
MAX_RECEIVED_BYTES = 4 * MAX_PACKET_IN
"""Received messages that wait for the session; beyond these the network thread waits, and TCP slows
the broker down. Nothing is dropped."""
BACK_PRESSURE_S = 0.01
LOGIN_CODES = frozenset({0x86, 0x87, 0x8C})
"""Bad user name or password, not authorised, bad authentication method (MQTT 5, 3.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted us, and announced its limits."""

    limits: BrokerLimits = field(default_factory=BrokerLimits)


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
    """The broker answered a QoS 1 publish. `refusal` is its reason, None if it accepted.

    `code` is the reason as a number; 0 in MQTT 3.1.1, which knows none.
    """

    mid: int
    refusal: str | None
    code: int = 0


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
    """The last will: published by the broker when the connection breaks.

    Attributes:
        qos, is_retained: lower where the broker supports no more.
    """

    topic: str
    payload: bytes
    qos: int = 1
    is_retained: bool = True


def make_client(
    settings: MqttSettings, protocol: MQTTProtocolVersion, client_id: str, is_persistent: bool
) -> GuardedClient:
    """Return a paho client with login and TLS set, not yet connected.

    Raises:
        ConfigError: the password or a certificate cannot be read.
    """
    clean: dict[str, Any] = {} if protocol == MQTT_5 else {"clean_session": not is_persistent}
    client = GuardedClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=protocol,
        reconnect_on_failure=False,
        **clean,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(0)  # paho's own limit would reorder what `SendWindow` paces
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
        limits: what the broker announced; set by `dial` once it has accepted.
        window: how many more messages may be on their way.

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
        self.limits = BrokerLimits()
        self.window = SendWindow(self.limits.receive_maximum)
        self._lossy: set[int] = set()
        self._lock = threading.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_closed = False
        self._client = make_client(settings, protocol, client_id, is_persistent=False)
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.is_retained)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_broken = self._on_broken
        self._open(settings)

    def _open(self, settings: MqttSettings) -> None:
        where = f"{settings.host}:{settings.port}"
        try:
            properties = connect_properties() if self.is_mqtt5 else None
            self._client.connect(
                settings.host, settings.port, settings.keepalive_s, properties=properties
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise BrokerError(
                f"no MQTT connection to {where}: {why}; check host, port, TLS and that the "
                "broker runs"
            ) from error
        self._client.loop_start()

    def accepted(self, limits: BrokerLimits) -> None:
        """Note what the broker announced; called before anything is published."""
        self.limits = limits
        self.window = SendWindow(limits.receive_maximum)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> int:
        """Send with QoS 1 and return the number that `Acked` will carry.

        With QoS 0, and not retained, where the broker supports no more; `Acked` then only says
        that it was sent. The caller has asked `window` for room, and `limits` for the size.
        """
        self.window.sent()
        qos = min(1, self.limits.maximum_qos)
        is_retained = retain and self.limits.retain_available
        return self._client.publish(topic, payload, qos=qos, retain=is_retained).mid

    def publish_lossy(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 0.

        Returns:
            False if the connection is gone, too many are still unsent, or the message is larger
            than the broker takes.
        """
        if len(payload) > self.limits.payload_room(topic):
            return False
        with self._lock:
            if len(self._lossy) >= MAX_UNSENT_LOSSY:
                return False
            sent = self._client.publish(topic, payload, qos=0)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            self._lossy.add(sent.mid)
            return True

    def room(self, lane: Lane) -> int:
        """Return how many messages of this kind may be published now."""
        return self.window.room(lane)

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
        self._is_closed = True
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
        self._client.on_broken = None

    def _on_connect(
        self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, more: Properties | None
    ) -> None:
        if reason.is_failure:
            self.events.put(Refused(reason.value, _words(reason, more)))
        else:
            self.events.put(Connected(BrokerLimits.announced(more if self.is_mqtt5 else None)))

    def _on_disconnect(
        self,
        _c: Client,
        _u: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        more: Properties | None,
    ) -> None:
        if self._client.why_broken:
            self.events.put(Lost(self._client.why_broken))
        elif flags.is_disconnect_packet_from_server:
            self.events.put(Lost(_words(reason, more), reason.value))
        else:
            self.events.put(Lost(str(reason)))

    def _on_broken(self, why: str) -> None:
        self.events.put(Lost(why))

    def _on_publish(
        self, _c: Client, _u: Any, mid: int, reason: ReasonCode, more: Properties
    ) -> None:
        with self._lock:
            if mid in self._lossy:
                self._lossy.discard(mid)
                return
        self.window.answered()
        refusal = _words(reason, more) if reason.is_failure else None
        self.events.put(Acked(mid, refusal, reason.value))

    def _on_subscribe(
        self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        refusals = [str(reason) for reason in reasons if reason.is_failure]
        if refusals:
            self.events.put(SubscriptionRefused(", ".join(refusals)))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # MQTT allows no such topic, and nobody could answer it
        if self._client.cut_bytes:
            text = f"MQTT: {too_large_text(topic, self._client.cut_bytes)}"
            _lines.warning("too large", text)
            return
        payload = bytes(message.payload)
        while self._is_full and not self._is_closed:
            time.sleep(BACK_PRESSURE_S)
        with self._lock:
            self._waiting += 1
            self._waiting_bytes += len(payload)
        self.events.put(Received(topic, payload, bool(message.retain)))

    def taken(self, event: Received) -> None:
        """Note that the session has taken a received message from `events`."""
        with self._lock:
            self._waiting -= 1
            self._waiting_bytes -= len(event.payload)

    @property
    def _is_full(self) -> bool:
        return self._waiting >= MAX_RECEIVED_WAITING or self._waiting_bytes >= MAX_RECEIVED_BYTES


def connect_properties() -> Properties:
    """Return what we announce when connecting with MQTT 5."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
    properties.MaximumPacketSize = MAX_PACKET_IN
    return properties


def _words(reason: ReasonCode, more: Properties | None) -> str:
    detail = getattr(more, "ReasonString", "") if more is not None else ""
    return reason_text(reason.value, str(reason), str(detail))
