"""The session loop, against a broker that misbehaves on request and against a real mosquitto."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import Empty
from typing import Any

import pytest
from support.brokers import HOST, Mosquitto, free_port, patient_s, wait_until
from support.scripted_broker import HANG_UP, NOT_AUTHORISED, ScriptedBroker

from edge_app.mqtt import session as session_module
from edge_app.mqtt.connection import Connection, Lost, Received, SubscriptionRefused, Will
from edge_app.mqtt.deploy_messages import AgentStatus
from edge_app.mqtt.dial import DialFailure
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.session import (
    GOODBYE_S,
    TICK_S,
    Disconnection,
    HandlerFailed,
    PublishRefused,
    Session,
    SessionEvent,
)
from edge_app.mqtt.settings import MqttSettings

LOG = logging.getLogger("test.session")
ONLINE = AgentStatus(state="online", since=None)
STOPPED = AgentStatus(state="stopped", since=None)


class Recorder:
    """A handler that writes down what it is asked, and a presence on the topic `status`."""

    def __init__(self) -> None:
        self.outgoing = Outgoing()
        self.connections: list[Connection] = []
        self.events: list[SessionEvent] = []
        self.reasons: list[Disconnection] = []
        self.next_work_s: float | None = None
        self.rounds = 0
        self.wait_s = 0.02
        self.fault: Callable[[], None] = lambda: None

    def connected(self, connection: Connection) -> None:
        self.connections.append(connection)
        connection.subscribe("in/#")

    def take(self, event: SessionEvent) -> None:
        self.events.append(event)

    def work(self) -> float | None:
        self.rounds += 1
        self.fault()
        return self.next_work_s

    def disconnected(self, reason: Disconnection) -> float:
        self.reasons.append(reason)
        return self.wait_s

    def will(self) -> Will:
        return Will("status", b"vanished")

    def say_goodbye(self) -> None:
        self.outgoing.retain("status", STOPPED)

    def fail_once(self, error: Exception) -> None:
        """Raise in the next round."""

        def fault() -> None:
            self.fault = lambda: None
            raise error

        self.fault = fault


@pytest.fixture
def handler() -> Recorder:
    return Recorder()


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


@pytest.fixture(params=["MQTT 5", "MQTT 3.1.1"])
def either(request: pytest.FixtureRequest, broker: ScriptedBroker) -> ScriptedBroker:
    """Return a broker that speaks both protocols, then one that hangs up on MQTT 5."""
    broker.script.speaks_mqtt5 = request.param == "MQTT 5"
    return broker


@pytest.fixture
def make(handler: Recorder) -> Iterator[Callable[[int], Session]]:
    """Return a function that makes a session with a broker at a port; each is stopped."""
    made: list[Session] = []

    def make(port: int) -> Session:
        settings = MqttSettings(HOST, port)
        made.append(Session(settings, "tester", handler, handler.outgoing, handler))
        return made[-1]

    yield make
    for session in made:
        session.stop(0)


@pytest.fixture
def start(make: Callable[[int], Session]) -> Callable[[ScriptedBroker | Mosquitto], Session]:
    """Return a function that starts a session with a broker."""

    def start(broker: ScriptedBroker | Mosquitto) -> Session:
        session = make(broker.port)
        session.start("tester", LOG)
        return session

    return start


Start = Callable[[Any], Session]


def test_a_session_subscribes_first_and_then_publishes_what_is_outgoing(
    either: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """The order on the wire, in both protocols; QoS 1, and retained where it is to be."""
    handler.outgoing.retain("status", ONLINE)
    handler.outgoing.send_once("answer", STOPPED)
    start(either)
    wait_until(lambda: len(either.sent("publish")) == 2)
    assert either.packets[-3:] == [
        ("subscribe", ("in/#",)),
        ("publish", "status", ONLINE.payload(), 1, True),
        ("publish", "answer", STOPPED.payload(), 1, False),
    ]
    level = 5 if either.script.speaks_mqtt5 else 4
    assert either.sent("connect")[-1] == ("tester", level)
    wait_until(lambda: handler.outgoing.is_acknowledged)


def test_what_the_broker_sends_is_handed_on(
    either: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """Retained and live messages, in order."""
    either.publish("in/old", b"1", retain=True)
    start(either)
    wait_until(lambda: len(handler.events) == 1)
    either.publish("in/new", b"2")
    wait_until(lambda: len(handler.events) == 2)
    assert handler.events == [Received("in/old", b"1", True), Received("in/new", b"2", False)]


def test_waking_publishes_at_once_and_again_after_a_lost_connection(
    broker: ScriptedBroker,
    handler: Recorder,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a tick of a minute only a wake-up from another thread can send in time."""
    monkeypatch.setattr(session_module, "TICK_S", 60.0)
    session = start(broker)
    for count in (1, 2):
        wait_until(partial(lambda n: len(broker.sent("subscribe")) == n, count))
        for _ in range(3):
            session.wake()
        handler.outgoing.send_once("answer", STOPPED)
        session.wake()
        wait_until(partial(lambda n: len(broker.published("answer")) == n, count), 2)
        broker.hang_up()


