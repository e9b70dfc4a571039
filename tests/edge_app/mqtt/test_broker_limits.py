"""Brokers with limits: every alert arrives, once at least, in order; no limit is broken."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.alert_drafts import as_draft, draft, gap_event
from support.brokers import wait_until
from support.large_alerts import large_draft
from support.scripted_broker import HANG_UP, NO_ANSWER, ScriptedBroker

from edge_app.mqtt.messages import Alert, AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher

Start = Callable[..., Publisher]
COUNT = 40
LIMITS = (1500, 1999, 2500, 4000)


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.fixture(
    params=[COUNT, pytest.param(500, marks=pytest.mark.slow)], ids=["some", "500 alerts"]
)
def count(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def alerts(broker: ScriptedBroker) -> list[Alert]:
    """Return the alerts that arrived, each one once."""
    seen: dict[int, Alert] = {}
    for payload in broker.published("/alert"):
        alert = Alert.model_validate_json(payload)
        seen.setdefault(alert.seq, alert)
    return list(seen.values())


def assert_all_in_order(broker: ScriptedBroker, count: int) -> None:
    assert [alert.seq for alert in alerts(broker)] == list(range(1, count + 1))
    assert broker.violations == []


def drained(publisher: Publisher, outbox: Outbox, timeout_s: float = 240.0) -> None:
    def is_empty() -> bool:
        """Looked at twice: while the publisher's thread deletes, its two figures may disagree."""
        return outbox.depth() == 0 and not outbox.is_behind and outbox.depth() == 0

    wait_until(is_empty, timeout_s, publisher.state)


def retry_now_until_drained(publisher: Publisher, outbox: Outbox) -> None:
    """Have what was set aside tried again at once; in the field it takes up to ten minutes."""

    def is_drained() -> bool:
        publisher._handler._troubles._retry_at_s = 0.0
        return outbox.depth() == 0

    wait_until(is_drained, 30, publisher.state)


@pytest.mark.parametrize("receive_maximum", [1, 5, 10])
@pytest.mark.parametrize("ack_delay_s", [0.0, 0.01], ids=["at once", "late"])
def test_no_more_is_on_its_way_than_the_broker_receives(
    broker: ScriptedBroker,
    outbox: Outbox,
    start_publisher: Start,
    count: int,
    receive_maximum: int,
    ack_delay_s: float,
) -> None:
    """Retained messages of eight cameras and all alerts share the receive maximum."""
    broker.script.receive_maximum = receive_maximum
    broker.script.ack_delay_s = ack_delay_s
    outbox.append([draft(n) for n in range(count)])
    publisher = start_publisher(broker.port)
    for index in range(8):
        publisher.set_camera_state(f"cam{index}", "capturing")
        publisher.set_alarm_level(f"cam{index}", True, "part")
    drained(publisher, outbox)
    assert_all_in_order(broker, count)
    assert 0 < broker.most_in_flight <= receive_maximum
    wait_until(lambda: len(set(broker.published("/state"))) == 8)
    wait_until(lambda: publisher.state == "connected")
    assert len(broker.sent("connect")) == 1


