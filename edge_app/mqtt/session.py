"""One MQTT session for publisher, agent and fleet: it connects, serves, waits and connects again.

connect → handler.connected → (events → handler.take → handler.work → publish) … → lost
   ↑                                                                                 ↓
   └────────── wait for as many seconds as handler.disconnected returns ─────────────┘

At the end of an orderly stop the last messages are published and their acknowledgement awaited, so
that the broker does not send the last will.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import Protocol

from edge_app.errors import EdgeError
from edge_app.mqtt.connection import (
    Acked,
    Connection,
    Event,
    Lost,
    Received,
    SubscriptionRefused,
    Will,
)
from edge_app.mqtt.dial import DialFailure, dial
from edge_app.mqtt.limited_log import LimitedLog
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.settings import MqttSettings

_log = logging.getLogger(__name__)

TICK_S = 0.5
"""How often the handler may look at its deadlines when nothing happens."""
MAX_EVENTS_PER_STEP = 200
"""Then the handler works, however fast more events come: a flood of messages holds no alert up."""
MAX_FAILED_REMEMBERED = 1000
GOODBYE_S = 1.0
"""For the acknowledgement of the last messages, even if the time to stop is used up."""
MAX_HANG_UPS = 2
"""mosquitto 2.0.11 hangs up after a publish that its ACL denies: so many connections in a row that
end early are a refusal, not a weak network."""


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The broker acknowledged one of the outgoing messages with a refusal."""

    topic: str
    text: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """The handler raised an exception: the session begins again with a new connection."""

    text: str


SessionEvent = Acked | PublishRefused | Received | SubscriptionRefused
Disconnection = DialFailure | Lost | HandlerFailed


class SessionHandler(Protocol):
    """What is done with a connection; all of it is called in the session's thread."""

    def connected(self, connection: Connection) -> None:
        """Subscribe; outgoing messages are published after this."""

    def take(self, event: SessionEvent) -> None:
        """Take one event of this connection."""

    def work(self) -> float | None:
        """Do what is due; return in how many seconds at most to be called again.

        None: nothing else has to be sent, so that the session may end after `stop`. It is called
        after every event and at least every TICK_S.
        """

    def disconnected(self, reason: Disconnection) -> float:
        """Note that there is no connection; return the wait before the next attempt in seconds."""


class Presence(Protocol):
    """The client's own status messages: its last will, and its last messages."""

    def will(self) -> Will:
        """Return what the broker publishes if the connection breaks."""

    def say_goodbye(self) -> None:
        """Add the last messages of an orderly end to the outgoing ones."""


