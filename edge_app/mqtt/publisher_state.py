"""What connections have shown about the broker: does it take what is published, and when to retry.

connecting → connected ⇄ degraded: why
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.connection import Lost
from edge_app.mqtt.delivery import refusal_text
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.reason_words import TAKEN_OVER
from edge_app.mqtt.session import MAX_HANG_UPS
from edge_app.mqtt.settings import MqttSettings

_log = logging.getLogger("edge_app.mqtt.publisher")
"""The name under which docs/service.md lets people filter the journal for all about the broker."""

STEADY_S = 5.0
"""A connection that lasted so long was a good one: the next failure is a first one again."""
MAX_SHORT_CONNECTIONS = 3
"""So many working connections in a row that ended sooner: two devices with one client id disconnect
each other, and mosquitto 2.0.11 gives no reason."""


class PublisherState:
    """Keeps what connections have shown, logs changes, and paces the attempts. No IO.

    Args:
        settings: the broker, and how fast it is tried again.
        waiting: returns how many alerts wait.
        monotonic_s: clock for waits.
        random_unit: numbers in [0, 1) for the back-off.
        client_id: ours, for advice.

    Attributes:
        state: "connecting", "connected" or "degraded: why", for people.
        last_error: why there was no connection the last time; "" if that never happened.
    """

    def __init__(
        self,
        settings: MqttSettings,
        waiting: Callable[[], int],
        monotonic_s: Callable[[], float],
        random_unit: Callable[[], float],
        client_id: str = "",
    ) -> None:
        self._where = f"{settings.host}:{settings.port}"
        self._waiting, self._now_s = waiting, monotonic_s
        self._client_id = client_id
        self._pace = pace = (settings.reconnect_min_s, settings.reconnect_max_s, random_unit)
        self._backoff, self._refusal_backoff = Backoff(*pace), Backoff(*pace)
        self._retry_at_s = 0.0
        self._refusal: str | None = None
        self._is_refused_until_lost = False
        self._hang_ups = 0
        self._short_connections = 0
        self._connected_at_s, self._is_proven = float("inf"), False
        self._lines = LimitedLog(_log, monotonic_s)
        self._has_failed = False
        self.state = "connecting"
        self.last_error = ""

    def begin(self) -> None:
        """Note a new connection; an earlier refusal holds until this one proves that it is over."""
        self._is_refused_until_lost = False
        self._connected_at_s, self._is_proven = self._now_s(), False

    def trouble_backoff(self) -> Backoff:
        """Return what paces further attempts to send what was refused."""
        return Backoff(*self._pace)

    def refuse(self, text: str, until_lost: bool = False) -> None:
        """Remember a refusal until an alert or the probe proves that it is over.

        Args:
            until_lost: nothing proves that on this connection: what was refused is a retained
                message, which only the next connection sends again.
        """
        self._refusal = text
        self._is_refused_until_lost |= until_lost

    @property
    def refusal(self) -> str | None:
        """What the broker refuses, as far as nothing has proved that it is over."""
        return self._refusal

    def retry_later(self) -> None:
        """Schedule the next attempt to send the refused message on this connection."""
        self._retry_at_s = self._now_s() + self._refusal_backoff.next_s()

    def may_retry(self) -> bool:
        """Return whether that attempt is due."""
        return self._now_s() >= self._retry_at_s

    def update(
        self, is_proven: bool, is_acknowledged: bool, outbox_reason: str | None
    ) -> str | None:
        """Update `state` on a connection that works; return why it is degraded, None if it is not.

        Args:
            is_proven: an alert, or the probe, has arrived on this connection.
            is_acknowledged: so was every retained message.
            outbox_reason: what is wrong with the outbox.
        """
        self._is_proven |= is_proven
        if is_proven and self._is_steady:
            self._short_connections = 0
            self._backoff.reset()
            self._refusal_backoff.reset()
        if is_proven and is_acknowledged and not self._is_refused_until_lost:
            self._refusal, self._hang_ups = None, 0
        reason = self._refusal or outbox_reason
        if reason is not None:
            self._note_trouble(f"degraded: {reason}", reason)
        elif is_proven:
            self._note_success()
        return reason

    def failed(self, why: str, needs_person: bool) -> float:
        """Note a failed attempt; return how long to wait, in seconds.

        Args:
            needs_person: trying again soon does not help.
        """
        self._note_trouble(f"degraded: {why}" if needs_person else "connecting", why)
        return self._backoff.next_s(needs_person)

    def lost(
        self, end: Lost, unproven_topic: str | None, refusal: str | None, is_explained: bool = False
    ) -> float:
        """Note a lost connection, and what it means; return how long to wait, in seconds.

        A connection that ends over its first message, MAX_HANG_UPS times in a row, is taken for a
        refusal of that message. Working connections that end soon, MAX_SHORT_CONNECTIONS times in a
        row, are taken for another client with our client id.

        Args:
            unproven_topic: of the first message, as long as it has not arrived.
            refusal: what the broker answered to a message on this connection.
            is_explained: a single alert may be why it ended.
        """
        is_short = self._is_proven and not (self._is_steady or is_explained)
        self._short_connections = self._short_connections + 1 if is_short else 0
        if end.code == TAKEN_OVER or self._short_connections >= MAX_SHORT_CONNECTIONS:
            return self.failed(self._taken_over_text(end), needs_person=True)
        self._hang_ups = self._hang_ups + 1 if unproven_topic is not None else 0
        if refusal is not None:
            self.refuse(refusal)
        elif unproven_topic is not None and self._hang_ups >= MAX_HANG_UPS:
            why = "the broker hangs up on it" if end.code == 0 else end.text
            self.refuse(refusal_text(why, unproven_topic, end.code))
        if self._refusal is None:
            return self.failed(f"connection lost: {end.text}", needs_person=False)
        self._note_trouble(f"degraded: {self._refusal}", self._refusal)
        return self._refusal_backoff.next_s()

    @property
    def _is_steady(self) -> bool:
        return self._now_s() - self._connected_at_s >= STEADY_S

    def _taken_over_text(self, end: Lost) -> str:
        sure = "another client uses" if end.code == TAKEN_OVER else "does another client use"
        mark = "" if end.code == TAKEN_OVER else "?"
        return (
            f"connection lost ({end.text}): {sure} the client id {self._client_id!r}{mark} Give "
            "each device its own name (site, line, device), or set [mqtt] client_id; a copied "
            "disk needs a new name"
        )

    def _note_trouble(self, state: str, why: str) -> None:
        """First failure WARNING, repeats DEBUG; a new kind of trouble counts as first."""
        if (state, why) == (self.state, self.last_error) and state != "connecting":
            return
        is_repeat = self._has_failed and state == self.state
        if is_repeat:
            _log.debug("MQTT: %s", why)
        else:
            self._lines.warning(re.sub(r"\d+", "#", why), f"MQTT: {why}")
        self._has_failed, self.state, self.last_error = True, state, why

    def _note_success(self) -> None:
        if self.state == "connected":
            return
        word = "again " if self._has_failed else ""
        text = f"MQTT: connected {word}to {self._where}, {self._waiting()} alerts wait"
        self._lines.line(logging.INFO, f"connected {word}", text)
        self._has_failed, self.state = False, "connected"
