"""What the publisher does with a connection. Everything it must not forget is in the outbox.

subscribe → retained messages → probe → alerts in order → …
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator

from paho.mqtt.client import topic_matches_sub

from edge_app.errors import OutboxError
from edge_app.mqtt.alert_troubles import AlertTroubles
from edge_app.mqtt.broker_limits import BrokerLimits
from edge_app.mqtt.connection import Acked, Connection, Lost, Received, Will
from edge_app.mqtt.delivery import Delivery, refusal_text
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.messages import DeviceStatus, MessageCounts, StatusName
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.publisher_state import PublisherState
from edge_app.mqtt.session import (
    TICK_S,
    Disconnection,
    HandlerFailed,
    PublishRefused,
    SessionEvent,
)
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import Topics

MAX_FOREIGN = 5
"""Messages of others that wait for the dead-letter file; the latest ones."""
MAX_FOREIGN_BYTES = 4 << 10
"""Kept of each."""
FOREIGN = "not sent by this device"

_log = logging.getLogger(__name__)


class PublisherHandler:
    """Delivers alerts, keeps `status` up to date and clears retained messages of removed cameras.

    Args:
        state: what is known about the broker; kept up to date here.
        clock_ns: wall clock, ns since the epoch.
        monotonic_s: clock for deadlines.

    Attributes:
        messages_foreign: messages on this device's own topics that it did not send.
        foreign: the latest of them, for the dead-letter file; (topic, payload, why).
    """

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        outgoing: Outgoing,
        state: PublisherState,
        clock_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._outgoing = outgoing
        self._state = state
        self._troubles = AlertTroubles(state.trouble_backoff(), monotonic_s)
        self._foreign = LimitedLog(_log, monotonic_s)
        self._clock_ns = clock_ns
        self._now_s = monotonic_s
        self._connection: Connection | None = None
        self._delivery: Delivery | None = None
        self._is_refusal_noted = False
        self._app_reasons: dict[str, str] = {}
        self._app_reasons_lock = threading.Lock()
        self._outbox_reason: str | None = None
        self._status: tuple[StatusName, str] | None = None
        self.messages_foreign = 0
        self.foreign: deque[tuple[str, bytes, str]] = deque(maxlen=MAX_FOREIGN)
        self._shortened = 0
        self._set_status("online", "")

    def set_app_reason(self, source: str, reason: str | None) -> None:
        """Replace one source's reason for `degraded`; None withdraws it. From any thread."""
        with self._app_reasons_lock:
            reasons = {**self._app_reasons, source: reason}
            self._app_reasons = {name: why for name, why in reasons.items() if why is not None}

    def counts(self, foreign_kept: int) -> MessageCounts:
        """Return the figures for `health`; from any thread."""
        delivery = self._delivery
        return MessageCounts(
            shortened=self._shortened + (0 if delivery is None else delivery.shortened),
            set_aside=self._troubles.count_aside,
            unsendable=len(self._outgoing.unsendable),
            foreign=self.messages_foreign,
            foreign_kept=foreign_kept,
        )

    # -- called by the session ------------------------------------------------------------------

    def will(self) -> Will:
        """Return `status` as the broker publishes it when this device vanishes."""
        message = DeviceStatus(
            state="offline",
            reason="the device vanished without saying goodbye",
            session=self._outbox.session,
            since=None,
        )
        return Will(self._topics.status, message.payload())

    def say_goodbye(self) -> None:
        """Set `status` to `stopped`."""
        self._set_status("stopped", "")

    def connected(self, connection: Connection) -> None:
        """Subscribe and prepare the delivery of alerts."""
        self._state.begin()
        self._is_refusal_noted = False
        levels, states = self._topics.alarm_level("+"), self._topics.camera_state("+")
        echoes = () if connection.is_mqtt5 else (self._topics.probe, self._topics.own_alerts)
        if connection.limits.wildcards_available:
            connection.subscribe(levels, states, *echoes)
        self._connection = connection
        self._delivery = Delivery(
            self._outbox,
            self._topics,
            connection,
            self._troubles,
            probe_id=uuid7(self._clock_ns(), secrets.randbits),
            now_ns=self._clock_ns,
            now_s=self._now_s,
        )

    def take(self, event: SessionEvent) -> None:
        """Take acknowledgements, echoes and the messages that the broker has retained."""
        if isinstance(event, PublishRefused):
            text = refusal_text(event.text, event.topic, event.code)
            self._state.refuse(text, until_lost=True)
        elif isinstance(event, Received) and event.is_retained:
            self._clear_if_stale(event)
        elif self._delivery is not None and isinstance(event, Received):
            if not self._delivery.came_back(event):
                self._note_foreign(event)
        elif self._delivery is not None and isinstance(event, Acked):
            self._delivery.acked(event)

    def _note_foreign(self, event: Received) -> None:
        """Count a message on our own alert and probe topics that we did not send.

        On other topics the broker hands us back what we retain.
        """
        if topic_matches_sub(self._topics.own_alerts, event.topic):
            self.messages_foreign += 1
            self.foreign.append((event.topic, event.payload[:MAX_FOREIGN_BYTES], FOREIGN))
            self._foreign.line(
                logging.WARNING,
                "foreign",
                f"MQTT: somebody else publishes on {event.topic!r} ({len(event.payload)} bytes); "
                "it is passed over. The broker's ACL must allow only this device to",
            )

    def work(self) -> float | None:
        """Send alerts and update `status`; return None if no alert can be sent now."""
        delivery, connection = self._delivery, self._connection
        if delivery is None or connection is None:
            return None
        if delivery.is_hung:
            connection.hang_up("the broker acknowledges nothing")
            return 0.0
        self._deliver(delivery)
        self._update_status(delivery)
        is_done = delivery.is_idle or delivery.refusal is not None
        return None if is_done else delivery.wait_s(TICK_S)

    def disconnected(self, reason: Disconnection) -> float:
        """Record the reason; return the wait before the next attempt in seconds."""
        delivery, self._delivery, self._connection = self._delivery, None, None
        self._shortened += 0 if delivery is None else delivery.shortened
        if isinstance(reason, Lost):
            topic = delivery.unproven_topic if delivery is not None else None
            refusal = delivery.refusal if delivery is not None else None
            is_explained = delivery is not None and delivery.lost(reason)
            wait_s = self._state.lost(reason, topic, refusal, is_explained)
            if self._state.refusal is not None:  # said first, before the broker hangs up again
                self._set_status("degraded", self._state.refusal)
            return wait_s
        if isinstance(reason, HandlerFailed):
            return self._state.failed(f"publisher failed: {reason.text}", needs_person=True)
        return self._state.failed(reason.text, reason.needs_person)

    def _clear_if_stale(self, event: Received) -> None:
        """Remove a retained message of a camera that is no longer configured.

        Only of a camera: some brokers send a client retained messages that it has not subscribed
        to, and the workstation's `desired` is not ours to remove.
        """
        topics = self._topics.alarm_level("+"), self._topics.camera_state("+")
        is_cameras = any(topic_matches_sub(pattern, event.topic) for pattern in topics)
        is_stale = is_cameras and event.payload and not self._outgoing.retains(event.topic)
        if is_stale:
            self._outgoing.clear(event.topic)

    def _deliver(self, delivery: Delivery) -> None:
        if self._is_refusal_noted and self._state.may_retry():
            delivery.resume()
            self._is_refusal_noted = False
        try:
            delivery.pump()
            self._outbox_reason = None
        except OutboxError as error:
            self._outbox_reason = str(error)
        delivery.check_deadlines()
        if delivery.refusal is not None and not self._is_refusal_noted:
            self._is_refusal_noted = True
            self._state.refuse(delivery.refusal)
            self._state.retry_later()

    # -- the device's status --------------------------------------------------------------------

    def _update_status(self, delivery: Delivery) -> None:
        """Update `state`, which people read, and `status`, which the broker publishes."""
        is_acknowledged = self._outgoing.is_acknowledged
        reasons = (self._outbox_reason, self._troubles.text, *self._limit_texts())
        trouble = "; ".join(filter(None, reasons)) or None
        reason = self._state.update(delivery.is_proven, is_acknowledged, trouble)
        status_reason = reason or "; ".join(self._app_reasons.values())
        self._set_status("degraded" if status_reason else "online", status_reason)

    def _limit_texts(self) -> Iterator[str]:
        """Yield what the broker's limits cost."""
        limits = BrokerLimits() if self._connection is None else self._connection.limits
        if not limits.retain_available:
            yield (
                "the broker keeps no retained messages: who subscribes later sees no status, state "
                "or alarm level until it changes; allow them on the broker"
            )
        if self._outgoing.unsendable:
            (topic, size), *others = self._outgoing.unsendable.items()
            more = f" and {len(others)} more" if others else ""
            yield (
                f"{topic} ({size} bytes){more} not sent: the broker takes packets of at most "
                f"{limits.maximum_packet} bytes"
            )

    def _set_status(self, state: StatusName, reason: str) -> None:
        if (state, reason) == self._status:
            return
        self._status = (state, reason)
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = DeviceStatus(state=state, reason=reason, session=session, since=since)
        self._outgoing.retain(self._topics.status, message)
