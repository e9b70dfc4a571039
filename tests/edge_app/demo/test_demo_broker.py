"""The embedded broker of the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import HOST, wait_until

from edge_app.demo.broker import EmbeddedBroker
from edge_app.errors import BrokerError
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher


def test_alerts_go_through_the_embedded_broker(tmp_path: Path) -> None:
    """A publisher falls back to MQTT 3.1.1 and each alert is seen to have arrived."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    outbox.append([draft(n) for n in range(50)])
    with EmbeddedBroker() as broker:
        publisher = Publisher(MqttSettings(HOST, broker.port), WHO, outbox)
        publisher.start()
        wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)
        publisher.stop()
    outbox.close()


def test_a_port_in_use_is_named() -> None:
    """Two brokers on one port: the second says which port and what to do."""
    with (
        EmbeddedBroker() as first,
        pytest.raises(BrokerError, match=rf"{first.port}.*choose another port"),
        EmbeddedBroker(first.port),
    ):
        pass


def test_a_device_without_the_demo_extra_is_told_what_to_install() -> None:
    """amqtt is imported only when the broker starts; without it the message names the extra."""
    script = (
        "import sys; sys.modules['amqtt'] = None\n"
        "from edge_app.demo.broker import EmbeddedBroker\n"
        "EmbeddedBroker().__enter__()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'cropliq-edge[demo]'" in done.stderr
