"""Shows alerts: a persistent session, each alert once, in order, as rows or JSON lines."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from paho.mqtt.client import Client, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from deploy.watch.evidence import fetch_evidence
from deploy.watch.incoming import json_line, read_alert
from deploy.watch.options import WatchOptions, default_dead_letters
from deploy.watch.order import MAX_SEEN, Ordered, SeenIds, SeqOrder
from deploy.watch.table import header, row
from deploy.watch.twins import Twins
from edge_app.errors import BrokerError, DataError
from edge_app.host.plain_text import one_line, write_line
from edge_app.mqtt.broker_limits import BrokerLimits
from edge_app.mqtt.connection import MQTT_5, MQTT_311, connect_properties, make_client
from edge_app.mqtt.dead_letters import DeadLetters
from edge_app.mqtt.dial import CONNACK_TIMEOUT_S, SILENCE_TIMEOUT_S, connect_refusal
from edge_app.mqtt.guarded_client import GuardedClient, too_large_text
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.reason_words import PROTOCOL_VERSION, TAKEN_OVER, advice, reason_text

SESSION_EXPIRY_S = 7 * 24 * 3600
"""A watcher may be away for a week (a plant's holiday) before the broker forgets it."""
RETRY_S = 1.0
"""A person waits in front of the screen: try again soon."""
SHORT_SESSION_S = 5.0
MAX_SHORT_SESSIONS = 3
"""So many connections in a row that ended sooner: two watchers with one session disconnect each
other once a second, and mosquitto 2.0.11 gives no reason."""
MAX_FETCHES_WAITING = 100
LOOP_S = 0.2
"""The longest wait on the socket, and so for noticing a stop request."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    alert: Alert
    text: str
    client: Client
    mid: int
    qos: int


def _missing_text(first: int, last: int, skipped_from: int | None) -> str:
    """Return what to say of numbers that did not arrive; a device says which it left out."""
    if skipped_from is None:
        return f"seq {first}..{last} missing: the outbox was replaced?"
    if skipped_from <= first:
        return f"seq {first}..{last} left out by the device after a power cut"
    return f"seq {first}..{skipped_from - 1} missing; up to {last} left out after a power cut"


class _NoteLog(logging.Logger):
    """A logger whose warnings are notes, so that `LimitedLog` can limit them."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__("edge-deploy watch", logging.INFO)
        self._say = note

    def handle(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


class Watch:
    """One run of the watcher. An alert is acknowledged to the broker once it was shown.

    Args:
        out: rows or JSON lines.
        notes: everything else: connections, missing numbers, refused evidence.
    """

    def __init__(
        self,
        options: WatchOptions,
        out: TextIO = sys.stdout,
        notes: TextIO = sys.stderr,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._out = out
        self._notes = notes
        self._now_s = now_s
        self._seen = SeenIds()
        self._twins = Twins()
        self._order: SeqOrder[_Arrived] = SeqOrder()
        self._fetcher = ThreadPoolExecutor(max_workers=2, thread_name_prefix="evidence")
        self._refusal: ReasonCode | None = None
        self._was_answered = True
        self._error: str | None = None
        self._should_stop = False
        self._trouble = ""
        self._is_watching = False
        self._had_others = False
        self._short_sessions = 0
        self._fetching = 0
        self._pictures: set[str] = set()
        self._dead_letters = DeadLetters(options.dead_letters or default_dead_letters())
        self._refusals = LimitedLog(_NoteLog(self._note), now_s)
        self.refused = 0
        self.unasked = 0
        self.shown = 0
        self.duplicates = 0

    def stop(self) -> None:
        """End soon; may be called from a signal handler."""
        self._should_stop = True

    def run(self) -> int:
        """Show alerts until the end; return the exit code.

        Returns:
            0, or 1 if `count` was not reached in time.

        Raises:
            BrokerError: the broker refuses the login or the subscription, or the time was over
                while there was no connection.
            ConfigError: a password or certificate file cannot be read.
        """
        end_s = self._now_s() + (self._options.timeout_s or float("inf"))
        if not self._options.as_json:
            self._print(self._out, header())
        protocol = MQTT_5
        while not self._is_done(end_s):
            self._refusal = None
            self._watch_once(protocol, end_s)
            protocol = self._next_protocol(protocol)
        self._fetcher.shutdown(wait=True, cancel_futures=self._should_stop)
        if self.refused:
            self._note(f"{self.refused} messages were no alerts")
        if not self._should_stop and not self._is_watching and not self._is_full():
            raise BrokerError(self._not_watched_text())
        return 0 if self._options.count is None or self.shown >= self._options.count else 1

    # -- one connection -------------------------------------------------------------------------

    def _watch_once(self, protocol: MQTTProtocolVersion, end_s: float) -> None:
        client = make_client(self._options.settings, protocol, self._options.client_id, True)
        client.manual_ack_set(True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        try:
            self._open(client, protocol)
        except OSError as error:
            self._note_trouble(f"no broker: {error}; trying again")
            self._pause(end_s)
            return
        opened_s = self._now_s()
        self._listen(client, end_s, SILENCE_TIMEOUT_S if protocol == MQTT_5 else CONNACK_TIMEOUT_S)
        client.disconnect()
        self._is_watching = self._is_watching and self._is_done(end_s)
        if self._was_answered and self._refusal is None and not self._is_done(end_s):
            self._note_trouble(self._why_lost(self._now_s() - opened_s))
            self._pause(end_s)

    def _why_lost(self, lasted_s: float) -> str:
        self._short_sessions = self._short_sessions + 1 if lasted_s < SHORT_SESSION_S else 0
        if self._short_sessions < MAX_SHORT_SESSIONS:
            return "connection lost; trying again"
        return f"connection lost again and again: {self._taken_over_text()}"

    def _taken_over_text(self) -> str:
        return (
            f"another watcher uses the session {self._options.client_id!r}? Give each its own "
            "--client-id"
        )

    def _listen(self, client: GuardedClient, end_s: float, answer_s: float) -> None:
        """Receive until the connection ends, or the broker has not answered within `answer_s`."""
        self._was_answered = False
        answer_by_s = self._now_s() + answer_s
        is_open = True
        while is_open and not self._is_done(end_s):
            is_open = self._loop(client)
            if self._error is not None:
                raise BrokerError(self._error)
            if not self._was_answered and self._now_s() > answer_by_s:
                return
            self._show(self._order.overdue(self._now_s()))

    def _loop(self, client: GuardedClient) -> bool:
        """Receive what has come; return whether the connection is still open."""
        try:
            return client.loop(LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS
        except (BrokenPipeError, BrokerError):
            raise
        except Exception as error:
            client.note_broken(error)
            self._note_trouble(client.why_broken)
            return False

    def _open(self, client: Client, protocol: MQTTProtocolVersion) -> None:
        settings = self._options.settings
        more: dict[str, Any] = {}
        if protocol == MQTT_5:
            properties = connect_properties()
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            more = {"clean_start": False, "properties": properties}
        client.connect(settings.host, settings.port, settings.keepalive_s, **more)

    def _next_protocol(self, protocol: MQTTProtocolVersion) -> MQTTProtocolVersion:
        """Return the protocol to try next, after a connection ended or was refused."""
        if not self._was_answered:  # closed without an answer: perhaps it does not support MQTT 5
            return MQTT_311 if protocol == MQTT_5 else MQTT_5
        if self._refusal is None:
            return protocol
        if protocol == MQTT_5 and self._refusal.value == PROTOCOL_VERSION:
            return MQTT_311
        code = self._refusal.value
        refusal = connect_refusal(code, reason_text(code, str(self._refusal)))
        raise BrokerError(f"{refusal}; {advice(code)}")

    def _is_done(self, end_s: float) -> bool:
        return self._should_stop or self._is_full() or self._now_s() >= end_s

    def _is_full(self) -> bool:
        count = self._options.count
        return count is not None and self.shown >= count

    def _not_watched_text(self) -> str:
        settings = self._options.settings
        why = self._trouble.removeprefix("no broker: ").removesuffix("; trying again")
        return (
            f"not connected to {settings.host}:{settings.port} when the time was over: "
            f"{why or 'it does not answer as a broker'}. "
            "Check --broker, and that the broker runs"
        )

    def _pause(self, end_s: float) -> None:
        until_s = min(self._now_s() + RETRY_S, end_s)
        while self._now_s() < until_s and not self._should_stop:
            time.sleep(0.05)

    # -- paho's callbacks, in this thread -------------------------------------------------------

    def _on_connect(
        self, client: Client, _u: Any, _f: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._was_answered = True
        if reason.is_failure:
            self._refusal = reason
            return
        expiry_s = BrokerLimits.announced(properties).session_expiry_s
        if expiry_s is not None and expiry_s < SESSION_EXPIRY_S:
            self._note(
                f"the broker keeps this session for {expiry_s} s only: alerts that come while "
                "nobody watches for longer than that are not shown later"
            )
        client.subscribe(self._options.topic, qos=1)

    def _on_subscribe(
        self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        if reasons[0].is_failure:
            self._error = (
                f"broker refused the subscription to {self._options.topic}: {reasons[0]}; the "
                "broker's ACL must let this user read it"
            )
            return
        self._trouble = ""
        self._is_watching = True
        settings = self._options.settings
        self._note(f"watching {self._options.topic} at {settings.host}:{settings.port}")

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.value == TAKEN_OVER:
            self._error = self._taken_over_text()

    def _on_message(self, client: Client, _u: Any, message: MQTTMessage) -> None:
        """Take one message. Whatever it is, it costs itself only: the next one is taken."""
        topic, payload = "", bytes(message.payload)
        try:
            topic = message.topic
            if not topic_matches_sub(self._options.topic, topic):
                self._pass_over(client, message, topic)
                return
            if isinstance(client, GuardedClient) and client.cut_bytes:
                raise DataError(too_large_text(topic, client.cut_bytes))
            alert = read_alert(topic, payload)
            text = json_line(payload) if self._options.as_json else self._row(alert)
        except Exception as error:
            why = str(error) if isinstance(error, DataError) else repr(error)
            self._refuse(topic, payload, why)
            client.ack(message.mid, message.qos)
            return
        self._take(alert, _Arrived(alert, text, client, message.mid, message.qos))

    def _pass_over(self, client: Client, message: MQTTMessage, topic: str) -> None:
        """Leave out what an earlier watch under this client id had subscribed to, and the retained
        messages of any topic that some brokers send to a new subscriber."""
        self.unasked += 1
        client.ack(message.mid, message.qos)
        if topic.endswith("/alert") and not self._had_others:
            self._had_others = True
            self._note(
                f"an earlier watch with the client id {self._options.client_id!r} had asked for "
                "more: what is not of this watch is not shown. Give each its own --client-id"
            )

    def _refuse(self, topic: str, payload: bytes, why: str) -> None:
        """Count a message that is no alert, keep it, and name it; each cause once a minute."""
        self.refused += 1
        self._dead_letters.keep(topic, payload, why, time.time_ns())
        where = self._dead_letters.trouble or f"kept in {self._dead_letters.path}"
        self._refusals.warning(f"{topic} {why}", f"no alert on {topic}: {why}; {where}")

    def _take(self, alert: Alert, arrived: _Arrived) -> None:
        numbering = f"{alert.site}/{alert.line}/{alert.device} {alert.store_id or ''}"
        if not self._seen.is_new(alert.message_id):
            self.duplicates += 1
            arrived.client.ack(arrived.mid, arrived.qos)
            self._show(self._order.pass_over(numbering, alert.seq))
            return
        if (fault := self._twins.fault_of(alert)) is not None:
            self._note(fault)
        self._show(self._order.offer(numbering, alert.seq, arrived, self._now_s()))

    # -- showing --------------------------------------------------------------------------------

    def _show(self, turns: list[Ordered[_Arrived]]) -> None:
        for turn in turns:
            arrived = turn.item
            if turn.missing is not None and turn.missing[0] != arrived.alert.skipped_from:
                first, last = turn.missing
                device = arrived.alert.device
                self._note(f"{device}: {_missing_text(first, last, arrived.alert.skipped_from)}")
            self._print(self._out, arrived.text)
            self.shown += 1
            self._fetch(arrived.alert)
            arrived.client.ack(arrived.mid, arrived.qos)

    def _row(self, alert: Alert) -> str:
        return row(alert, with_colour=self._out.isatty())

    def _fetch(self, alert: Alert) -> None:
        folder = self._options.evidence_folder
        if folder is None or alert.evidence is None:
            return
        name = f"{alert.device}-{alert.seq}-{alert.alarm_id}"
        picture = f"{alert.device}/{alert.alarm_id}/{alert.evidence.sha256}"
        if picture in self._pictures:  # an alarm's end shows that of its raise
            return
        if self._fetching >= MAX_FETCHES_WAITING:
            self._note(f"evidence of alert {alert.seq} not fetched: too many wait for slow servers")
            return
        self._fetching += 1
        if len(self._pictures) >= MAX_SEEN:
            self._pictures.clear()
        self._pictures.add(picture)
        self._fetcher.submit(fetch_evidence, alert.evidence, folder, name).add_done_callback(
            lambda result: self._fetched(picture, result)
        )

    def _fetched(self, picture: str, result: Future[Path]) -> None:
        self._fetching -= 1
        if result.cancelled() or result.exception() is not None:
            self._pictures.discard(picture)  # a later alert of the same alarm tries again
        try:
            self._note(f"evidence saved: {result.result()}")
        except CancelledError:
            self._note("evidence not fetched: the watch has ended")
        except Exception as error:  # in the fetcher's thread, where nobody else would tell it
            self._note(str(error) if isinstance(error, DataError) else repr(error))

    def _note_trouble(self, text: str) -> None:
        """Print a trouble once, however often it recurs."""
        if text != self._trouble:
            self._note(text)
        self._trouble = text

    def _note(self, text: str) -> None:
        self._print(self._notes, f"edge-deploy watch: {one_line(text)}")

    @staticmethod
    def _print(stream: TextIO, text: str) -> None:
        write_line(stream, text)
