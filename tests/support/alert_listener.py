"""A subscriber to alerts in MQTT 3.1.1, which the embedded broker speaks."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from support.brokers import HOST, wait_until


class AlertListener:
    """Hears every device's alerts; use it as a context manager.

    Attributes:
        heard: (monotonic seconds, alert) in order of arrival.
    """

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self._is_subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect(HOST, port)

    def __enter__(self) -> AlertListener:
        self._client.loop_start()
        self._client.subscribe("inspect/v1/+/+/+/cam/+/alert", 1)
        wait_until(lambda: self._is_subscribed, what="subscription")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [alert for _, alert in self.heard]

    def _on_subscribe(self, *_: object) -> None:
        self._is_subscribed = True

    def _on_message(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        self.heard.append((time.monotonic(), json.loads(message.payload)))
