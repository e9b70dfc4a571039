"""What others publish on a device's topics, and packets that are none: no alert waits for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import wait_until
from support.mutations import RAW
from support.scripted_broker import PUBACK, PUBLISH, ScriptedBroker, text

from edge_app.mqtt.broker_limits import MAX_PACKET_IN
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.topics import Topics

Start = Callable[..., Publisher]
TOPICS = Topics(WHO)
OWN = (TOPICS.camera_state("cam1"), TOPICS.alarm_level("x"), TOPICS.alert("cam1"), TOPICS.probe)


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.fixture(params=[True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def either(request: pytest.FixtureRequest, broker: ScriptedBroker) -> ScriptedBroker:
    broker.script.speaks_mqtt5 = request.param
    return broker


def connections(broker: ScriptedBroker) -> int:
    """Return how many connections were accepted."""
    return len(broker.sent("subscribe"))


def test_whatever_others_publish_on_our_topics_costs_no_alert(
    either: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Deep nesting, halves of messages, wrong types: the connection stays, all alerts arrive."""
    publisher = start_publisher(either.port)
    wait_until(lambda: publisher.state == "connected")
    for number, body in enumerate(RAW * 4):
        either.publish(OWN[number % len(OWN)], body)
        outbox.append([draft(number)])
        publisher.wake()
    wait_until(lambda: outbox.depth() == 0, 10, publisher.state)
    seqs = [json.loads(body)["seq"] for body in either.published("cam1/alert")]
    assert seqs == list(range(1, 4 * len(RAW) + 1))
    assert connections(either) == 1
    assert publisher.state == "connected"


def test_a_foreign_message_on_our_alert_topic_is_counted(
    broker: ScriptedBroker, start_publisher: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Named once a minute, counted each time; our own echo is none."""
    broker.script.speaks_mqtt5 = False
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.state == "connected")
    for _ in range(50):
        broker.publish(TOPICS.alert("cam1"), b"{}")
    wait_until(lambda: publisher.messages_foreign == 50)
    lines = [r.getMessage() for r in caplog.records if "somebody else" in r.getMessage()]
    assert len(lines) == 1


def test_a_retained_message_that_is_too_large_costs_itself(
    either: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """It comes with every connection: it is read to its end and thrown away."""
    either.publish(TOPICS.camera_state("gone"), b"[" * (3 * MAX_PACKET_IN), retain=True)
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(either.port)
    wait_until(lambda: outbox.depth() == 0, 10, publisher.state)
    wait_until(lambda: publisher.state == "connected")
    assert connections(either) == 1


def test_of_a_message_that_is_too_large_little_is_kept(
    either: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Half of it has come: next to nothing of it is in memory; after its end alerts go out."""
    publisher = start_publisher(either.port)
    wait_until(lambda: publisher.state == "connected")
    connection = publisher._session.connection
    assert connection is not None
    topic, length = text(OWN[0]), 8 << 20
    size = bytes([0x80 | length & 0x7F, 0x80 | length >> 7 & 0x7F, 0x80 | length >> 14 & 0x7F,
                  length >> 21])  # fmt: skip
    head = bytes([PUBLISH << 4]) + size + topic + (b"" if not connection.is_mqtt5 else b"\0")
    rest = b"x" * (length - len(head) + 5)
    client = either.clients[0]
    with either.lock:
        client._sock.sendall(head + rest[: 4 << 20])
        time.sleep(0.3)
        assert len(connection._client._in_packet["packet"]) <= 256 << 10
        client._sock.sendall(rest[4 << 20 :])
    outbox.append([draft(n) for n in range(5)])
    publisher.wake()
    wait_until(lambda: outbox.depth() == 0, 10, publisher.state)
    assert connections(either) == 1


def test_a_flood_of_messages_holds_up_no_alert(
    either: ScriptedBroker, outbox: Outbox, start_publisher: Start
) -> None:
    """Hundreds of 16 kB a second: alerts go out meanwhile, the heart beats."""
    publisher = start_publisher(either.port)
    wait_until(lambda: publisher.state == "connected")
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            either.publish(OWN[0], b"[" * 16_000)

    flooder = threading.Thread(target=flood)
    flooder.start()
    before_ns = publisher.heartbeat_ns()
    for number in range(20):
        outbox.append([draft(number)])
        publisher.wake()
        time.sleep(0.02)
    wait_until(lambda: outbox.depth() == 0, 10, publisher.state)
    assert publisher.heartbeat_ns() > before_ns
    over.set()
    flooder.join()
    assert connections(either) == 1


BAD_PACKETS = {
    "unknown reason": (PUBACK << 4, b"\x00\x01\xfe\x00"),
    "short PUBACK": (PUBACK << 4, b"\x00"),
    "topic that is no UTF-8": (PUBLISH << 4, b"\x00\x02\xff\xfe\x00body"),
    "topic longer than the packet": (PUBLISH << 4, b"\xff\xffx"),
    "unknown property": (PUBLISH << 4, text("a") + b"\x02\x7f\x00"),
    "endless property length": (PUBLISH << 4, text("a") + b"\xff\xff\xff\xff\xff"),
    "reserved packet": (0xF0, b"\x01\x02\x03"),
    "second CONNACK": (0x20, b"\x00"),
}


@pytest.mark.parametrize("name", BAD_PACKETS)
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_packet_that_cannot_be_read_costs_a_connection_at_most(
    either: ScriptedBroker, outbox: Outbox, start_publisher: Start, name: str
) -> None:
    """The network thread does not die of it unnoticed; all alerts arrive."""
    publisher = start_publisher(either.port)
    wait_until(lambda: publisher.state == "connected")
    either.clients[0]._send(*BAD_PACKETS[name])
    time.sleep(0.05)
    outbox.append([draft(n) for n in range(30)])
    publisher.wake()
    wait_until(lambda: outbox.depth() == 0, 10, publisher.state)
    wait_until(lambda: publisher.state == "connected")
    assert connections(either) <= 2
