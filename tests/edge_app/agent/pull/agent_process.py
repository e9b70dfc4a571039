"""A simulated device's agent as a process of its own, to be killed.

Usage: agent_process.py PORT STORE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support.alert_drafts import WHO
from support.brokers import HOST

from benchmarks.fleet_device import SimulatedDevice
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.mqtt.settings import MqttSettings


def main(port: int, folder: Path) -> None:
    """Take pushes until killed."""
    rules = DownloadRules(allowed_hosts=(HOST,), max_bytes=1 << 30, retry_min_s=0.05)
    SimulatedDevice(WHO, MqttSettings(HOST, port), folder, rules).start()
    time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
