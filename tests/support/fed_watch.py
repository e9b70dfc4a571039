"""A watch without a broker: a test hands it the messages."""

from __future__ import annotations

import io
from pathlib import Path

from paho.mqtt.client import MQTTMessage

from deploy.watch.options import WatchOptions
from deploy.watch.run import Watch
from edge_app.mqtt.messages import Alert, AlertDraft
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import Topics
from support.alert_drafts import WHO

TOPIC = Topics(WHO).alert("cam1")
NOW = rfc3339(1_790_000_000_000_000_000)


def payload(draft: AlertDraft, seq: int, **more: object) -> bytes:
    told = {"seq": seq, "session": 1, "replayed": False, "published_at": NOW} | more
    return Alert.model_validate(draft.model_dump() | told).payload()


class Fed:
    """A watch whose messages come from the test; `acked` are the numbers it acknowledged."""

    def __init__(self, folder: Path, as_json: bool) -> None:
        self.clock_s = 0.0
        self.acked: list[int] = []
        self.out, self.notes = io.StringIO(), io.StringIO()
        options = WatchOptions(
            MqttSettings("nowhere"),
            f"{WHO.root}/cam/+/alert",
            "w",
            as_json=as_json,
            dead_letters=folder / "refused",
        )
        self.watch = Watch(options, self.out, self.notes, now_s=lambda: self.clock_s)
        self._sent = 0

    def ack(self, mid: int, _qos: int) -> None:
        self.acked.append(mid)

    def send(self, topic: str, body: bytes) -> None:
        self._sent += 1
        message = MQTTMessage(self._sent, topic.encode("utf-8", "surrogatepass"))
        message.payload, message.qos = body, 1
        self.watch._on_message(self, None, message)  # type: ignore[arg-type]

    def settle(self) -> None:
        """Let everything that waits for a missing number be shown."""
        self.clock_s += 10
        self.watch._show(self.watch._order.overdue(self.clock_s))

    def assert_all_counted(self) -> None:
        watch = self.watch
        assert sorted(self.acked) == list(range(1, self._sent + 1))
        told = watch.shown + watch.duplicates + watch.refused
        assert told + watch.unasked == self._sent
