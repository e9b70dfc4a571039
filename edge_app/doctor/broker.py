"""The doctor's broker check: may this device log in and publish?"""

from __future__ import annotations

import secrets
import ssl
import threading
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_app.config.model import AppConfig, MqttConfig, is_loopback
from edge_app.doctor.checks import Check
from edge_app.errors import ConfigError
from edge_app.mqtt.connection import MQTT_5, MQTT_311, connect_properties, make_client
from edge_app.mqtt.topics import DeviceName, Topics

ANSWER_TIMEOUT_S = 1.5
"""Limit for each of connection, login and acknowledgement. A broker on a factory network takes 10
ms."""

NAME = "broker"


@dataclass(slots=True)
class _Answers:
    """The broker's answers, filled by paho's thread."""

    login: ReasonCode | None = None
    publish: ReasonCode | None = None
    echoed: bool = False
    logged_in: threading.Event = field(default_factory=threading.Event)
    acknowledged: threading.Event = field(default_factory=threading.Event)
    echo_came: threading.Event = field(default_factory=threading.Event)


def check_broker(config: AppConfig) -> Check:
    """Return whether the broker accepts this device's login and a publish on its probe topic.

    MQTT 5 reports a refusal in its acknowledgement. A 3.1.1 broker acknowledges even what it drops,
    so there the probe is subscribed to as well and has to come back.
    """
    mqtt = config.mqtt
    if not mqtt.enabled:
        return Check(NAME, "absent", "[mqtt] enabled = false: nothing is published.")
    topic = Topics(DeviceName(config.device.site, config.device.line, config.device.device)).probe
    try:
        return _probe(mqtt, topic, MQTT_5) or (
            _probe(mqtt, topic, MQTT_311) or _no_login_answer(mqtt)
        )
    except ConfigError as error:
        return Check(NAME, "fail", str(error), "Correct the files named in [mqtt].")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        detail = f"{mqtt.host}:{mqtt.port} cannot be reached: {_why(error)}."
        return Check(NAME, "fail", detail, _advice_unreachable(mqtt, error))


def _probe(mqtt: MqttConfig, topic: str, protocol: MQTTProtocolVersion) -> Check | None:
    """Connect, log in, publish; None if the broker does not speak this protocol version."""
    answers = _Answers()
    client = _client(mqtt, answers, protocol)
    announced = connect_properties() if protocol == MQTT_5 else None
    client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, properties=announced)
    client.loop_start()
    try:
        if not answers.logged_in.wait(ANSWER_TIMEOUT_S) or answers.login is None:
            return None
        if answers.login.is_failure:
            return _login_refused(mqtt, answers.login)
        if protocol == MQTT_311:
            client.subscribe(topic, qos=1)
        client.publish(topic, b"doctor", qos=1)
        answers.acknowledged.wait(ANSWER_TIMEOUT_S)
        if protocol == MQTT_311:
            answers.echo_came.wait(ANSWER_TIMEOUT_S)
        return _publish_answer(mqtt, topic, answers, protocol)
    finally:
        client.disconnect()
        client.loop_stop()


def _client(mqtt: MqttConfig, answers: _Answers, protocol: MQTTProtocolVersion) -> paho.Client:
    """Return a client with an id of its own, so that a running service is not disconnected."""
    name = f"edge-doctor-{secrets.token_hex(4)}"
    client = make_client(mqtt.settings(), protocol, name, is_persistent=False)
    client.connect_timeout = ANSWER_TIMEOUT_S
    _listen(client, answers)
    return client


def _listen(client: paho.Client, answers: _Answers) -> None:
    def on_connect(
        _c: paho.Client, _u: object, _f: object, code: ReasonCode, _p: Properties | None
    ) -> None:
        answers.login = code
        answers.logged_in.set()

    def on_disconnect(
        _c: paho.Client, _u: object, _f: object, _code: ReasonCode, _p: Properties | None
    ) -> None:
        answers.logged_in.set()  # closed without an answer: an old broker meeting MQTT 5

    def on_publish(
        _c: paho.Client, _u: object, _mid: int, code: ReasonCode, _p: Properties | None
    ) -> None:
        answers.publish = code
        answers.acknowledged.set()

    def on_message(_c: paho.Client, _u: object, _message: paho.MQTTMessage) -> None:
        answers.echoed = True
        answers.echo_came.set()

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_publish = on_publish
    client.on_message = on_message


def _publish_answer(
    mqtt: MqttConfig, topic: str, answers: _Answers, protocol: MQTTProtocolVersion
) -> Check:
    where = f"{mqtt.host}:{mqtt.port}"
    allow = f"Allow this user to write {topic.rsplit('/', 1)[0]}/# in the broker's access list."
    if answers.publish is None:
        return Check(
            NAME, "fail", f"{where} accepts the login, but acknowledges no publish.", allow
        )
    if answers.publish.is_failure:
        return Check(NAME, "fail", f"{where} refuses to publish: {answers.publish}.", allow)
    if protocol == MQTT_311 and not answers.echoed:
        detail = f"{where} speaks MQTT 3.1.1 and the probe did not come back; it may be dropped."
        return Check(NAME, "warning", detail, allow)
    version = "5" if protocol == MQTT_5 else "3.1.1"
    detail = f"{where} accepts login and publish (MQTT {version}{', TLS' if mqtt.tls else ''})."
    if mqtt.username is not None and not mqtt.tls and not is_loopback(mqtt.host):
        return Check(
            NAME, "warning", f"{detail[:-1]}, the password unencrypted.", "Set tls = true."
        )
    return Check(NAME, "ok", detail)


def _login_refused(mqtt: MqttConfig, code: ReasonCode) -> Check | None:
    if "protocol version" in str(code).lower():
        return None
    detail = f"{mqtt.host}:{mqtt.port} refuses the login: {code}."
    return Check(NAME, "fail", detail, "Check username, password_file and the client certificate.")


def _no_login_answer(mqtt: MqttConfig) -> Check:
    detail = f"{mqtt.host}:{mqtt.port} accepts connections but does not answer as a broker."
    return Check(NAME, "fail", detail, "Check host, port and tls: is this the TLS port?")


def _advice_unreachable(mqtt: MqttConfig, error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "Check ca_file, the broker's host name in its certificate, and the clock."
    return f"Start the broker, or correct [mqtt] host and port (now {mqtt.host}:{mqtt.port})."


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")
