"""The agent's MQTT client: pointers and commands in, reports and answers out.

subscribe deploy/+/desired (and cmd/+, feedback) → retained messages → events …; `agent/status`
has its own last will.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.command_messages import CommandAnswer
from edge_app.mqtt.connection import Acked, Connection, Lost, Received, Will
from edge_app.mqtt.deploy_messages import AgentState, AgentStatus, Reported
from edge_app.mqtt.dial import DialFailure
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.reason_words import TAKEN_OVER
from edge_app.mqtt.session import (
    GOODBYE_S,
    MAX_HANG_UPS,
    TICK_S,
    Disconnection,
    PublishRefused,
    Session,
    SessionEvent,
)
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName, Topics, client_id

STEADY_S = 5.0
"""A connection that lasted so long was a good one: the next failure is a first one again."""
SETTLE_S = 5.0
"""Retained pointers come with the subscription, in milliseconds on a plant network; and before the
broker's answer to what was published after it, however slow the network is."""

_ACL_ADVICE = "the broker's ACL must let the agent's user use its agent/ and deploy/ topics"
_log = logging.getLogger(__name__)


class PointerSink(Protocol):
    """Takes pointers; called in the session's thread."""

    def want(self, slot: str, payload: bytes) -> None:
        """Take the payload of a slot's `desired`; an empty one withdraws the deployment."""

    def connected(self) -> None:
        """A connection begins: the broker will send all retained pointers again."""

    def settled(self) -> None:
        """All retained pointers have arrived: one that did not is withdrawn."""


class CommandSink(Protocol):
    """Takes commands; called in the session's thread."""

    def take(self, verb: str, payload: bytes, is_retained: bool) -> None:
        """Take what came on `cmd/{verb}`."""


class FeedbackSink(Protocol):
    """Takes what people say of parts; called in the session's thread."""

    def take(self, payload: bytes, is_retained: bool) -> None:
        """Take what came on `feedback`; returns at once."""


@dataclass(frozen=True, slots=True)
class FromOperators:
    """Who takes what operators write; None: it is not subscribed to."""

    commands: CommandSink | None = None
    feedback: FeedbackSink | None = None


