"""What connections have shown about the broker: does it take what is published, and when to retry.

connecting → connected ⇄ degraded: why
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.delivery import refusal_text
from edge_app.mqtt.session import MAX_HANG_UPS
from edge_app.mqtt.settings import MqttSettings

_log = logging.getLogger("edge_app.mqtt.publisher")
"""The name under which docs/service.md lets people filter the journal for all about the broker."""


class PublisherState:
    """Keeps what connections have shown, logs changes, and paces the attempts. No IO.

    Args:
        settings: the broker, and how fast it is tried again.
        waiting: returns how many alerts wait.
        monotonic_s: clock for waits.
        random_unit: numbers in [0, 1) for the back-off.

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
    ) -> None:
        self._where = f"{settings.host}:{settings.port}"
        self._waiting, self._now_s = waiting, monotonic_s
        pace = (settings.reconnect_min_s, settings.reconnect_max_s, random_unit)
        self._backoff, self._refusal_backoff = Backoff(*pace), Backoff(*pace)
        self._retry_at_s = 0.0
        self._refusal: str | None = None
        self._is_refused_until_lost = False
        self._hang_ups = 0
        self._has_failed = False
        self.state = "connecting"
        self.last_error = ""

    def begin(self) -> None:
        """Note a new connection; an earlier refusal holds until this one proves that it is over."""
        self._is_refused_until_lost = False

    def refuse(self, text: str, until_lost: bool = False) -> None:
        """Remember a refusal until an alert or the probe proves that it is over.

        Args:
            until_lost: nothing proves that on this connection: what was refused is a retained
                message, which only the next connection sends again.
        """
        self._refusal = text
        self._is_refused_until_lost |= until_lost

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

    def lost(self, why: str, unproven_topic: str | None, refusal: str | None) -> float:
        """Note a lost connection, and what it means; return how long to wait, in seconds.

        A connection that ends over its first message, MAX_HANG_UPS times in a row, is taken for a
        refusal of that message.

        Args:
            unproven_topic: of the first message, as long as it has not arrived.
            refusal: what the broker answered to a message on this connection.
        """
        self._hang_ups = self._hang_ups + 1 if unproven_topic is not None else 0
        if refusal is not None:
            self.refuse(refusal)
        elif unproven_topic is not None and self._hang_ups >= MAX_HANG_UPS:
            self.refuse(refusal_text("the broker hangs up on it", unproven_topic))
        if self._refusal is None:
            return self.failed(f"connection lost: {why}", needs_person=False)
        self._note_trouble(f"degraded: {self._refusal}", self._refusal)
        return self._refusal_backoff.next_s()

    def _note_trouble(self, state: str, why: str) -> None:
        """First failure WARNING, repeats DEBUG; a new kind of trouble counts as first."""
        if (state, why) == (self.state, self.last_error) and state != "connecting":
            return
        is_repeat = self._has_failed and state == self.state
        _log.log(logging.DEBUG if is_repeat else logging.WARNING, "MQTT: %s", why)
        self._has_failed, self.state, self.last_error = True, state, why

    def _note_success(self) -> None:
        if self.state == "connected":
            return
        word = "again " if self._has_failed else ""
        _log.info("MQTT: connected %sto %s, %d alerts wait", word, self._where, self._waiting())
        self._has_failed, self.state = False, "connected"
        self._backoff.reset()
        self._refusal_backoff.reset()
