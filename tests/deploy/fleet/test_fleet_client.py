"""The workstation's MQTT client against a broker that misbehaves on request; needs no mosquitto."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.brokers import HOST, free_port
from support.scripted_broker import HANG_UP, NOT_AUTHORISED, ScriptedBroker

from deploy.fleet import mqtt_client
from deploy.fleet.mqtt_client import FleetMqttClient
from edge_app.errors import BrokerError
from edge_app.mqtt.settings import MqttSettings


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


class Station:
    """What a client heard and noted."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.notes: list[str] = []
        self.client: FleetMqttClient | None = None

    def connect(self, port: int) -> FleetMqttClient:
        settings = MqttSettings(HOST, port, reconnect_min_s=0.02)
        self.client = FleetMqttClient(settings, ("fleet/#",), self.hear, self.notes.append)
        return self.client

    def hear(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    if station.client is not None:
        station.client.close()


@pytest.mark.parametrize("speaks_mqtt5", [True, False])
def test_what_is_published_has_come_back(
    broker: ScriptedBroker, station: Station, speaks_mqtt5: bool
) -> None:
    """Retained messages are heard by `pump`, an own one before `publish` returns."""
    broker.script.speaks_mqtt5 = speaks_mqtt5
    broker.publish("fleet/a", b"1", retain=True)
    client = station.connect(broker.port)
    client.pump(0.2)
    assert station.heard == [("fleet/a", b"1")]
    client.publish("fleet/b", b"2")
    client.publish("fleet/c", b"3", retain=False)
    assert station.heard[1:] == [("fleet/b", b"2"), ("fleet/c", b"3")]
    assert broker.retained == {"fleet/a": b"1", "fleet/b": b"2"}


def test_the_first_connection_must_succeed(broker: ScriptedBroker, station: Station) -> None:
    """Nobody at the address, or a refused login: an error, not a wait."""
    with pytest.raises(BrokerError, match="no MQTT connection to"):
        station.connect(free_port())
    broker.script.login_code = NOT_AUTHORISED
    with pytest.raises(BrokerError, match="broker refused the login"):
        station.connect(broker.port)


def test_a_refused_subscription_is_an_error(broker: ScriptedBroker, station: Station) -> None:
    """Without it nothing would ever be heard."""
    broker.script.subscribe_code = NOT_AUTHORISED
    client = station.connect(broker.port)
    with pytest.raises(BrokerError, match=r"refused the subscription.*fleet/#"):
        client.pump(5)


def test_a_refused_publish_says_why(
    broker: ScriptedBroker, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its reason code, by silence, and by hanging up twice."""
    monkeypatch.setattr(mqtt_client, "PUBLISH_TIMEOUT_S", 0.3)
    broker.script.publish_codes = {"/denied": NOT_AUTHORISED, "/fatal": HANG_UP}
    client = station.connect(broker.port)
    with pytest.raises(BrokerError, match=r"publish refused: Not authorized \(fleet/denied\)"):
        client.publish("fleet/denied", b"1")
    with pytest.raises(BrokerError, match="it did not come back"):
        client.publish("elsewhere", b"1")
    with pytest.raises(BrokerError, match="hangs up on it"):
        client.publish("fleet/fatal", b"1")
    assert len(broker.published("/fatal")) == 2


def test_a_lost_connection_is_renewed_within_pump_and_publish(
    broker: ScriptedBroker, station: Station
) -> None:
    """Each loss is noted once; the subscription is made again and the message arrives."""
    client = station.connect(broker.port)
    client.pump(0.1)
    broker.hang_up()
    client.pump(0.3)
    broker.hang_up()
    client.publish("fleet/b", b"2")
    assert ("fleet/b", b"2") in station.heard
    assert [note.partition(":")[0] for note in station.notes] == ["connection lost"] * 2
    assert len(broker.sent("subscribe")) == 3
