"""The agent's MQTT client against a broker that misbehaves on request; needs no mosquitto."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from support.alert_drafts import WHO
from support.brokers import HOST, wait_until
from support.scripted_broker import HANG_UP, NOT_AUTHORISED, ScriptedBroker

from edge_app.agent.pull import mqtt_client
from edge_app.agent.pull.mqtt_client import AgentMqttClient, FromOperators
from edge_app.mqtt.deploy_messages import AgentStatus, Reported
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import Topics

TOPICS = Topics(WHO)
REPORT = Reported(slot="main", state="committed", sha256=None, at=rfc3339(1))


class Sink:
    """Takes pointers and commands, and writes down what came."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def want(self, slot: str, payload: bytes) -> None:
        self.calls.append(("want", slot, payload))

    def connected(self) -> None:
        self.calls.append(("connected",))

    def settled(self) -> None:
        self.calls.append(("settled",))

    def take(self, verb: str, payload: bytes, is_retained: bool) -> None:
        self.calls.append((verb, payload, is_retained))


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.fixture
def start(broker: ScriptedBroker, sink: Sink) -> Iterator[Callable[[], AgentMqttClient]]:
    """Return a function that starts a client that has one report to publish."""
    started: list[AgentMqttClient] = []

    def start() -> AgentMqttClient:
        settings = MqttSettings(HOST, broker.port, reconnect_min_s=0.02, reconnect_max_s=0.05)
        client = AgentMqttClient(settings, WHO, sink, operators=FromOperators(commands=sink))
        started.append(client)
        client.publish(REPORT)
        client.start()
        return client

    yield start
    for client in started:
        client.stop()


Start = Callable[[], AgentMqttClient]


def statuses(broker: ScriptedBroker) -> list[str]:
    """Return the states that were published on `agent/status`."""
    payloads = broker.published("agent/status")
    return [AgentStatus.model_validate_json(payload).state for payload in payloads]


def test_pointers_settle_once_everything_is_acknowledged(
    broker: ScriptedBroker, sink: Sink, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected, the retained pointer, settled, a command; the end is told."""
    monkeypatch.setattr(mqtt_client, "SETTLE_S", 0.1)
    broker.publish(TOPICS.desired("main"), b"pointer", retain=True)
    client = start()
    wait_until(lambda: ("settled",) in sink.calls)
    broker.publish(TOPICS.command("select_product"), b"order")
    wait_until(lambda: len(sink.calls) == 4)
    assert sink.calls == [
        ("connected",),
        ("want", "main", b"pointer"),
        ("settled",),
        ("select_product", b"order", False),
    ]
    assert client.trouble == ""
    assert broker.published("/reported") == [REPORT.payload()]
    client.stop()
    assert statuses(broker) == ["online", "stopped"]


def test_an_unacknowledged_report_keeps_pointers_from_settling(
    broker: ScriptedBroker, sink: Sink, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the broker is, no pointer is taken for withdrawn before it had its turn."""
    monkeypatch.setattr(mqtt_client, "SETTLE_S", 0.1)
    broker.script.acknowledges = False
    start()
    wait_until(lambda: len(broker.published("/reported")) == 1)
    broker.script.acknowledges = True
    broker.hang_up()
    wait_until(lambda: ("settled",) in sink.calls)
    assert sink.calls == [("connected",), ("connected",), ("settled",)]


@pytest.mark.parametrize("what", ["publish", "subscription"])
def test_a_refusal_is_named_with_the_remedy(
    broker: ScriptedBroker, start: Start, what: str
) -> None:
    """An ACL that denies the report or the pointers is no working connection."""
    if what == "publish":
        broker.script.publish_codes = {"/reported": NOT_AUTHORISED}
    else:
        broker.script.subscribe_code = NOT_AUTHORISED
    client = start()
    wait_until(lambda: client.trouble.startswith(f"{what} refused: Not authorized"))
    assert client.trouble.endswith(mqtt_client._ACL_ADVICE)


def test_a_broker_that_hangs_up_again_and_again_is_warned_of_once(
    broker: ScriptedBroker, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """The second time it is no weak network any more; further times are no warnings."""
    caplog.set_level(logging.DEBUG, mqtt_client.__name__)
    broker.script.publish_codes = {"/reported": HANG_UP}
    client = start()
    wait_until(lambda: len(broker.sent("connect")) == 5)
    assert "hangs up again and again" in client.trouble
    found = [r.levelname for r in caplog.records if "again and again" in r.getMessage()]
    assert found[:2] == ["WARNING", "DEBUG"]
    assert found.count("WARNING") == 1


def test_a_sink_that_fails_costs_a_connection_and_no_more(
    broker: ScriptedBroker, sink: Sink, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client connects again and goes on."""
    real = sink.want

    def fail(slot: str, payload: bytes) -> None:
        monkeypatch.setattr(sink, "want", real)
        raise ValueError(f"{slot}: {payload!r}")

    monkeypatch.setattr(sink, "want", fail)
    broker.publish(TOPICS.desired("main"), b"pointer", retain=True)
    start()
    wait_until(lambda: ("want", "main", b"pointer") in sink.calls)
    assert sink.calls.count(("connected",)) == 2