def test_neither_alerts_nor_levels_starve_at_a_receive_maximum_of_one(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """A level that changes all the time, and alerts without an end: both get through."""
    broker.script.receive_maximum, broker.script.ack_delay_s = 1, 0.005
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(broker.port)
    for index in range(150):
        publisher.set_alarm_level("cam1", index % 2 == 0, f"part-{index}")
        time.sleep(0.005)
    before = [topic.rsplit("/", 1)[1] for topic, *_ in broker.sent("publish")]
    assert before.count("alert") > 10
    assert before.count("alarm") > 10
    drained(publisher, outbox)
    assert broker.violations == []


@pytest.mark.parametrize("maximum_packet", LIMITS)
def test_an_alert_too_large_for_the_broker_is_shortened(
    broker: ScriptedBroker,
    outbox: Outbox,
    start_publisher: Start,
    count: int,
    maximum_packet: int,
) -> None:
    """Polygons go before boxes; verdict, score and model stay; the message says what it lacks."""
    broker.script.maximum_packet = maximum_packet
    drafts = [draft(n) if n % 4 else large_draft(n) for n in range(count)]
    outbox.append(drafts)
    publisher = start_publisher(broker.port)
    drained(publisher, outbox)
    assert_all_in_order(broker, count)
    for alert, original in zip(alerts(broker), drafts, strict=True):
        assert_says_the_same(alert, original)
    wait_until(lambda: publisher.state == "connected")
    assert len(broker.sent("connect")) == 1


def assert_says_the_same(alert: Alert, original: AlertDraft) -> None:
    kept = ("alarm_id", "message_id", "event", "verdict", "score", "threshold", "model", "part_id")
    for name in kept:
        assert getattr(alert, name) == getattr(original, name), name
    lost = alert.shortened
    polygons = sum(bool(d.polygon_xy) for d in alert.defects)
    if lost is None:
        assert alert.defects == original.defects
    elif lost.defects:
        assert polygons == 0, "boxes went before polygons"
    assert len(alert.defects) + (lost.defects if lost else 0) == len(original.defects)


def test_below_what_an_alert_needs_it_is_kept_and_said(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Packets of 600 bytes: alerts stay, what is small enough still goes out; then all arrive."""
    broker.script.maximum_packet = 600
    outbox.append([draft(1), as_draft(gap_event(2, 3)), draft(4)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: "does not fit: the broker takes packets of at most 600" in publisher.state)
    wait_until(lambda: b"degraded" in broker.published("/status")[-1])
    assert outbox.depth() >= 2
    assert broker.violations == []
    broker.script.maximum_packet = None
    broker.hang_up()
    drained(publisher, outbox)
    assert {alert.seq for alert in alerts(broker)} == {1, 2, 3}


def test_packets_of_900_bytes_lose_nothing(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start, count: int
) -> None:
    """Below the smallest limit that is promised most alerts still fit; the rest is kept."""
    broker.script.maximum_packet = 900
    outbox.append([draft(n) if n % 2 else large_draft(n) for n in range(count)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.state != "connecting")
    wait_until(lambda: outbox.depth() == 0 or "does not fit" in publisher.state, 60)
    sent = {alert.seq for alert in alerts(broker)}
    assert len(sent) + outbox.depth() >= count
    assert broker.violations == []


@pytest.mark.parametrize("speaks_mqtt5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def test_a_limit_that_nobody_announced_is_found(
    broker: ScriptedBroker,
    outbox: Outbox,
    start_publisher: Start,
    count: int,
    speaks_mqtt5: bool,
) -> None:
    """Two hang-ups over one message shorten it; later large ones are shortened at once."""
    broker.script.speaks_mqtt5 = speaks_mqtt5
    broker.script.silent_maximum_packet = 4000
    outbox.append([draft(n) if n % 10 != 3 else large_draft(n) for n in range(count)])
    publisher = start_publisher(broker.port, reconnect_max_s=0.2)
    drained(publisher, outbox)
    assert_all_in_order(broker, count)
    assert any(alert.shortened for alert in alerts(broker))
    tries = len(broker.sent("connect"))
    assert tries <= (7 if speaks_mqtt5 else 14)  # 3.1.1: each attempt tries MQTT 5 first


@pytest.mark.parametrize("speaks_mqtt5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
@pytest.mark.parametrize(
    "answer", [HANG_UP, 0x99, 0x83, 0x95, NO_ANSWER], ids=["hangs up", "99", "83", "95", "silence"]
)
def test_one_alert_that_the_broker_never_takes_costs_only_itself(
    broker: ScriptedBroker,
    outbox: Outbox,
    start_publisher: Start,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    speaks_mqtt5: bool,
    answer: int,
) -> None:
    """It is set aside, kept and named; the others arrive in order; taken later, it arrives too."""
    monkeypatch.setattr("edge_app.mqtt.delivery.ECHO_TIMEOUT_S", 0.3)
    monkeypatch.setattr("edge_app.mqtt.delivery.ACK_TIMEOUT_S", 0.5)
    bad = [True]

    def judge(topic: str, payload: bytes) -> int:
        is_bad = bad[0] and topic.endswith("/alert") and json.loads(payload)["seq"] == 7
        return answer if is_bad else 0

    broker.script.speaks_mqtt5, broker.script.judges = speaks_mqtt5, judge
    outbox.append([draft(n) for n in range(count)])
    publisher = start_publisher(broker.port, reconnect_max_s=0.2)
    wait_until(lambda: outbox.depth() == 1, 60, publisher.state)
    wait_until(lambda: "alerts set aside and kept: 1, first seq 7" in publisher.state)
    others = [alert.seq for alert in alerts(broker) if alert.seq != 7]
    assert others == [n for n in range(1, count + 1) if n != 7]
    bad[0] = False
    retry_now_until_drained(publisher, outbox)
    wait_until(lambda: publisher.state == "connected")


def test_what_is_set_aside_before_the_one_that_gets_through_is_sent_too(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Alerts 1 and 2 are set aside; 1 is tried again in vain, then 2 arrives: 1 follows at once."""
    refused: list[int] = []
    is_allowed = [False]

    def judge(topic: str, payload: bytes) -> int:
        if is_allowed[0] or not topic.endswith("/alert"):
            return 0
        seq = int(json.loads(payload)["seq"])
        is_allowed[0] = seq == 1 and 2 in refused
        refused.append(seq)
        return 0x87

    broker.script.judges = judge
    outbox.append([draft(n) for n in range(5)])
    publisher = start_publisher(broker.port, reconnect_min_s=0.1, reconnect_max_s=0.1)
    wait_until(lambda: is_allowed[0], 60, publisher.state)
    wait_until(lambda: outbox.depth() == 0, 20, publisher.state)
    assert {alert.seq for alert in alerts(broker)} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("speaks_mqtt5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def test_acknowledgements_that_come_late_and_twice_delete_nothing_else(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start, count: int, speaks_mqtt5: bool
) -> None:
    """Each acknowledgement counts once."""
    broker.script.speaks_mqtt5 = speaks_mqtt5
    broker.script.ack_copies, broker.script.ack_delay_s = 2, 0.05
    outbox.append([draft(n) for n in range(count)])
    publisher = start_publisher(broker.port)
    drained(publisher, outbox)
    assert_all_in_order(broker, count)


def test_a_camera_that_the_broker_refuses_holds_up_no_other(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start, count: int
) -> None:
    """Two of its alerts are tried, not all; the other camera's arrive; once allowed, all do."""
    broker.script.publish_codes = {"cam2/alert": 0x87}
    outbox.append([draft(n, camera=f"cam{n % 2 + 1}") for n in range(count)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: outbox.depth() == count // 2, 30, publisher.state)
    wait_until(lambda: "publish refused: Not authorized" in publisher.state)
    assert len(broker.published("cam2/alert")) <= 16  # as many as were on their way
    broker.script.publish_codes = {}
    retry_now_until_drained(publisher, outbox)
    assert {alert.seq for alert in alerts(broker)} == set(range(1, count + 1))


def test_with_qos_0_only_alerts_stay_stored_and_it_is_said(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Nothing would be acknowledged: nothing is drained; status is sent all the same."""
    broker.script.maximum_qos = 0
    outbox.append([draft(n) for n in range(COUNT)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: "takes QoS 0 only" in publisher.state)
    wait_until(lambda: any(b"QoS 0 only" in text for text in broker.published("/status")))
    assert broker.wills[-1] == (0, True)
    assert outbox.depth() == COUNT
    assert broker.published("/alert") == []
    assert broker.violations == []
    broker.script.maximum_qos = None
    broker.hang_up()
    drained(publisher, outbox)
    assert_all_in_order(broker, COUNT)


def test_without_retained_messages_it_connects_with_a_will_that_is_not_retained(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start, count: int
) -> None:
    """Alerts arrive; the state says what subscribers miss."""
    broker.script.retain_available = False
    outbox.append([draft(n) for n in range(count)])
    publisher = start_publisher(broker.port)
    drained(publisher, outbox)
    assert_all_in_order(broker, count)
    assert broker.wills == [(1, True), (1, False)]
    wait_until(lambda: "keeps no retained messages" in publisher.state)
    assert not any(retain for *_, retain in broker.sent("publish"))


def test_we_announce_what_we_read_at_most(broker: ScriptedBroker, start_publisher: Start) -> None:
    """CONNECT carries a maximum packet size (0x27) of one MiB."""
    start_publisher(broker.port)
    wait_until(lambda: bool(broker.connect_properties))
    assert broker.connect_properties[0] == b"\x27" + (1 << 20).to_bytes(4, "big")


def test_the_brokers_keep_alive_replaces_ours(
    broker: ScriptedBroker, start_publisher: Start
) -> None:
    """A broker that wants a sign of life every second gets one."""
    broker.script.keep_alive_s = 1
    publisher = start_publisher(broker.port, keepalive_s=60)
    wait_until(lambda: publisher.state == "connected")
    wait_until(lambda: bool(broker.sent("ping")), 5)


def test_a_message_larger_than_the_broker_takes_is_named(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """`info` is not sent, reasons are cut; the state says so, and alerts go out."""
    broker.script.maximum_packet = 1500
    outbox.append([draft(n) for n in range(5)])
    publisher = start_publisher(broker.port)
    publisher.set_info(info_of_many_cameras())
    publisher.set_camera_state("cam1", "reconnecting", "why " * 1000)
    drained(publisher, outbox)
    wait_until(lambda: "/info" in publisher.state and "not sent" in publisher.state)
    wait_until(lambda: bool(broker.published("cam1/state")))
    state: dict[str, Any] = json.loads(broker.published("cam1/state")[-1])
    assert state["reason"].startswith("why why")
    assert state["reason"].endswith("…")
    assert broker.violations == []


def info_of_many_cameras() -> Any:
    from edge_app.mqtt.messages import CameraDescription, DeviceInfo

    cameras = tuple(
        CameraDescription(name=f"cam{n}", url="rtsp://somewhere/" + "x" * 50, mode="live")
        for n in range(40)
    )
    return DeviceInfo(hardware="test", cameras=cameras)
