"""The one thread that talks to the broker. Everything it must not forget is in the outbox.

dial (MQTT 5, else 3.1.1) → retained messages → probe → alerts in order → … → lost → wait → dial
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from queue import Empty

from edge_app.errors import OutboxError
from edge_app.mqtt.connection import Acked, Connection, Event, Lost, Received, Will
from edge_app.mqtt.delivery import Delivery, refusal_text
from edge_app.mqtt.dial import DialFailure, dial
from edge_app.mqtt.messages import (
    CameraAlarmLevel,
    CameraState,
    CameraStateName,
    DeviceInfo,
    DeviceStatus,
    Health,
    PartResult,
    StatusName,
)
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.retained import Retained
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.standing import Standing
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName, Topics

TICK_S = 0.5
"""How often deadlines are looked at when nothing happens."""
GOODBYE_S = 1.0
"""For the acknowledgement of `stopped`, even if the time to stop is used up."""

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
        self._config = config
        self._topics = Topics(who)
        self._client_id = config.client_id or f"inspect-{who.site}-{who.line}-{who.device}"
        self._outbox = outbox
        self._clock_ns = clock_ns
        self._now_s = monotonic_s
        self._standing = Standing(config, outbox.depth, monotonic_s, random_unit)
        self._retained = Retained()
        self._retained_mids: dict[int, str] = {}
        self._connection: Connection | None = None
        self._is_awake = False
        self._stopping = threading.Event()
        self._stop_at_s = float("inf")
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)
        self._app_reasons: dict[str, str] = {}
        self._app_reasons_lock = threading.Lock()
        self._outbox_reason: str | None = None
        self._status: tuple[StatusName, str] | None = None
        self._heartbeat_ns = time.monotonic_ns()
        self.messages_dropped = 0
        self._remember_start(info or DeviceInfo(hardware="unknown"))

    def _remember_start(self, info: DeviceInfo) -> None:
        self._set_status("online", "")
        self._retained.set(self._topics.info, info)
        for camera in info.cameras:
            self.set_alarm_level(camera.name, False)

    # -- called by the app, from any thread -----------------------------------------------------

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what waits, say `stopped`, disconnect. What could not be sent stays stored."""
        self._stop_at_s = self._now_s() + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s + GOODBYE_S + TICK_S)

    def heartbeat_ns(self) -> int:
        """When the thread last went round, monotonic ns, for the watchdog.

        Waiting before the next attempt is progress; one attempt to connect is one round.
        """
        return self._heartbeat_ns

    @property
    def state(self) -> str:
        """Return "connecting", "connected", "degraded: why" or "stopped", for people."""
        return self._standing.state

    @property
    def last_error(self) -> str:
        """Why there was no connection the last time; "" if that never happened."""
        return self._standing.last_error

    @property
    def is_told(self) -> bool:
        """The broker has acknowledged `status`, or why it could not be told is known."""
        return self.state != "connecting" or self.last_error != ""

    def wake(self) -> None:
        """Call after `Outbox.append`: the alerts go out now instead of at the next tick."""
        connection = self._connection
        if connection is not None and not self._is_awake:
            self._is_awake = True
            connection.events.put(None)

    def set_info(self, info: DeviceInfo) -> None:
        """Publish, retained, what this device is now."""
        self._retained.set(self._topics.info, info)
        self.wake()

    def set_camera_state(self, camera: str, state: CameraStateName, reason: str = "") -> None:
        """Publish, retained, what a camera is doing."""
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = CameraState(
            camera=camera, state=state, reason=reason, since=since, session=session
        )
        self._retained.set(self._topics.camera_state(camera), message)
        self.wake()

    def set_alarm_level(self, camera: str, is_on: bool, part_id: str | None = None) -> None:
        """Publish, retained, a camera's alarm level for lamps and PLCs."""
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = CameraAlarmLevel(
            camera=camera, is_on=is_on, part_id=part_id, since=since, session=session
        )
        self._retained.set(self._topics.alarm_level(camera), message)
        self.wake()

    def set_degraded(self, reason: str | None, source: str = "app") -> None:
        """Publish the status `degraded` for a reason of the app's own; None takes it back.

        Args:
            source: whose reason it is; each takes back its own only.
        """
        with self._app_reasons_lock:
            reasons = {**self._app_reasons, source: reason}
            self._app_reasons = {name: why for name, why in reasons.items() if why is not None}
        self.wake()

    def publish_result(self, result: PartResult) -> None:
        """Send one part's result, QoS 0; dropped and counted while there is no connection."""
        self._publish_lossy(self._topics.result(result.camera), result.payload())

    def publish_health(self, health: Health) -> None:
        """Send the figures, QoS 0; dropped and counted while there is no connection."""
        self._publish_lossy(self._topics.health, health.payload())

    def _publish_lossy(self, topic: str, payload: bytes) -> None:
        connection = self._connection
        if connection is None or not connection.publish_lossy(topic, payload):
            self.messages_dropped += 1

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            answer = dial(self._config, self._client_id, self._will())
            if isinstance(answer, DialFailure):
                self._rest(self._standing.failed(answer))
                continue
            self._connection = answer
            try:
                self._serve(answer)
            except Exception as error:  # this thread must outlive any single bad message
                _log.exception("MQTT: the publisher failed and starts again")
                failure = DialFailure(f"publisher failed: {error}", needs_person=True)
                self._rest(self._standing.failed(failure))
            finally:
                self._connection = None
                answer.close()
        self._standing.stopped()

    def _serve(self, connection: Connection) -> None:
        """Deliver until the connection is lost or it is time to stop."""
        delivery = self._begin(connection)
        while not self._may_stop(delivery):
            self._beat()
            lost = self._take_events(connection, delivery)
            if lost is None and delivery.is_hung:
                lost = "the broker acknowledges nothing"
            if lost is not None:
                self._rest(self._standing.lost(lost, delivery.unproven_topic, delivery.refusal))
                return
            self._deliver(delivery)
            self._judge(delivery)
            self._publish_retained(connection)
        self._say_goodbye(connection)

    def _rest(self, wait_s: float) -> None:
        """Wait before the next attempt, in slices that keep the heart beating, or for `stop`."""
        end_ns = time.monotonic_ns() + round(wait_s * 1e9)
        while (left_s := (end_ns - time.monotonic_ns()) / 1e9) > 0:
            self._beat()
            if self._stopping.wait(min(TICK_S, left_s)):
                return

    def _beat(self) -> None:
        self._heartbeat_ns = time.monotonic_ns()

    def _begin(self, connection: Connection) -> Delivery:
        self._standing.begin()
        self._is_awake = False
        self._retained_mids.clear()
        self._retained.say_all_again()
        levels, states = self._topics.alarm_level("+"), self._topics.camera_state("+")
        echoes = () if connection.is_mqtt5 else (self._topics.probe, self._topics.own_alerts)
        connection.subscribe(levels, states, *echoes)
        self._publish_retained(connection)
        return Delivery(
            self._outbox,
            self._topics,
            needs_echo=not connection.is_mqtt5,
            send=connection.publish,
            probe_id=uuid7(self._clock_ns(), secrets.randbits),
            now_ns=self._clock_ns,
            now_s=self._now_s,
        )

    def _take_events(self, connection: Connection, delivery: Delivery) -> str | None:
        """Wait for something to happen and take all of it; return why the connection is lost."""
        try:
            event = connection.events.get(timeout=delivery.wait_s(TICK_S))
            while True:
                self._is_awake = False
                if isinstance(event, Lost):
                    return event.text
                self._take(event, connection, delivery)
                event = connection.events.get_nowait()
        except Empty:
            return None

    def _take(self, event: Event | None, connection: Connection, delivery: Delivery) -> None:
        if isinstance(event, Acked):
            delivery.acked(event.mid, event.refusal)
            topic = self._retained_mids.pop(event.mid, None)
            if topic is not None and event.refusal is not None:
                self._standing.refuse(refusal_text(event.refusal, topic))
        elif isinstance(event, Received) and event.is_retained:
            self._clear_if_stale(event, connection)
        elif isinstance(event, Received):
            delivery.came_back(event.payload)

    def _clear_if_stale(self, event: Received, connection: Connection) -> None:
        """Remove what a camera that is no longer configured left behind on the broker."""
        if event.payload and event.topic not in self._retained:
            connection.publish(event.topic, b"", retain=True)

    def _deliver(self, delivery: Delivery) -> None:
        was_refused = delivery.refusal is not None
        if was_refused and self._standing.may_retry():
            delivery.resume()
        try:
            delivery.pump()
            self._outbox_reason = None
        except OutboxError as error:
            self._outbox_reason = str(error)
        delivery.check_deadlines()
        if delivery.refusal is not None and not was_refused:
            self._standing.refuse(delivery.refusal)
            self._standing.retry_later()

    def _judge(self, delivery: Delivery) -> None:
        """Say how it stands: to people by `state`, to the broker by `status`."""
        is_settled = not self._retained_mids
        reason = self._standing.judge(delivery.is_proven, is_settled, self._outbox_reason)
        status_reason = reason or "; ".join(self._app_reasons.values())
        self._set_status("degraded" if status_reason else "online", status_reason)

    def _publish_retained(self, connection: Connection) -> None:
        for topic, payload in self._retained.take_changed():
            self._retained_mids[connection.publish(topic, payload, retain=True)] = topic

    # -- stopping -------------------------------------------------------------------------------

    def _may_stop(self, delivery: Delivery) -> bool:
        if not self._stopping.is_set():
            return False
        return delivery.is_idle or delivery.refusal is not None or self._now_s() > self._stop_at_s

    def _say_goodbye(self, connection: Connection) -> None:
        self._set_status("stopped", "")
        self._publish_retained(connection)
        end_s = self._now_s() + GOODBYE_S
        while self._retained_mids and self._now_s() < end_s:
            try:
                event = connection.events.get(timeout=GOODBYE_S)
            except Empty:
                return
            if isinstance(event, Lost):
                return
            if isinstance(event, Acked):
                self._retained_mids.pop(event.mid, None)

    # -- saying how it stands -------------------------------------------------------------------

    def _will(self) -> Will:
        message = DeviceStatus(
            state="offline",
            reason="the device vanished without saying goodbye",
            session=self._outbox.session,
            since=None,
        )
        return Will(self._topics.status, message.payload())

    def _set_status(self, state: StatusName, reason: str) -> None:
        if (state, reason) == self._status:
            return
        self._status = (state, reason)
        since, session = rfc3339(self._clock_ns()), self._outbox.session
        message = DeviceStatus(state=state, reason=reason, session=session, since=since)
        self._retained.set(self._topics.status, message)
