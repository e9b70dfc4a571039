"""A connection to a broker that takes everything at once, for tests of what is sent."""

from __future__ import annotations

import time
from typing import cast

from edge_app.mqtt.alert_troubles import AlertTroubles
from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.broker_limits import BrokerLimits
from edge_app.mqtt.connection import Acked, Connection
from edge_app.mqtt.delivery import Delivery
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.send_window import SendWindow
from edge_app.mqtt.topics import Topics
from support.alert_drafts import WHO

ROUNDS = 300
"""More than any test's alerts need: a delivery that never ends fails instead of hanging."""


class AcceptingBroker:
    """Delivers from an outbox and acknowledges each message when told."""

    def __init__(self, outbox: Outbox) -> None:
        self.is_mqtt5 = True
        self.limits = BrokerLimits()
        self.window = SendWindow(self.limits.receive_maximum)
        self._mid = 0
        self._sent: list[tuple[int, bytes]] = []
        self.delivery = Delivery(
            outbox,
            Topics(WHO),
            cast(Connection, self),
            AlertTroubles(Backoff(1.0, 30.0, lambda: 0.0), time.monotonic),
            "probe",
            time.time_ns,
            time.monotonic,
        )

    def room(self, lane: str) -> int:
        """Return the room of a window that is never full."""
        return 1000

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> int:
        """Take a message."""
        self._mid += 1
        self._sent.append((self._mid, payload if topic.endswith("/alert") else b""))
        return self._mid

    def takes(self) -> list[Alert]:
        """Let everything that may go arrive; return the alerts."""
        found: list[Alert] = []
        for _ in range(ROUNDS):
            self.delivery.pump()
            sent, self._sent = self._sent, []
            if not sent:
                break
            for mid, payload in sent:
                found += [Alert.model_validate_json(payload)] if payload else []
                self.delivery.acked(Acked(mid, None))
        return found
