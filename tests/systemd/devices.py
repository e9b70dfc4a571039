"""A device in a container: the README's install commands, and the broker it reports to."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.booted_debian import Container
from support.brokers import Listener, Mosquitto, wait_until

ROOT = Path(__file__).parent.parent.parent
DEMO_BUNDLE = ROOT / "edge_app" / "assets" / "demo-tapered.bundle"
CONFIG = "etc/cropliq-edge/edge-app.toml"

WATCHDOG_S = 5
"""In place of the unit's 15, so that a hung service is seen three times as fast."""

PATIENCE_S = 120.0
"""For what has no deadline of its own, on a machine that does other things too."""

BUSY = "sim:tapered?mode=triggered&rate=2&defect_rate=0.5"
IDLE = "sim:tapered?mode=triggered&rate=0.001"
"""The first part comes after a quarter of an hour."""


def readme_commands() -> list[str]:
    """Return what the README tells a person to type on the device, without sudo and comments."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Install on a device")[1].split("\n## ")[0]
    block = section.split("On the device")[1].split("\n\n")[1]
    lines = [line.split("  #")[0].strip().removeprefix("sudo ") for line in block.splitlines()]
    assert all(lines), block
    return lines


def package(out: Path, *options: str) -> None:
    """Run the README's `edge-deploy package` with all wheels inside."""
    edge_deploy = str(Path(sys.executable).with_name("edge-deploy"))
    subprocess.run(
        [edge_deploy, "package", "--out", str(out), "--offline", *options],
        check=True, timeout=300, stdout=subprocess.DEVNULL,
    )  # fmt: skip


ONE_BUNDLE = 'path = "bundle.tar"\nallow_unsigned = true'


def config_text(broker_port: int, camera_url: str, more: str = "", bundle: str = ONE_BUNDLE) -> str:
    """Return a configuration for one simulated camera."""
    return f"""
[device]
site = "graz"
line = "l2"
device = "d3"
[bundle]
{bundle}
[[camera]]
name = "cam1"
url = "{camera_url}"
[mqtt]
host = "127.0.0.1"
port = {broker_port}
reconnect_max_s = 1.0
publish_results = true
[page]
enabled = false
{more}
"""


@dataclass
class Device:
    """A booted system and what the broker outside has heard of it."""

    container: Container
    broker: Mosquitto
    listener: Listener
    operator_key: Path | None = None
    """The private half of the key whose commands it may take; None: it takes none."""

    def write(self, path: str, text: str) -> None:
        """Write a file of the device's."""
        file = self.container.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def configure(self, camera_url: str, more: str = "") -> None:
        """Write the configuration and the demo's bundle."""
        bundle = self.container.root / "etc/cropliq-edge/bundle.tar"
        bundle.write_bytes(DEMO_BUNDLE.read_bytes())
        bundle.chmod(0o644)
        self.write(CONFIG, config_text(self.broker.port, camera_url, more))

    def set_watchdog(self, seconds: int, more: str = "") -> None:
        """Shorten systemd's watchdog the way a person would: `systemctl edit edge-app`."""
        drop_in = "etc/systemd/system/edge-app.service.d/override.conf"
        self.write(drop_in, f"[Service]\nWatchdogSec={seconds}\n{more}")
        self.container.run("systemctl daemon-reload")

    def states(self) -> list[tuple[str, int]]:
        """Return every published status with its session, in order; repeats left out."""
        told = [(s["state"], s["session"]) for s in self.listener.bodies("/d3/status")]
        return [told[i] for i in range(len(told)) if i == 0 or told[i] != told[i - 1]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return every alert that has arrived."""
        return self.listener.bodies("/alert")

    def wait_online(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the last word about the device is that it is online."""
        wait_until(lambda: self.states()[-1:] != [] and self.states()[-1][0] == "online", timeout_s)

    def restarts(self) -> int:
        """Return how often systemd has restarted the service since it was started."""
        return int(self.container.show("edge-app", "NRestarts"))

    def running_s(self) -> float:
        """Return for how long the service has been active."""
        since_us = int(self.container.show("edge-app", "ActiveEnterTimestampMonotonic"))
        return time.clock_gettime(time.CLOCK_MONOTONIC) - since_us / 1e6

    def main_pid(self) -> int:
        """Return the service's process, as seen inside."""
        return int(self.container.show("edge-app", "MainPID"))
