"""A device as a process of its own, to be killed: publishes what its outbox holds.

Usage: device_process.py PORT OUTBOX
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support.alert_drafts import WHO
from support.brokers import HOST

from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher


def main(port: int, path: Path) -> None:
    """Publish until killed; say when connected."""
    publisher = Publisher(MqttSettings(HOST, port), WHO, Outbox(path, reserve_bytes=0))
    publisher.start()
    while publisher.state != "connected":
        time.sleep(0.02)
    print("connected", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
