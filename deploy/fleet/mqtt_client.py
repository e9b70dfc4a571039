"""The workstation's line to the broker: what the fleet says comes in, pointers go out.

One thread: nothing happens outside `pump` and `publish`.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from queue import Empty

from edge_app.errors import BrokerError
from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.connection import (
    Acked,
    Connection,
    Event,
    Lost,
    Received,
    SubscriptionRefused,
)
from edge_app.mqtt.dial import DialFailure, dial
from edge_app.mqtt.settings import MqttSettings

PLACE_TIMEOUT_S = 10.0
"""From a publish to its coming back; on a plant network it takes milliseconds."""
MAX_HANG_UPS = 2
"""mosquitto 2.0.11 hangs up after a publish that its ACL denies: so many in a row are a refusal."""
RETRY_MAX_S = 5.0
"""A person waits in front of the screen."""


class FleetLink:
    """A connection that is renewed when it is lost.

    Args:
        filters: what to subscribe to.
        take: gets every message's topic and payload.
        note: gets one line per trouble.

    Raises:
        BrokerError: no connection, login or subscription the first time.
    """

    def __init__(
        self,
        settings: MqttSettings,
        filters: Sequence[str],
        take: Callable[[str, bytes], None],
        note: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._filters = filters
        self._take = take
        self._note = note
        self._client_id = settings.client_id or f"edge-deploy-{secrets.token_hex(4)}"
        self._backoff = Backoff(settings.reconnect_min_s, RETRY_MAX_S, random.random)
        self._refusals: dict[int, str] = {}
        self._acked: set[int] = set()
        self._awaited: tuple[str, bytes] | None = None
        self._connection = self._open()

    def pump(self, for_s: float) -> None:
        """Take in what comes for so long.

        Raises:
            BrokerError: the broker refuses the login or the subscription.
        """
        end_s = time.monotonic() + for_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._pump_once(left_s)

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        """Place a message and wait until the broker has handed it back: the filters name its topic.

        Raises:
            BrokerError: it does not take it, or not from us.
        """
        for _ in range(MAX_HANG_UPS):
            self._awaited = (topic, payload)
            connection = self._connection
            mid = connection.publish(topic, payload, retain)
            end_s = time.monotonic() + PLACE_TIMEOUT_S
            while self._connection is connection and time.monotonic() < end_s:
                if mid in self._refusals:
                    raise _refused(topic, self._refusals.pop(mid))
                if mid in self._acked and self._awaited is None:
                    return
                self._pump_once(0.1)
            if self._connection is connection:
                raise _refused(topic, "it did not come back")
        raise _refused(topic, "the broker hangs up on it")

    def close(self) -> None:
        """Say goodbye."""
        self._connection.close()

    def _pump_once(self, for_s: float) -> None:
        """Wait for one event; a lost connection is renewed before this returns."""
        try:
            event = self._connection.events.get(timeout=for_s)
        except Empty:
            return
        if not isinstance(event, Lost):
            self._handle(event)
            return
        self._note(f"connection lost: {event.text}; connecting anew")
        self._connection.close()
        self._connection = self._reopen()

    def _handle(self, event: Event | None) -> None:
        if isinstance(event, Received):
            if (event.topic, event.payload) == self._awaited:
                self._awaited = None
            self._take(event.topic, event.payload)
        elif isinstance(event, Acked) and event.refusal is None:
            self._acked.add(event.mid)
        elif isinstance(event, Acked):
            self._refusals[event.mid] = event.refusal or ""
        elif isinstance(event, SubscriptionRefused):
            raise BrokerError(
                f"broker refused the subscription: {event.text}; its ACL must let this user read "
                f"{', '.join(self._filters)}"
            )

    def _open(self) -> Connection:
        answer = dial(self._settings, self._client_id, will=None)
        if isinstance(answer, DialFailure):
            raise BrokerError(answer.text)
        self._refusals.clear()
        self._acked.clear()
        answer.subscribe(*self._filters)
        return answer

    def _reopen(self) -> Connection:
        while True:
            time.sleep(self._backoff.next_s())
            try:
                connection = self._open()
            except BrokerError as error:
                self._note(f"{error}; trying again")
                continue
            self._backoff.reset()
            return connection


def _refused(topic: str, why: str) -> BrokerError:
    return BrokerError(
        f"publish refused: {why} ({topic}); the broker's ACL must let this user write and read it, "
        "see docs/mqtt.md"
    )