def test_a_new_connection_publishes_everything_retained_again(
    broker: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """What is sent once is not repeated; the handler is told how the connection ended."""
    handler.outgoing.retain("status", ONLINE)
    handler.outgoing.send_once("answer", STOPPED)
    start(broker)
    wait_until(lambda: len(broker.sent("publish")) == 2)
    broker.hang_up()
    wait_until(lambda: len(broker.published("status")) == 2)
    assert [type(reason) for reason in handler.reasons] == [Lost]
    assert len(broker.published("answer")) == 1


def test_a_broken_connection_leaves_the_last_will(
    broker: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """The broker publishes what `will` returned."""
    handler.wait_s = 60
    start(broker)
    wait_until(lambda: bool(handler.connections))
    broker.hang_up()
    wait_until(lambda: broker.retained.get("status") == b"vanished")


@pytest.mark.parametrize("wait_s", [0.05, 0.4])
def test_the_wait_is_the_handlers(
    broker: ScriptedBroker, handler: Recorder, start: Start, wait_s: float
) -> None:
    """After a refused login the next attempt comes when the handler said."""
    handler.wait_s = wait_s
    broker.script.login_code = NOT_AUTHORISED
    begin_s = time.monotonic()
    start(broker)
    wait_until(lambda: len(broker.sent("connect")) == 3)
    assert 2 * wait_s < time.monotonic() - begin_s < 2 * wait_s + patient_s(3)
    reason = handler.reasons[0]
    assert isinstance(reason, DialFailure)
    assert reason.needs_person
    assert "refused the login" in reason.text


def test_nobody_at_the_address_is_tried_again(
    handler: Recorder, make: Callable[[int], Session]
) -> None:
    """A failure that no person has to repair; a broker that appears is used."""
    port = free_port()
    make(port).start("tester", LOG)
    wait_until(lambda: bool(handler.reasons))
    reason = handler.reasons[0]
    assert isinstance(reason, DialFailure)
    assert not reason.needs_person
    with ScriptedBroker(port):
        wait_until(lambda: bool(handler.connections))


def test_refusals_are_handed_on_with_their_topic(
    broker: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """A publish and a subscription that the ACL denies; other acknowledgements are not events."""
    broker.script.subscribe_code = NOT_AUTHORISED
    broker.script.publish_codes = {"denied": NOT_AUTHORISED}
    handler.outgoing.retain("allowed", ONLINE)
    handler.outgoing.retain("denied", ONLINE)
    start(broker)
    wait_until(lambda: len(handler.events) == 2)
    assert handler.events == [
        SubscriptionRefused("Not authorized"),
        PublishRefused("denied", "Not authorized", NOT_AUTHORISED),
    ]
    assert handler.outgoing.is_acknowledged


def test_a_handler_may_hang_up(broker: ScriptedBroker, handler: Recorder, start: Start) -> None:
    """The reason comes back to it, and a new connection follows; no last will is sent."""
    start(broker)
    wait_until(lambda: bool(handler.connections))
    handler.connections[0].hang_up("it acknowledges nothing")
    wait_until(lambda: len(handler.connections) == 2)
    assert handler.reasons == [Lost("it acknowledges nothing")]
    assert broker.retained == {}


def test_a_handler_that_fails_is_logged_and_gets_a_new_connection(
    broker: ScriptedBroker, handler: Recorder, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread outlives it; queue.Empty, which the loop itself uses, is an error like others."""
    session = start(broker)
    for count, error in enumerate((ValueError("a bad message"), Empty("nothing")), start=1):
        wait_until(partial(lambda n: len(handler.connections) == n, count))
        handler.fail_once(error)
        session.wake()
        wait_until(partial(lambda n: len(handler.connections) == n + 1, count))
    assert handler.reasons == [HandlerFailed("a bad message"), HandlerFailed("nothing")]
    record = next(r for r in caplog.records if r.name == LOG.name)
    assert record.getMessage() == "MQTT: tester failed and connects again"
    assert record.exc_info


def test_a_handler_may_be_called_before_the_next_tick(
    broker: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """Something falls due in 10 ms, though no event comes; without that it is called per tick."""
    session = start(broker)
    wait_until(lambda: bool(handler.connections))
    handler.next_work_s = 0.01
    session.wake()
    before = handler.rounds
    wait_until(lambda: handler.rounds > before + 10, 10 * TICK_S)
    handler.next_work_s = None
    time.sleep(0.1)
    before = handler.rounds
    time.sleep(TICK_S)
    assert handler.rounds <= before + 2


def test_an_orderly_stop_sends_what_waits_and_then_the_last_messages(
    either: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """As long as the handler has something to send the session goes on; then `stopped`."""
    handler.next_work_s = TICK_S
    session = start(either)
    wait_until(lambda: bool(handler.connections))
    stopping = threading.Thread(target=session.stop, args=(10.0,))
    stopping.start()
    handler.outgoing.send_once("answer", ONLINE)
    session.wake()
    wait_until(lambda: bool(either.published("answer")))
    assert session.is_stopping
    assert not session.has_ended
    handler.next_work_s = None
    session.wake()
    stopping.join(5)
    assert session.has_ended
    wait_until(lambda: either.packets[-1] == ("disconnect",))
    assert either.packets[-2] == ("publish", "status", STOPPED.payload(), 1, True)
    assert either.retained == {"status": STOPPED.payload()}


def test_a_stop_ends_in_time_though_there_is_more_to_send(
    broker: ScriptedBroker, handler: Recorder, start: Start
) -> None:
    """A handler that never gets done, and a broker that acknowledges nothing."""
    handler.next_work_s = TICK_S
    broker.script.acknowledges = False
    session = start(broker)
    wait_until(lambda: bool(handler.connections))
    begin_s = time.monotonic()
    session.stop(0.2)
    assert time.monotonic() - begin_s < patient_s(0.2 + GOODBYE_S + 2 * TICK_S)
    wait_until(lambda: session.has_ended, 1)
    wait_until(lambda: broker.packets[-1] == ("disconnect",))


def test_a_stop_does_not_wait_for_the_next_attempt(
    handler: Recorder, make: Callable[[int], Session]
) -> None:
    """No broker, a minute until the next attempt: the end comes at once."""
    handler.wait_s = 60
    session = make(free_port())
    session.start("tester", LOG)
    wait_until(lambda: bool(handler.reasons))
    begin_s = time.monotonic()
    session.stop(30)
    assert time.monotonic() - begin_s < patient_s(1)
    assert session.has_ended


def test_the_heart_beats_while_it_waits(handler: Recorder, make: Callable[[int], Session]) -> None:
    """A minute until the next attempt is no standstill for the watchdog."""
    handler.wait_s = 60
    session = make(free_port())
    session.start("tester", LOG)
    wait_until(lambda: bool(handler.reasons))
    before_ns = session.heartbeat_ns
    wait_until(lambda: session.heartbeat_ns > before_ns, 2 * TICK_S + 1)


def test_in_the_callers_thread_errors_are_the_callers(
    broker: ScriptedBroker, handler: Recorder
) -> None:
    """`step` connects and serves, and raises what the handler raises; `close` just leaves."""
    session = Session(MqttSettings(HOST, broker.port), "tester", handler, handler.outgoing)
    session.step(1)
    assert session.connection is handler.connections[0]
    handler.fail_once(ValueError("for the caller"))
    with pytest.raises(ValueError, match="for the caller"):
        session.step(0.1)
    session.close()
    assert session.connection is None
    wait_until(lambda: broker.packets[-1] == ("disconnect",))
    session.close()


def test_a_broker_that_hangs_up_in_the_middle_of_a_goodbye(
    broker: ScriptedBroker, handler: Recorder, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end comes at once, not after the time for an acknowledgement."""
    monkeypatch.setattr(session_module, "GOODBYE_S", 30.0)
    broker.script.publish_codes = {"status": HANG_UP}
    session = start(broker)
    wait_until(lambda: bool(handler.connections))
    begin_s = time.monotonic()
    session.stop(5)
    assert time.monotonic() - begin_s < patient_s(1)
    assert session.has_ended


@pytest.mark.needs("mosquitto")
def test_against_mosquitto(mosquitto: Mosquitto, handler: Recorder, start: Start) -> None:
    """Retained messages, a restart of the broker, and an orderly end."""
    handler.outgoing.retain("in/status", ONLINE)
    session = start(mosquitto)
    wait_until(lambda: Received("in/status", ONLINE.payload(), False) in handler.events)
    mosquitto.stop()
    wait_until(lambda: bool(handler.reasons))
    mosquitto.start()
    wait_until(lambda: len(handler.connections) == 2 and handler.outgoing.is_acknowledged)
    session.stop(5)
    assert session.has_ended