class Session:
    """A connection that is renewed when it is lost.

    Either `start` and `stop`, which run it in a thread of its own, or `step` and `close`, which run
    it in the caller's.

    Args:
        client_id: must be unique on the broker.
        outgoing: messages that the session publishes; after adding one call `wake`.
        presence: last will and last messages; None publishes none.
        monotonic_s: clock for waits and deadlines.

    Attributes:
        messages_failed: received messages that the handler could not take twice: passed over.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        handler: SessionHandler,
        outgoing: Outgoing,
        presence: Presence | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._handler = handler
        self._outgoing = outgoing
        self._presence = presence
        self._now_s = monotonic_s
        self._connection: Connection | None = None
        self._retry_at_s = -float("inf")
        self._stop_at_s = float("inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_awake = False
        self._next_work_s: float | None = 0.0
        self._has_ended = False
        self._was_stopping = False
        self._heartbeat_ns = time.monotonic_ns()
        self._failures = LimitedLog(_log, monotonic_s)
        self._failed: deque[int] = deque(maxlen=MAX_FAILED_REMEMBERED)
        self.messages_failed = 0

    # -- called from any thread -----------------------------------------------------------------

    def start(self, name: str, log: logging.Logger) -> None:
        """Run in a thread of this name; returns at once.

        Args:
            log: for the traceback of a handler that fails.
        """
        self._thread = threading.Thread(target=self._run, args=(log,), name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what waits until the time is over, then publish the last messages and disconnect.

        Takes up to GOODBYE_S and a tick more; does not wait at all if it was never started.
        """
        self._stop_at_s = self._now_s() + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout_s + GOODBYE_S + TICK_S)

    def wake(self) -> None:
        """Have the thread send new messages at once, instead of at its next tick."""
        connection = self._connection
        if connection is not None and not self._is_awake:
            self._is_awake = True
            connection.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopping.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended after `stop`."""
        return self._has_ended

    @property
    def connection(self) -> Connection | None:
        """The connection that there is now."""
        return self._connection

    @property
    def heartbeat_ns(self) -> int:
        """When the session last made progress, monotonic ns, for the watchdog.

        Waiting before the next attempt is progress; one attempt to connect is one step.
        """
        return self._heartbeat_ns

    # -- the session's thread -------------------------------------------------------------------

    def step(self, timeout_s: float) -> None:
        """Try to connect, or wait for events or for the next attempt, for so long at most."""
        self._heartbeat_ns = time.monotonic_ns()
        wait_s = self._retry_at_s - self._now_s()
        if self._connection is not None:
            self._serve(self._connection, timeout_s)
        elif wait_s > 0:
            self._stopping.wait(min(timeout_s, wait_s))
        else:
            self._connect()

    def close(self) -> None:
        """Publish the last messages and disconnect, if there is a connection."""
        connection = self._connection
        if connection is None:
            return
        if self._presence is not None:
            self._presence.say_goodbye()
        self._outgoing.publish(connection)
        end_s = self._now_s() + GOODBYE_S
        is_lost = False
        while not (is_lost or self._outgoing.is_acknowledged) and self._now_s() < end_s:
            is_lost = self._take_events(connection, max(0.0, end_s - self._now_s())) is not None
            if not is_lost:
                self._outgoing.publish(connection)
        self._connection = None
        connection.close()

    def _run(self, log: logging.Logger) -> None:
        while self._connection is not None or not self._stopping.is_set():
            try:
                self.step(TICK_S)
                if self._may_end():
                    self.close()
            except Exception as error:  # the thread must outlive any single bad message
                log.exception("MQTT: %s failed and connects again", threading.current_thread().name)
                self._disconnect(HandlerFailed(str(error)))
        self._has_ended = True

    def _may_end(self) -> bool:
        return self._stopping.is_set() and (
            (self._was_stopping and self._next_work_s is None) or self._now_s() > self._stop_at_s
        )

    def _connect(self) -> None:
        will = None if self._presence is None else self._presence.will()
        answer = dial(self._settings, self._client_id, will)
        if isinstance(answer, DialFailure):
            self._disconnect(answer)
            return
        self._outgoing.begin()
        self._next_work_s = TICK_S
        self._connection = answer
        self._handler.connected(answer)
        self._outgoing.publish(answer)

    def _serve(self, connection: Connection, timeout_s: float) -> None:
        if self._next_work_s is not None:
            timeout_s = min(timeout_s, self._next_work_s)
        lost = self._take_events(connection, timeout_s)
        if lost is not None:
            self._disconnect(lost)
            return
        self._was_stopping = (
            self._stopping.is_set()
        )  # before the work: what came until then is done
        self._next_work_s = self._handler.work()
        self._outgoing.publish(connection)

    def _disconnect(self, reason: Disconnection) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._retry_at_s = self._now_s() + self._handler.disconnected(reason)

    def _take_events(self, connection: Connection, timeout_s: float) -> Lost | None:
        """Wait for something to happen and take all of it; return how the connection was lost."""
        for event in self._events(connection, timeout_s):
            if isinstance(event, Lost):
                return event
            if isinstance(event, Acked):
                self._take_acknowledgement(event)
            elif isinstance(event, Received):
                connection.taken(event)
                self._hand_on(event)
            elif isinstance(event, SubscriptionRefused):
                self._handler.take(event)
        return None

    def _hand_on(self, event: Received) -> None:
        """Give a message to the handler.

        One that makes it fail ends the connection: the next one brings it again, and what failed
        may work then (a full disk). If it fails again it is passed over, else it would end every
        connection, for ever.
        """
        try:
            self._handler.take(event)
        except EdgeError:  # meant for the caller of `step`
            raise
        except Exception as error:
            key = hash((event.topic, event.payload))
            if key not in self._failed:
                self._failed.append(key)
                raise
            self.messages_failed += 1
            what = f"{type(error).__name__}: {error}"[:200]
            self._failures.warning(
                f"take {type(error).__name__}",
                f"MQTT: a message on {event.topic[:200]!r} ({len(event.payload)} bytes) "
                f"could not be handled and was passed over: {what!r}",
            )

    def _events(self, connection: Connection, timeout_s: float) -> Iterator[Event | None]:
        with suppress(Empty):
            yield connection.events.get(timeout=timeout_s)
            for _ in range(MAX_EVENTS_PER_STEP):
                self._is_awake = False
                yield connection.events.get_nowait()
        self._is_awake = False  # also if the wake-up went to a connection that is gone

    def _take_acknowledgement(self, event: Acked) -> None:
        topic = self._outgoing.acknowledge(event.mid)
        if topic is None:
            self._handler.take(event)
        elif event.refusal is not None:
            self._handler.take(PublishRefused(topic, event.refusal, event.code))
