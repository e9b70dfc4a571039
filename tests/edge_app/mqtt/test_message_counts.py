"""What did not go or come as it should is counted in `health`, and kept within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.brokers import wait_until
from support.large_alerts import large_draft
from support.scripted_broker import ScriptedBroker

from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.publisher_handler import MAX_FOREIGN, MAX_FOREIGN_BYTES
from edge_app.mqtt.topics import Topics
from edge_app.runtime.foreign_letters import NAME, ForeignLetters

Start = Callable[..., Publisher]


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


def test_shortened_alerts_are_counted_on_every_connection(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """While it lasts and after it has ended."""
    broker.script.maximum_packet = 2500
    outbox.append([large_draft(n) for n in range(3)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: outbox.depth() == 0, 20, publisher.state)
    assert publisher.counts().shortened == 3
    broker.hang_up()
    wait_until(lambda: len(broker.sent("connect")) > 1, 20, publisher.state)
    wait_until(lambda: publisher.state == "connected", 20)
    assert publisher.counts().shortened == 3
    outbox.append([large_draft(9)])
    publisher.wake()
    wait_until(lambda: outbox.depth() == 0, 20, publisher.state)
    assert publisher.counts().shortened == 4


def test_an_alert_that_is_set_aside_is_counted(
    broker: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Too large for what the broker takes, whatever is left out."""
    broker.script.maximum_packet = 900
    outbox.append([large_draft(1)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.counts().set_aside == 1, 20, publisher.state)
    assert outbox.depth() == 1


def test_messages_of_others_are_counted_and_a_few_are_kept(
    broker: ScriptedBroker, start_publisher: Start, tmp_path: Path
) -> None:
    """The latest, each cut, in a file that cannot grow; the rest are a number."""
    broker.script.speaks_mqtt5 = False
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.state == "connected")
    for number in range(50):
        broker.publish(Topics(WHO).alert("cam1"), b"%d" % number + b"[" * 50_000)
    wait_until(lambda: publisher.counts().foreign == 50)
    letters = ForeignLetters(tmp_path, publisher.take_foreign, lambda: 1_790_000_000_000_000_000)

    def is_all_kept() -> bool:
        letters.keep()
        return letters.kept == MAX_FOREIGN

    wait_until(is_all_kept)
    lines = (tmp_path / NAME).read_text().splitlines()
    assert len(lines) == MAX_FOREIGN
    assert all(len(line) < 2 * MAX_FOREIGN_BYTES for line in lines)
    assert json.loads(lines[-1])["topic"] == Topics(WHO).alert("cam1")
    assert publisher.counts(letters.kept).foreign_kept == MAX_FOREIGN
