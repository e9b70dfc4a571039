"""One client id per device; two devices that share one are told, slowly."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import HOST, wait_until
from support.scripted_broker import ScriptedBroker

from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher
from edge_app.mqtt.topics import DeviceName, client_id


def test_different_devices_have_different_ids() -> None:
    """Of all names of one to three signs, hyphens and digits among them."""
    signs = "a-1"
    names = ["".join(n) for size in (1, 2, 3) for n in product(signs, repeat=size)][:30]
    devices = [DeviceName(*levels) for levels in product(names, repeat=3)]
    assert len({client_id("inspect", device) for device in devices}) == len(devices)


def test_names_that_read_the_same_when_joined_have_ids_of_their_own() -> None:
    """The cases that were found in the field, and their neighbours."""
    texts = ("a/press/1-2", "a/press-1/2", "a-press/1/2", "a/press/1-2-1", "a/press-1-1/2")
    names = [DeviceName.parse(text) for text in texts]
    ids = [client_id(role, name) for name in names for role in ("inspect", "agent")]
    assert all(one != other for one, other in combinations(ids, 2))


def test_a_name_without_hyphens_keeps_its_id_of_release_0_1_0() -> None:
    """And an id set by hand counts in any case."""
    assert (
        client_id("inspect", DeviceName("graz", "line2", "press3")) == "inspect-graz-line2-press3"
    )


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.mark.parametrize("speaks_mqtt5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def test_two_devices_with_one_client_id_back_off_and_name_the_cure(
    broker: ScriptedBroker,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    speaks_mqtt5: bool,
) -> None:
    """A cloned device: both deliver in turns, with waits between, and few lines in the log."""
    broker.script.takes_over, broker.script.speaks_mqtt5 = True, speaks_mqtt5
    settings = MqttSettings(HOST, broker.port, reconnect_min_s=0.1, reconnect_max_s=1.0)
    outboxes = [Outbox(tmp_path / f"{n}.db", reserve_bytes=0) for n in range(2)]
    pair = [Publisher(settings, WHO, outbox) for outbox in outboxes]
    with caplog.at_level(logging.INFO):
        for publisher, outbox in zip(pair, outboxes, strict=True):
            outbox.append([draft(n) for n in range(10)])
            publisher.start()
        wait_until(lambda: any("Give each device its own name" in p.last_error for p in pair), 20)
        wait_until(lambda: all(outbox.depth() == 0 for outbox in outboxes), 20)
        before, begin_s = len(broker.sent("connect")), time.monotonic()
        time.sleep(3.0)
        rate = (len(broker.sent("connect")) - before) / (time.monotonic() - begin_s)
    for publisher, outbox in zip(pair, outboxes, strict=True):
        publisher.stop(0.5)
        outbox.close()
    attempts = 1 if speaks_mqtt5 else 2  # 3.1.1 is tried after MQTT 5
    assert rate <= attempts * 2 / 0.5 + 1
    lines = [record for record in caplog.records if record.name == "edge_app.mqtt.publisher"]
    assert len(lines) <= 12
