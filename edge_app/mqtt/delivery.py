"""From the outbox to one connection, in order, and out of the outbox only when it has arrived.

A connection starts unproven: one probe is sent, then one alert, and only when that has arrived as
many as WINDOW and the broker's receive maximum allow. So a broker that refuses publishes gets one
message at a time and nothing overtakes; an alert that alone is refused is set aside
(`alert_troubles.py`).

Arrived means: acknowledged without a refusal. An MQTT 3.1.1 broker acknowledges even what its ACL
throws away, so there the device also subscribes to its own alerts and waits for each to come back.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_app.errors import ConfigError
from edge_app.mqtt.alert_troubles import AlertTroubles
from edge_app.mqtt.connection import Acked, Connection, Lost, Received
from edge_app.mqtt.outbox import Outbox, StoredAlert
from edge_app.mqtt.outbox_rows import MAX_SEQ
from edge_app.mqtt.reason_words import PACKET_TOO_LARGE, advice
from edge_app.mqtt.shorten import payload_of, payload_within
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import Topics, check_name
from edge_app.records import JsonObject

WINDOW = 20
"""Alerts on their way at once; mosquitto's default for `max_inflight_messages` is the same."""
MAX_SCAN = 200
"""Stored alerts looked at in one call, past those that are set aside."""
ECHO_TIMEOUT_S = 5.0
"""From the acknowledgement to the echo; on a plant network both take milliseconds."""
ACK_TIMEOUT_S = 30.0
"""A broker that answers pings but acknowledges nothing this long is hung: connect anew."""
HANG_UP_S = 5.0
"""A connection that ends so soon after its only alert was sent may have ended because of it; a weak
network takes longer to be noticed."""
PROBE_SEQ = 0
NOT_THE_ALERT = frozenset({0x89, 0x8B, 0x8D, 0x8E, 0x96, 0x97, 0x98, 0x9C, 0x9D, 0xA0})
"""Reason codes that say nothing about a single message: busy, shutting down, quota, moved."""


def refusal_text(why: str, topic: str, code: int = 0) -> str:
    """Return what people read when the broker does not take a message; `code` is MQTT 5's or 0."""
    cure = advice(code or 0x87)
    return f"publish refused: {why} ({topic}); {cure}"


@dataclass(slots=True)
class _Flight:
    seq: int
    topic: str
    payload: bytes
    sent_at_s: float
    is_acked: bool = False
    has_come_back: bool = False


