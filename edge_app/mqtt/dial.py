"""Connecting to the broker: MQTT 5 first, 3.1.1 where it does not support that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from queue import Empty

from paho.mqtt.enums import MQTTProtocolVersion

from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt.connection import (
    LOGIN_CODES,
    MQTT_5,
    MQTT_311,
    Connected,
    Connection,
    Lost,
    Refused,
    Will,
)
from edge_app.mqtt.reason_words import (
    BUSY,
    PACKET_TOO_LARGE,
    PROTOCOL_VERSION,
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    advice,
)
from edge_app.mqtt.settings import MqttSettings

CONNACK_TIMEOUT_S = 10.0
"""From TCP to CONNACK; a broker with a slow login back-end may need seconds."""
SILENCE_TIMEOUT_S = 2.0
"""The same for the first attempt, in MQTT 5: a 3.1.1 broker that reads the last will's properties
as a length waits for bytes that never come (seen with amqtt 0.12). A slow broker that supports
MQTT 5 is then used in 3.1.1, which works as well."""


@dataclass(frozen=True, slots=True)
class DialFailure:
    """Why there is no connection.

    Attributes:
        needs_person: trying again soon will not help (login, certificate, configuration).
    """

    text: str
    needs_person: bool


def dial(settings: MqttSettings, client_id: str, will: Will | None) -> Connection | DialFailure:
    """Return a connection that the broker has accepted, or why there is none. Never raises.

    A broker that hangs up on MQTT 5, or does not answer, is tried again in 3.1.1; one that does not
    support the last will's QoS or retention, with a will that it supports.
    """
    answer = _ask(settings, MQTT_5, client_id, will, SILENCE_TIMEOUT_S)
    while isinstance(answer, Refused) and (lesser := _lesser_will(will, answer.code)) is not None:
        will = lesser
        answer = _ask(settings, MQTT_5, client_id, will, SILENCE_TIMEOUT_S)
    if isinstance(answer, Lost) or (
        isinstance(answer, Refused) and answer.code == PROTOCOL_VERSION
    ):
        answer = _ask(settings, MQTT_311, client_id, will, CONNACK_TIMEOUT_S)
    if isinstance(answer, Lost):
        where = f"{settings.host}:{settings.port}"
        return DialFailure(f"the broker at {where} hung up: {answer.text}", needs_person=False)
    if isinstance(answer, Refused):
        text = f"{connect_refusal(answer.code, answer.text)}; {advice(answer.code)}"
        return DialFailure(text, needs_person=answer.code not in BUSY)
    return answer


def _lesser_will(will: Will | None, code: int) -> Will | None:
    """Return the last will that a broker may support which refused this one, None if none does."""
    if will is None:
        return None
    if code == RETAIN_NOT_SUPPORTED and will.is_retained:
        return replace(will, is_retained=False)
    if code == QOS_NOT_SUPPORTED and will.qos > 0:
        return replace(will, qos=0)
    if code == PACKET_TOO_LARGE and will.payload:
        return replace(will, payload=b"")  # an empty one at least ends a retained `online`
    return None


def connect_refusal(code: int, text: str) -> str:
    """Return the message for a broker's refusal of CONNECT; `code` is MQTT 5's."""
    what = "the login" if code in LOGIN_CODES else "the connection"
    return f"broker refused {what}: {text}"


def _ask(
    settings: MqttSettings,
    protocol: MQTTProtocolVersion,
    client_id: str,
    will: Will | None,
    timeout_s: float,
) -> Connection | DialFailure | Refused | Lost:
    try:
        connection = Connection(settings, protocol, client_id, will)
    except (ConfigError, BrokerError) as error:
        is_tls = settings.uses_tls and "SSL" in str(error)
        return DialFailure(str(error), needs_person=is_tls or isinstance(error, ConfigError))
    try:
        answer = connection.events.get(timeout=timeout_s)
    except Empty:
        answer = Lost(f"no CONNACK within {timeout_s:.0f} s")
    if isinstance(answer, Connected):
        connection.accepted(answer.limits)
        return connection
    connection.close()
    return answer if isinstance(answer, Refused | Lost) else Lost("unexpected packet")
