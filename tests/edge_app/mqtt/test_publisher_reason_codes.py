"""Brokers that refuse a message and stay connected; mosquitto 2.0.11 hangs up instead.

In MQTT 5 by reason code; in 3.1.1 they acknowledge what they do not pass on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import wait_until
from support.scripted_broker import NOT_AUTHORISED, ScriptedBroker

from edge_app.mqtt.messages import DeviceStatus
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher

Start = Callable[..., Publisher]


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.mark.parametrize("end", ["/probe", "/alert"])
@pytest.mark.parametrize(
    ("speaks_mqtt5", "why"),
    [(True, "Not authorized"), (False, "acknowledged but not delivered")],
    ids=["MQTT 5", "MQTT 3.1.1"],
)
def test_a_refused_message_degrades_and_is_not_sent_again_at_once(
    broker: ScriptedBroker,
    outbox: Outbox,
    start_publisher: Start,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    speaks_mqtt5: bool,
    why: str,
) -> None:
    """It is tried again after the back-off only; once the broker takes it, all arrive."""
    monkeypatch.setattr("edge_app.mqtt.delivery.ECHO_TIMEOUT_S", 0.3)
    broker.script.speaks_mqtt5 = speaks_mqtt5
    broker.script.publish_codes = {end: NOT_AUTHORISED}
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(broker.port, reconnect_min_s=0.6, reconnect_max_s=0.6)
    wait_until(lambda: publisher.state.startswith(f"degraded: publish refused: {why} ("))
    wait_until(lambda: b"degraded" in broker.published("/status")[-1])
    time.sleep(1.0)
    assert len(broker.published(end)) <= 5
    connects = len(broker.sent("connect"))
    assert outbox.depth() == 30
    broker.script.publish_codes = {}
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)
    wait_until(
        lambda: DeviceStatus.model_validate_json(broker.published("/status")[-1]).state == "online"
    )
    assert len(broker.sent("connect")) == connects


def test_a_refused_retained_message_degrades_while_alerts_arrive(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """An ACL that forgot `info`: no alert is held back, and the state names the topic."""
    broker.script.publish_codes = {"/info": NOT_AUTHORISED}
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: outbox.depth() == 0)
    wait_until(lambda: "/info)" in publisher.state)
    time.sleep(0.5)
    assert "/info)" in publisher.state
    assert len(broker.published("/info")) == 1


def test_only_a_cameras_stale_message_is_removed(
    broker: ScriptedBroker, start_publisher: Start
) -> None:
    """A broker that sends more than was subscribed to costs the workstation no `desired`."""
    root = WHO.root
    kept = {f"{root}/deploy/main/desired": b"{}", f"{root}-2/cam/a/state": b"{}"}
    broker.script.sends_all_retained = True
    broker.retained |= {**kept, f"{root}/cam/removed/state": b"{}"}
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.state == "connected")
    wait_until(lambda: f"{root}/cam/removed/state" not in broker.retained)
    time.sleep(0.3)
    assert kept.items() <= broker.retained.items()
