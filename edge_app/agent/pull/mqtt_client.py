"""The agent's MQTT client: pointers in, reports out, `agent/status` with its own last will.

dial → subscribe deploy/+/desired → retained messages → events … → lost → wait → dial
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.command_messages import CommandAnswer
from edge_app.mqtt.connection import (
    Acked,
    Connection,
    Event,
    Lost,
    Received,
    SubscriptionRefused,
    Will,
)
from edge_app.mqtt.deploy_messages import AgentState, AgentStatus, Reported
from edge_app.mqtt.dial import DialFailure, dial
from edge_app.mqtt.retained import Retained
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName, Topics

TICK_S = 0.5
"""How often a stop request is checked when nothing happens."""
GOODBYE_S = 1.0
"""For the acknowledgement of `stopped`."""
MAX_HANG_UPS = 2
"""Connections in a row that ended sooner than STEADY_S: that is no weak network any more."""
STEADY_S = 5.0
"""A connection that lasted so long was a good one: the next failure is a first one again."""

SETTLE_S = 5.0
"""Retained pointers come with the subscription, in milliseconds on a plant network; and before the
broker's answer to what was published after it, however slow the network is."""

_log = logging.getLogger(__name__)


class PointerSink(Protocol):
    """Takes pointers; called in the client's thread."""

    def want(self, slot: str, payload: bytes) -> None:
        """Take the payload of a slot's `desired`; an empty one withdraws the deployment."""

    def connected(self) -> None:
        """A connection begins: the broker will send all retained pointers again."""

    def settled(self) -> None:
        """All retained pointers have arrived: one that did not is withdrawn."""


class CommandSink(Protocol):
    """Takes commands; called in the client's thread."""

    def take(self, verb: str, payload: bytes, is_retained: bool) -> None:
        """Take what came on `cmd/{verb}`."""