class AgentMqttClient:
    """Keeps a connection, hands pointers and commands on, publishes the newest report of every
    slot and every command's answer.

    Args:
        settings: the broker, with the agent's own login.
        who: this device.
        sink: takes the pointers.
        operators: who takes what operators write.
        version: of this software, for `agent/status`.
        reason: what is not as it should be, for the same.
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
        operators: FromOperators = FromOperators(),
        reason: str = "",
    ) -> None:
        self._where = f"{settings.host}:{settings.port}"
        self._topics = Topics(who)
        self._sink = sink
        self._operators = operators
        self._version, self._reason = version, reason
        self._clock_ns = clock_ns
        self._client_id = settings.client_id or client_id("agent", who)
        self._outgoing = Outgoing()
        self._session = Session(settings, self._client_id, self, self._outgoing, self)
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s, random_unit)
        self._lines = LimitedLog(_log, time.monotonic)
        self._is_refused = False
        self._hang_ups = 0
        self._is_settled = False
        self._connected_s = 0.0
        self.trouble = "not connected yet"
        self._set_status("online")

    # -- called by the agent, from any thread ---------------------------------------------------

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._session.start("mqtt-agent", _log)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Say `stopped` and disconnect."""
        self._session.stop(timeout_s - GOODBYE_S - TICK_S)

    def publish(self, report: Reported) -> None:
        """Publish a report, retained; without a connection the newest one waits for it."""
        self._outgoing.retain(self._topics.reported(report.slot), report)
        self._session.wake()

    def answer(self, answer: CommandAnswer) -> None:
        """Publish what became of a command; without a connection it waits for the next one."""
        self._outgoing.send_once(self._topics.agent_answer, answer)
        self._session.wake()

    # -- called by the session ------------------------------------------------------------------

    def will(self) -> Will:
        """Return `agent/status` as the broker publishes it when the agent vanishes."""
        message = AgentStatus(
            state="offline", reason="the agent vanished", version=self._version, since=None
        )
        return Will(self._topics.agent_status, message.payload())

    def say_goodbye(self) -> None:
        """Have `agent/status` say `stopped`."""
        self._set_status("stopped")

    def connected(self, connection: Connection) -> None:
        """Subscribe to pointers and commands."""
        self._connected_s = time.monotonic()
        self._is_refused = self._is_settled = False
        self._sink.connected()
        connection.subscribe(*self._filters())

    def take(self, event: SessionEvent) -> None:
        """Hand a message on, or note what the broker refuses."""
        if isinstance(event, Received):
            if not self._session.is_stopping:
                self._hand_on(event)
        elif isinstance(event, PublishRefused):
            self._note_refusal(f"publish refused: {event.text} ({event.topic})")
        elif not isinstance(event, Acked):
            self._note_refusal(f"subscription refused: {event.text} ({', '.join(self._filters())})")

    def work(self) -> None:
        """Note once that it works, and that all pointers have come."""
        is_acknowledged = self._outgoing.is_acknowledged
        is_doubtful = self._hang_ups >= MAX_HANG_UPS and self._age_s <= STEADY_S
        if self.trouble and is_acknowledged and not (self._is_refused or is_doubtful):
            self._lines.line(logging.INFO, "up", f"MQTT: agent connected to {self._where}")
            self.trouble = ""
        if not self._is_settled and is_acknowledged and self._age_s > SETTLE_S:
            self._is_settled = True
            self._sink.settled()

    def disconnected(self, reason: Disconnection) -> float:
        """Note why there is no connection; return the wait in seconds."""
        if isinstance(reason, DialFailure):
            self._note_trouble(reason.text)
            return self._backoff.next_s(reason.needs_person)
        if isinstance(reason, Lost) and reason.code == TAKEN_OVER:
            self._note_trouble(
                f"connection lost ({reason.text}): another client uses the client id "
                f"{self._client_id!r}. Give each device its own name (site, line, device); a "
                "copied disk needs a new name"
            )
            return self._backoff.next_s(needs_person=True)
        self._hang_ups += 1
        if self._age_s > STEADY_S:
            self._hang_ups = 0
            self._backoff.reset()
        if not self._is_refused:  # else the refusal is why
            self._note_trouble(self._why_lost(reason.text))
        return self._backoff.next_s()

    def _filters(self) -> tuple[str, ...]:
        commands = () if self._operators.commands is None else (self._topics.command("+"),)
        feedback = () if self._operators.feedback is None else (self._topics.feedback,)
        return (self._topics.desired("+"), *commands, *feedback)

    def _hand_on(self, event: Received) -> None:
        *_, level, last = event.topic.split("/")
        if last == "desired":
            self._sink.want(level, event.payload)
        elif event.topic == self._topics.feedback:
            if self._operators.feedback is not None:
                self._operators.feedback.take(event.payload, event.is_retained)
        elif self._operators.commands is not None:
            self._operators.commands.take(last, event.payload, event.is_retained)

    @property
    def _age_s(self) -> float:
        return time.monotonic() - self._connected_s

    # -- state and log --------------------------------------------------------------------------

    def _set_status(self, state: AgentState) -> None:
        since = rfc3339(self._clock_ns())
        message = AgentStatus(state=state, reason=self._reason, version=self._version, since=since)
        self._outgoing.retain(self._topics.agent_status, message)

    def _why_lost(self, why: str) -> str:
        """Tell a refusal from a weak network."""
        if self._hang_ups < MAX_HANG_UPS:
            return f"connection lost: {why}"
        return (
            f"the broker hangs up again and again: {why}; {_ACL_ADVICE}, and nobody else may use "
            f"the client id {self._client_id!r}"
        )

    def _note_refusal(self, why: str) -> None:
        self._is_refused = True
        self._note_trouble(f"{why}; {_ACL_ADVICE}")

    def _note_trouble(self, why: str) -> None:
        """First failure WARNING, repeats DEBUG; each cause once a minute, however it alternates."""
        if why == self.trouble:
            _log.debug("MQTT: %s", why)
        else:
            self._lines.warning(re.sub(r"\d+", "#", why), f"MQTT: {why}")
        self.trouble = why
