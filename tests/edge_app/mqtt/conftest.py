"""A device that publishes, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import WHO
from support.brokers import HOST

from edge_app.mqtt.messages import CameraDescription, DeviceInfo
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher

INFO = DeviceInfo(
    hardware="test", cameras=(CameraDescription(name="cam1", url="folder:x", mode="file"),)
)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Return an empty outbox."""
    outbox = Outbox(tmp_path / "outbox.db", reserve_bytes=0)
    yield outbox
    outbox.close()


@pytest.fixture
def start_publisher(outbox: Outbox) -> Iterator[Callable[..., Publisher]]:
    """Return a function that starts a publisher to a port; it reconnects within a blink."""
    started: list[Publisher] = []

    def start(port: int, **settings: Any) -> Publisher:
        quick = {"reconnect_min_s": 0.1, "reconnect_max_s": 0.4}
        config = MqttSettings(HOST, port, **(quick | settings))
        publisher = Publisher(config, WHO, outbox, INFO)
        started.append(publisher)
        publisher.start()
        return publisher

    yield start
    for publisher in started:
        publisher.stop(0.5)