class Delivery:
    """The state of one connection's deliveries. Not thread-safe; does no waiting itself.

    On MQTT 3.1.1 it needs each message's echo (see above).

    Args:
        connection: where alerts go.
        troubles: alerts that the broker did not take so far.
        probe_id: a fresh id for the probe.
        now_ns: wall clock.
        now_s: monotonic clock.

    Attributes:
        refusal: why nothing is sent until `resume`; None: it is sent.
        shortened: how many alerts were sent without all they hold.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        connection: Connection,
        troubles: AlertTroubles,
        probe_id: str,
        now_ns: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._connection = connection
        self._needs_echo = not connection.is_mqtt5
        self._troubles = troubles
        self._probe_id = probe_id
        self._now_ns = now_ns
        self._now_s = now_s
        self._flights: dict[int, _Flight] = {}
        self._arrived: list[int] = []
        self._sent_seq = self._skipped = 0
        self._sent_here: deque[int] = deque(maxlen=4 * WINDOW)
        self.shortened = 0
        self.resume()

    # -- sending --------------------------------------------------------------------------------

    def resume(self) -> None:
        """Begin with the probe again; all that waits from now on counts as replayed."""
        self.refusal: str | None = None
        self._troubles.lost([flight.seq for flight in self._flights.values()])
        self._flights.clear()
        self._is_probed = self._is_proven = False
        self._replayed_until = self._outbox.last_seq
        self._scan_again()

    def pump(self) -> None:
        """Forget what has arrived and send what fits into the window.

        Raises:
            OutboxError: the outbox cannot be read or written; nothing is lost, call again.
        """
        if self._arrived:
            self._outbox.delete(*self._arrived)
            self._arrived.clear()
        if self._connection.limits.maximum_qos == 0:
            self.refusal = NO_QOS_TEXT
        if self.refusal is not None:
            self._connection.window.used("alerts", 0, has_more=False)
        elif not self._is_probed:
            self._send_probe()
        else:
            self._send_alerts()

    def _send_probe(self) -> None:
        if self._flights:
            return
        room = self._connection.room("alerts")
        if room:
            payload = json.dumps({"message_id": self._probe_id}).encode()
            self._fly(PROBE_SEQ, self._topics.probe, payload)
        self._connection.window.used("alerts", min(room, 1), has_more=not room)

    def _send_alerts(self) -> None:
        if self._troubles.parole(self._waiting <= 0) or self._waiting < 0:
            self._scan_again()
        wanted = (1 if self._is_careful else WINDOW) - len(self._flights)
        room = min(wanted, self._connection.room("alerts"))
        count = 0
        if room > 0:
            for alert in self._candidates(room):
                count += self._send_alert(alert)
                if count == room:
                    break
        is_held = wanted > count and room == count and self._waiting > 0
        self._connection.window.used("alerts", count, has_more=is_held)

    def _candidates(self, room: int) -> Iterator[StoredAlert]:
        """Yield stored alerts in order, past those that are set aside or on their way."""
        under_way = {flight.seq for flight in self._flights.values()}.union(self._arrived)
        looked_at = 0
        while not (is_over := looked_at >= MAX_SCAN):
            batch = self._outbox.next_batch(room, self._sent_seq)
            looked_at += len(batch)
            for alert in batch:
                self._sent_seq = alert.seq
                if alert.seq in under_way:
                    continue
                if self._troubles.skips(alert.seq, self._topics.alert(alert.camera)):
                    self._skipped += 1
                    self._seen_aside.add(alert.seq)
                else:
                    yield alert
            if not batch:
                self._forget_missing()
                break
        self._has_more_to_scan = is_over

    def _forget_missing(self) -> None:
        """Forget what was set aside and has left the outbox otherwise."""
        flights = (flight.seq for flight in self._flights.values())
        known = self._seen_aside.union(flights, self._arrived)
        is_all = self._outbox.depth() <= len(known)
        if not self._flights and self._waiting > 0:  # numbers below the last one have come
            self._scan_again()
        self._troubles.forget_missing(MAX_SEQ if is_all else self._sent_seq, known)

    def _send_alert(self, alert: StoredAlert) -> int:
        """Send one alert; return how many were sent: 0 if it had to be set aside."""
        topic = self._topics.alert(alert.camera)
        try:
            body = self._body(alert)
        except (ConfigError, ValueError, RecursionError, TypeError) as error:
            why = f"stored alert {alert.seq} cannot be sent, is the disk damaged? {error}"
            return self._set_aside(alert.seq, topic, why)
        announced = self._connection.limits.payload_room(topic)
        room = self._troubles.room(alert.seq, announced)
        payload = payload_within(body, room)
        if payload is None:
            why = (
                f"alert {alert.seq} does not fit: the broker takes packets of at most "
                f"{self._connection.limits.maximum_packet} bytes, raise its maximum packet size"
            )
            return self._set_aside(alert.seq, topic, why)
        self.shortened += len(payload) < len(payload_of(body))
        self._fly(alert.seq, topic, payload)
        return 1

    def _set_aside(self, seq: int, topic: str, why: str) -> int:
        self._troubles.set_aside(seq, topic, why)
        self._skipped += 1
        self._seen_aside.add(seq)
        return 0

    def _body(self, alert: StoredAlert) -> JsonObject:
        """Return an alert with what is only known when it is sent.

        Raises:
            ConfigError, ValueError, RecursionError, TypeError: the stored row is damaged.
        """
        check_name(alert.camera, "camera")
        body: JsonObject = json.loads(alert.body)
        is_earlier = alert.session < self._outbox.session or alert.seq <= self._replayed_until
        body |= {"seq": alert.seq, "session": alert.session, "replayed": is_earlier}
        body |= alert.numbering
        return body | {"published_at": rfc3339(self._now_ns()), "shortened": None}

    def _fly(self, seq: int, topic: str, payload: bytes) -> None:
        self._sent_here.append(hash((topic, payload)))
        mid = self._connection.publish(topic, payload)
        self._flights[mid] = _Flight(seq, topic, payload, self._now_s())

    def _scan_again(self) -> None:
        self._sent_seq = self._skipped = 0
        self._seen_aside: set[int] = set()
        self._has_more_to_scan = False

    # -- answers --------------------------------------------------------------------------------

    def acked(self, event: Acked) -> None:
        """Take the broker's answer to one packet; numbers of other packets are ignored."""
        flight = self._flights.get(event.mid)
        if flight is None:
            return
        if event.refusal is not None:
            self._refuse(flight, event.refusal, event.code)
            return
        flight.is_acked = True
        self._settle(event.mid, flight)

    def came_back(self, event: Received) -> bool:
        """Take what the broker has handed back; return whether it is a message of ours.

        It is compared, not read: whatever somebody else publishes there costs nothing.
        """
        for mid, flight in list(self._flights.items()):
            if (flight.topic, flight.payload) == (event.topic, event.payload):
                flight.has_come_back = True
                self._settle(mid, flight)
                return True
        return hash((event.topic, event.payload)) in self._sent_here  # of an earlier attempt

    def _settle(self, mid: int, flight: _Flight) -> None:
        if not flight.is_acked or (self._needs_echo and not flight.has_come_back):
            return
        del self._flights[mid]
        if flight.seq == PROBE_SEQ:
            self._is_probed = True
        else:
            self._is_proven = True
            self._arrived.append(flight.seq)
            if self._troubles.arrived(flight.seq, flight.topic):
                self._scan_again()  # those before it were passed over

    def _refuse(self, flight: _Flight, why: str, code: int) -> None:
        """Stop until `resume`, or go on with the next alert if this one has been set aside."""
        text = refusal_text(why, flight.topic, code)
        is_of_size = None if code == 0 else code == PACKET_TOO_LARGE
        if flight.seq == PROBE_SEQ or code in NOT_THE_ALERT:
            self.refusal = text
            return
        self._troubles.blame(flight.seq, flight.topic, len(flight.payload), text, is_of_size)
        if not self._troubles.is_aside(flight.seq):
            self.refusal = text
            return
        self._flights = {mid: f for mid, f in self._flights.items() if f is not flight}
        self._skipped += 1
        self._seen_aside.add(flight.seq)

    def lost(self, event: Lost) -> bool:
        """Find out which alert may be why the connection ended; return whether there is one."""
        unanswered = [f for f in self._flights.values() if f.seq != PROBE_SEQ and not f.is_acked]
        self._troubles.lost([flight.seq for flight in unanswered])
        if len(unanswered) != 1 or event.code in NOT_THE_ALERT:
            return False
        flight = unanswered[0]
        age_s = self._now_s() - flight.sent_at_s
        is_why = age_s <= HANG_UP_S or age_s >= ACK_TIMEOUT_S
        if is_why:
            is_silent = age_s >= ACK_TIMEOUT_S
            why = "the broker does not acknowledge it" if is_silent else "the broker hangs up on it"
            is_of_size = True if event.code == PACKET_TOO_LARGE else None
            text = refusal_text(why if event.code == 0 else event.text, flight.topic, event.code)
            self._troubles.blame(flight.seq, flight.topic, len(flight.payload), text, is_of_size)
        return is_why

    def check_deadlines(self) -> None:
        """Notice a message that a 3.1.1 broker acknowledged and threw away."""
        now_s = self._now_s()
        for flight in self._flights.values():
            if flight.is_acked and now_s - flight.sent_at_s > ECHO_TIMEOUT_S:
                self._refuse(flight, "acknowledged but not delivered", 0)
                return

    def wait_s(self, at_most_s: float) -> float:
        """Return how long to wait for news: an alert may be held back for its evidence."""
        if self._has_more_to_scan:
            return 0.0
        return self._outbox.wait_s(at_most_s)

    @property
    def is_hung(self) -> bool:
        """The broker has acknowledged nothing for too long."""
        oldest_s = min(
            (f.sent_at_s for f in self._flights.values() if not f.is_acked), default=None
        )
        return oldest_s is not None and self._now_s() - oldest_s > ACK_TIMEOUT_S

    @property
    def _is_careful(self) -> bool:
        """Alerts go one at a time: nothing has arrived yet, or one of those ahead is suspected."""
        troubles = self._troubles
        if not self._is_proven or self._sent_seq < troubles.careful_until:
            return True
        return self._outbox.waits_in_memory(troubles.careful_keys)

    @property
    def _waiting(self) -> int:
        """How many stored alerts are still to be sent: neither on their way nor set aside."""
        return self._outbox.depth() - self._skipped - len(self._flights) - len(self._arrived)

    @property
    def is_proven(self) -> bool:
        """The probe has arrived, and an alert if there was one to send: nothing is refused."""
        is_served = self._is_proven or (
            self._is_probed and not self._flights and self._waiting <= 0
        )
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
        return not self._flights and not self._arrived and self._waiting <= 0


NO_QOS_TEXT = (
    "the broker takes QoS 0 only, which acknowledges nothing: alerts stay stored and are not sent; "
    "allow QoS 1 on the broker"
)