class AgentMqttClient:
    """Keeps a connection, hands pointers and commands on, publishes the newest report of every
    slot and every command's answer.

    Args:
        settings: the broker, with the agent's own login.
        who: this device.
        sink: takes the pointers.
        commands: takes operators' commands; None: they are not subscribed to.
        version: of this software, for `agent/status`.
        clock_ns: wall clock, ns since the epoch.
        random_unit: numbers in [0, 1) for the back-off.

    Attributes:
        trouble: why there is no working connection; "" while there is one.
    """

    def __init__(
        self,
        settings: MqttSettings,
        who: DeviceName,
        sink: PointerSink,
        version: str = "",
        clock_ns: Callable[[], int] = time.time_ns,
        random_unit: Callable[[], float] = random.random,
        commands: CommandSink | None = None,
    ) -> None:
        self._settings = settings
        self._topics = Topics(who)
        self._commands = commands
        self._answers: SimpleQueue[CommandAnswer] = SimpleQueue()
        self._client_id = settings.client_id or f"agent-{who.site}-{who.line}-{who.device}"
        self._sink = sink
        self._version = version
        self._clock_ns = clock_ns
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s, random_unit)
        self._retained = Retained()
        self._unacked: dict[int, str] = {}
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent-mqtt", daemon=True)
        self._is_refused = False
        self._hang_ups = 0
        self._is_settled = False
        self._connected_s = 0.0
        self.trouble = "not connected yet"
        self._say_status("online")

    # -- called by the agent, from any thread ---------------------------------------------------

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Say `stopped` and disconnect."""
        self._stopping.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def publish(self, report: Reported) -> None:
        """Publish a report, retained; without a connection the newest one waits for it."""
        self._retained.set(self._topics.reported(report.slot), report)
        self._wake()

    def answer(self, answer: CommandAnswer) -> None:
        """Publish what became of a command; without a connection it waits for the next one."""
        self._answers.put(answer)
        self._wake()

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.events.put(None)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            answer = dial(self._settings, self._client_id, self._will())
            if isinstance(answer, DialFailure):
                self._note_trouble(answer.text)
                slow = answer.needs_person
                self._stopping.wait(self._backoff.slow_s() if slow else self._backoff.next_s())
                continue
            self._serve_until_lost(answer)

    def _serve_until_lost(self, connection: Connection) -> None:
        self._connected_s = time.monotonic()
        self._connection = connection
        try:
            lost = self._serve(connection)
        except Exception:  # this thread must outlive any single bad message
            _log.exception("MQTT: the agent's client failed and reconnects")
            lost = "the client failed"
        finally:
            self._connection = None
            connection.close()
        if lost is None:
            return
        self._hang_ups += 1
        if self._age_s > STEADY_S:
            self._hang_ups = 0
            self._backoff.reset()
        if not self._is_refused:  # else the refusal is why
            self._note_trouble(self._why_lost(lost))
        self._stopping.wait(self._backoff.next_s())

    @property
    def _age_s(self) -> float:
        return time.monotonic() - self._connected_s

    def _why_lost(self, lost: str) -> str:
        """Tell a refusal from a weak network: mosquitto 2.0.11 hangs up on what its ACL denies."""
        if self._hang_ups < MAX_HANG_UPS:
            return f"connection lost: {lost}"
        return (
            f"the broker closes every connection: {lost}; {_ACL_ADVICE}, and no other client may "
            f"use the client id {self._client_id!r}"
        )

    def _serve(self, connection: Connection) -> str | None:
        """Work until stopped (None) or until the connection is lost (why)."""
        self._unacked.clear()
        self._is_refused = False
        self._is_settled = False
        self._retained.say_all_again()
        self._sink.connected()
        connection.subscribe(*self._filters())
        while not self._stopping.is_set():
            self._publish_changed(connection)
            lost = self._take_events(connection)
            if lost is not None:
                return lost
            self._judge()
            if not (self._is_settled or self._unacked) and self._age_s > SETTLE_S:
                self._is_settled = True
                self._sink.settled()
        self._say_goodbye(connection)
        return None

    def _filters(self) -> tuple[str, ...]:
        commands = () if self._commands is None else (self._topics.command("+"),)
        return (self._topics.desired("+"), *commands)

    def _say_goodbye(self, connection: Connection) -> None:
        self._say_status("stopped")
        self._publish_changed(connection)
        end_s = time.monotonic() + GOODBYE_S
        while self._unacked and time.monotonic() < end_s:
            if self._take_events(connection) is not None:
                return

    def _publish_changed(self, connection: Connection) -> None:
        for topic, payload in self._retained.take_changed():
            self._unacked[connection.publish(topic, payload, retain=True)] = topic
        while not self._answers.empty():
            topic, payload = self._topics.agent_answer, self._answers.get().payload()
            self._unacked[connection.publish(topic, payload)] = topic

    def _take_events(self, connection: Connection) -> str | None:
        """Wait for something to happen and take all of it; return why the connection is lost."""
        try:
            event = connection.events.get(timeout=TICK_S)
            while True:
                if isinstance(event, Lost):
                    return event.text
                self._take(event)
                event = connection.events.get_nowait()
        except Empty:
            return None

    def _take(self, event: Event | None) -> None:
        if isinstance(event, Acked):
            topic = self._unacked.pop(event.mid, None)
            if event.refusal is not None:
                self._is_refused = True
                self._note_trouble(f"publish refused: {event.refusal} ({topic}); {_ACL_ADVICE}")
        elif isinstance(event, SubscriptionRefused):
            self._is_refused = True
            self._note_trouble(
                f"subscription refused: {event.text} ({', '.join(self._filters())}); {_ACL_ADVICE}"
            )
        elif isinstance(event, Received) and not self._stopping.is_set():
            self._hand_on(event)

    def _hand_on(self, event: Received) -> None:
        *_, level, last = event.topic.split("/")
        if last == "desired":
            self._sink.want(level, event.payload)
        elif self._commands is not None:
            self._commands.take(last, event.payload, event.is_retained)

    # -- status ---------------------------------------------------------------------------------

    def _will(self) -> Will:
        message = AgentStatus(
            state="offline", reason="the agent vanished", version=self._version, since=None
        )
        return Will(self._topics.agent_status, message.payload())

    def _say_status(self, state: AgentState) -> None:
        since = rfc3339(self._clock_ns())
        message = AgentStatus(state=state, version=self._version, since=since)
        self._retained.set(self._topics.agent_status, message)

    def _note_trouble(self, why: str) -> None:
        """First failure WARNING, repeats DEBUG."""
        _log.log(logging.DEBUG if why == self.trouble else logging.WARNING, "MQTT: %s", why)
        self.trouble = why

    def _judge(self) -> None:
        """Say once that it works: all is acknowledged, and the broker has not just hung up."""
        is_doubtful = self._hang_ups >= MAX_HANG_UPS and self._age_s <= STEADY_S
        if self.trouble and not (self._unacked or self._is_refused or is_doubtful):
            _log.info("MQTT: agent connected to %s:%d", self._settings.host, self._settings.port)
            self.trouble = ""


_ACL_ADVICE = "the broker's ACL must let the agent's user use its agent/ and deploy/ topics"
