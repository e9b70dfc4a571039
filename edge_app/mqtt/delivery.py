"""From the outbox to one connection, in order, and out of the outbox only when it has arrived.

A connection starts unproven: one probe is sent, then one alert, and only when that has arrived as
many as WINDOW. So a broker that refuses publishes gets one message at a time and nothing overtakes.

Arrived means: acknowledged without a refusal. An MQTT 3.1.1 broker acknowledges even what its ACL
throws away, so there the device also subscribes to its own alerts and waits for each to come back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.mqtt.outbox import Outbox, StoredAlert
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import Topics

WINDOW = 20
"""Alerts on their way at once; mosquitto's default for `max_inflight_messages` is the same."""
ECHO_TIMEOUT_S = 5.0
"""From the acknowledgement to the echo; on a plant network both take milliseconds."""
ACK_TIMEOUT_S = 30.0
"""A broker that answers pings but acknowledges nothing this long is hung: connect anew."""
PROBE_SEQ = 0


def refusal_text(why: str, topic: str) -> str:
    """Return what people read when the broker does not take a message."""
    return (
        f"publish refused: {why} ({topic}); the broker's ACL must let this device write and read "
        "its own topics"
    )


@dataclass(slots=True)
class _Flight:
    seq: int
    topic: str
    message_id: str
    sent_at_s: float
    is_acked: bool = False
    has_come_back: bool = False


class Delivery:
    """The state of one connection's deliveries. Not thread-safe; does no waiting itself.

    Args:
        needs_echo: the protocol is 3.1.1 (see above).
        send: publishes with QoS 1 and returns the packet's number.
        probe_id: a fresh id for the probe.
        now_ns: wall clock.
        now_s: monotonic clock.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        needs_echo: bool,
        send: Callable[[str, bytes], int],
        probe_id: str,
        now_ns: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._needs_echo = needs_echo
        self._send = send
        self._probe_id = probe_id
        self._now_ns = now_ns
        self._now_s = now_s
        self._flights: dict[int, _Flight] = {}
        self._arrived: list[int] = []
        self.resume()

    # -- sending --------------------------------------------------------------------------------

    def resume(self) -> None:
        """Begin with the probe again; all that waits from now on counts as replayed."""
        self.refusal: str | None = None
        self._flights.clear()
        self._is_probed = self._is_proven = False
        self._sent_seq = 0
        self._replayed_until = self._outbox.last_seq

    def pump(self) -> None:
        """Forget what has arrived and send what fits into the window.

        Raises:
            OutboxError: the outbox cannot be read or written; nothing is lost, call again.
        """
        if self._arrived:
            self._outbox.delete(*self._arrived)
            self._arrived.clear()
        if self.refusal is not None:
            return
        if not self._is_probed:
            self._send_probe()
            return
        room = (WINDOW if self._is_proven else 1) - len(self._flights)
        if room > 0:
            for alert in self._outbox.next_batch(room, self._sent_seq):
                self._send_alert(alert)

    def _send_probe(self) -> None:
        if not self._flights:
            payload = json.dumps({"message_id": self._probe_id}).encode()
            self._fly(PROBE_SEQ, self._topics.probe, self._probe_id, payload)

    def _send_alert(self, alert: StoredAlert) -> None:
        body = json.loads(alert.body)
        is_earlier = alert.session < self._outbox.session or alert.seq <= self._replayed_until
        body |= {"seq": alert.seq, "session": alert.session, "replayed": is_earlier}
        body["published_at"] = rfc3339(self._now_ns())
        body |= alert.numbering
        payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        self._fly(alert.seq, self._topics.alert(alert.camera), body["message_id"], payload)
        self._sent_seq = alert.seq

    def _fly(self, seq: int, topic: str, message_id: str, payload: bytes) -> None:
        mid = self._send(topic, payload)
        self._flights[mid] = _Flight(seq, topic, message_id, self._now_s())

    # -- answers --------------------------------------------------------------------------------

    def acked(self, mid: int, refusal: str | None) -> None:
        """Take the broker's answer to one packet; numbers of other packets are ignored."""
        flight = self._flights.get(mid)
        if flight is None:
            return
        if refusal is not None:
            self.refusal = refusal_text(refusal, flight.topic)
            return
        flight.is_acked = True
        self._settle(mid, flight)

    def came_back(self, payload: bytes) -> None:
        """Take a message of ours that the broker has handed back."""
        try:
            message_id = json.loads(payload)["message_id"]
        except (ValueError, KeyError, TypeError):
            return
        for mid, flight in list(self._flights.items()):
            if flight.message_id == message_id:
                flight.has_come_back = True
                self._settle(mid, flight)

    def _settle(self, mid: int, flight: _Flight) -> None:
        if not flight.is_acked or (self._needs_echo and not flight.has_come_back):
            return
        del self._flights[mid]
        if flight.seq == PROBE_SEQ:
            self._is_probed = True
        else:
            self._is_proven = True
            self._arrived.append(flight.seq)

    def check_deadlines(self) -> None:
        """Notice a message that a 3.1.1 broker acknowledged and threw away."""
        now_s = self._now_s()
        for flight in self._flights.values():
            if flight.is_acked and now_s - flight.sent_at_s > ECHO_TIMEOUT_S:
                self.refusal = refusal_text("acknowledged but not delivered", flight.topic)
                return

    def wait_s(self, at_most_s: float) -> float:
        """Return how long to wait for news: an alert may be held back for its evidence."""
        return self._outbox.wait_s(at_most_s)

    @property
    def is_hung(self) -> bool:
        """The broker has acknowledged nothing for too long."""
        oldest_s = min(
            (f.sent_at_s for f in self._flights.values() if not f.is_acked), default=None
        )
        return oldest_s is not None and self._now_s() - oldest_s > ACK_TIMEOUT_S

    @property
    def is_proven(self) -> bool:
        """The probe has arrived, and an alert if there was one to send: nothing is refused."""
        is_served = self._is_proven or (self._is_probed and self._outbox.depth() == 0)
        return is_served and self.refusal is None

    @property
    def unproven_topic(self) -> str | None:
        """What had not arrived yet: the probe or the first alert; None once nothing is in doubt."""
        if self._is_proven or (self._is_probed and not self._flights):
            return None
        return next((flight.topic for flight in self._flights.values()), self._topics.probe)

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way and nothing waits."""
        return not self._flights and not self._arrived and self._outbox.depth() == 0
