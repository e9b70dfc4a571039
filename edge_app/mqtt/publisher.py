"""What the app calls to publish: alerts from the outbox, retained messages, results, health.

The thread behind it is a `Session` that serves a `PublisherHandler`.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from edge_app.mqtt.messages import (
    CameraAlarmLevel,
    CameraState,
    CameraStateName,
    DeviceInfo,
    Health,
    MessageCounts,
    PartResult,
)
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.publisher_handler import PublisherHandler
from edge_app.mqtt.publisher_state import PublisherState
from edge_app.mqtt.session import Session
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName, Topics
from edge_app.mqtt.topics import client_id as make_client_id

__all__ = ["MqttSettings", "Publisher"]

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes alerts from the outbox, the device's retained messages, health and results.

    Args:
        config: where the broker is.
        who: this device.
        outbox: alerts are appended there, then `wake` is called.
        info: what this device is; its cameras' alarm levels are cleared at the start.
        clock_ns: wall clock, ns since the epoch.
        monotonic_s: clock for waits and deadlines.
        random_unit: numbers in [0, 1) for the back-off.

    Attributes:
        messages_dropped: QoS 0 messages that had no connection to go to.
    """

    def __init__(
        self,
        config: MqttSettings,
        who: DeviceName,
        outbox: Outbox,
        info: DeviceInfo | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        client_id = config.client_id or make_client_id("inspect", who)
        self._topics = Topics(who)
        self._outbox = outbox
        self._clock_ns = clock_ns
        self._outgoing = Outgoing()
        self._state = PublisherState(config, outbox.depth, monotonic_s, random_unit, client_id)
        self._handler = PublisherHandler(
            self._topics, outbox, self._outgoing, self._state, clock_ns, monotonic_s
        )
        self._session = Session(
            config, client_id, self._handler, self._outgoing, self._handler, monotonic_s
        )
        self.messages_dropped = 0
        info = info or DeviceInfo(hardware="unknown")
        self._outgoing.retain(self._topics.info, info)
        for camera in info.cameras:
            self.set_alarm_level(camera.name, False)

    # -- called by the app, from any thread -----------------------------------------------------

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._session.start("mqtt-publisher", _log)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what waits, publish `stopped`, disconnect. What could not be sent stays stored."""
        self._session.stop(timeout_s)

    def heartbeat_ns(self) -> int:
        """When the thread last made progress, monotonic ns, for the watchdog."""
        return self._session.heartbeat_ns

    @property
    def state(self) -> str:
        """Return "connecting", "connected", "degraded: why" or "stopped", for people."""
        return "stopped" if self._session.has_ended else self._state.state

    @property
    def last_error(self) -> str:
        """Why there was no connection the last time; "" if that never happened."""
        return self._state.last_error

    @property
    def has_tried_broker(self) -> bool:
        """The broker has acknowledged `status`, or a first attempt to have it do so has failed."""
        return self.state != "connecting" or self.last_error != ""

    @property
    def messages_foreign(self) -> int:
        """How many messages others published on this device's alert topics, as far as it heard."""
        return self._handler.messages_foreign

    def take_foreign(self) -> tuple[str, bytes, str] | None:
        """Return one message of somebody else, for the dead-letter file: topic, payload, why."""
        try:
            return self._handler.foreign.popleft()
        except IndexError:
            return None

    def counts(self, foreign_kept: int = 0) -> MessageCounts:
        """Return how many messages did not go, or come, as they should."""
        return self._handler.counts(foreign_kept)

    def wake(self) -> None:
        """Call after `Outbox.append`: the alerts go out now instead of at the next tick."""
        self._session.wake()

    def set_info(self, info: DeviceInfo) -> None:
        """Publish, retained, what this device is now."""
        self._outgoing.retain(self._topics.info, info)
        self.wake()

    def set_camera_state(self, camera: str, state: CameraStateName, reason: str = "") -> None:
        """Publish, retained, what a camera is doing."""
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = CameraState(
            camera=camera, state=state, reason=reason, since=since, session=session
        )
        self._outgoing.retain(self._topics.camera_state(camera), message)
        self.wake()

    def set_alarm_level(self, camera: str, is_on: bool, part_id: str | None = None) -> None:
        """Publish, retained, a camera's alarm level for lamps and PLCs."""
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = CameraAlarmLevel(
            camera=camera, is_on=is_on, part_id=part_id, since=since, session=session
        )
        self._outgoing.retain(self._topics.alarm_level(camera), message)
        self.wake()

    def set_degraded(self, reason: str | None, source: str = "app") -> None:
        """Publish the status `degraded` for a reason of the app's own; None withdraws it.

        Args:
            source: whose reason it is; each source withdraws its own only.
        """
        self._handler.set_app_reason(source, reason)
        self.wake()

    def publish_result(self, result: PartResult) -> None:
        """Send one part's result, QoS 0; dropped and counted while there is no connection."""
        self._publish_lossy(self._topics.result(result.camera), result.payload())

    def publish_health(self, health: Health) -> None:
        """Send the figures, QoS 0; dropped and counted while there is no connection."""
        self._publish_lossy(self._topics.health, health.payload())

    def _publish_lossy(self, topic: str, payload: bytes) -> None:
        connection = self._session.connection
        if connection is None or not connection.publish_lossy(topic, payload):
            self.messages_dropped += 1
