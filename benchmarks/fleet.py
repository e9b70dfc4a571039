"""Fifty simulated devices on one mosquitto: a push to all, a roll-out, a bad bundle.

    python -m benchmarks.fleet --devices 50 --mb 4

Devices are threads of this process with the real MQTT client, downloader and store; installing is
pretended. Bundles come over HTTPS from the real `edge-deploy serve`. The last line printed is one
JSON object; exit code 0 means: everybody has the good bundles, and the bad one reached the canary
only. Seconds hold for this machine; messages and bytes hold anywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet_device import SimulatedDevice
from benchmarks.outbox_chaos import HOST, Broker
from deploy.bundles.certificate import make_certificate
from deploy.bundles.serve import BundleServer, tls_context
from deploy.fleet.mqtt_client import FleetMqttClient
from deploy.fleet.pointer import Offer
from deploy.fleet.rollout import Rollout
from deploy.fleet.rollout_rules import Limits, make_waves
from deploy.fleet.rollout_state import new_state
from deploy.fleet.state import Fleet, fleet_filters
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import DeviceName

STEP_S = 0.05
"""How long each pretended state lasts: the messages count, not the waiting."""
START_TIMEOUT_S = 60.0
TURN_TIMEOUT_S = 300.0
PUMP_S = 0.5
"""After the end, for what would still come."""
SERVED = re.compile(r"bytes (\d+)-(\d+) in")


class Station:
    """The workstation: a served folder, an MQTT client, the devices' states."""

    def __init__(self, folder: Path, port: int) -> None:
        self.served_bytes = 0
        self._folder = folder / "served"
        self._folder.mkdir()
        cert, key = folder / "station.pem", folder / "station.key"
        make_certificate([HOST], cert, key)
        self.trust = ssl.create_default_context(cafile=str(cert))
        self._server = BundleServer(
            self._folder, (HOST, 0), tls_context(cert, key), log=self._count
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.fleet = Fleet()
        settings = MqttSettings(HOST, port)
        self.client = FleetMqttClient(settings, fleet_filters(), self.fleet.apply, print)

    def _count(self, line: str) -> None:
        found = SERVED.search(line)
        if found:
            self.served_bytes += int(found[2]) - int(found[1])

    def offer(self, serial: int, length: int) -> Offer:
        """Serve a bundle of random bytes."""
        content = random.Random(serial).randbytes(length)
        name = f"screws-{serial}.bundle"
        (self._folder / name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return Offer("screws", serial, sha256, length, self._server.url + name)

    def roll_out(self, offer: Offer, names: list[str], canary: int, allowed: int) -> Rollout:
        """Carry a roll-out out and return it."""
        state = new_state(offer, "main", make_waves(names, canary, "all"))
        limits = Limits(max_failures=allowed, timeout_s=TURN_TIMEOUT_S)
        rollout = Rollout(state, self.client, self.fleet, limits, lambda _: None, lambda _: None)
        rollout.run()
        return rollout

    def close(self) -> None:
        """Say goodbye and stop serving."""
        self.client.close()
        self._server.shutdown()
        self._server.server_close()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything once in a temporary folder and return the figures."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        folder = Path(name)
        broker = Broker(folder)
        station = Station(folder, broker.port)
        devices: list[SimulatedDevice] = []
        try:
            length = int(options.mb * (1 << 20))
            bad = station.offer(3, length)
            devices += make_devices(options.devices, folder, broker.port, station.trust, bad)
            figures = {"devices": options.devices, "bundle_mb": options.mb}
            figures |= start_all(devices, station)
            figures |= push_to_all(devices, station, station.offer(1, length))
            figures |= roll_out_to_all(devices, station, station.offer(2, length))
            figures |= stop_at_canary(devices, station, bad)
        finally:
            for device in devices:
                device.stop()
            station.close()
            broker.stop()
    return figures | {"ok": all(v for k, v in figures.items() if k.endswith("_ok"))}


def make_devices(
    count: int, folder: Path, port: int, trust: ssl.SSLContext, bad: Offer
) -> list[SimulatedDevice]:
    """Return devices that find one bundle bad, not started yet."""
    rules = DownloadRules(allowed_hosts=(HOST,), max_bytes=1 << 30)
    settings = MqttSettings(HOST, port)
    names = [DeviceName("graz", "line-2", f"press-{n:02d}") for n in range(1, count + 1)]
    return [
        SimulatedDevice(
            who, settings, folder / who.device, rules, trust, step_s=STEP_S, bad=[bad.sha256]
        )
        for who in names
    ]


def start_all(devices: list[SimulatedDevice], station: Station) -> dict[str, Any]:
    """Start everybody; how long until the station sees them all online."""
    begin_s = time.monotonic()
    for device in devices:
        device.start()
    while time.monotonic() - begin_s < START_TIMEOUT_S:
        station.client.pump(0.1)
        agents = [station.fleet.device(device.who).agent for device in devices]
        if all(agent is not None and agent.state == "online" for agent in agents):
            return {"online_s": _since(begin_s), "online_ok": True}
    return {"online_s": _since(begin_s), "online_ok": False}


def push_to_all(devices: list[SimulatedDevice], station: Station, offer: Offer) -> dict[str, Any]:
    """One wave: from the first pointer to the last `committed`."""
    before, begin_s = station.fleet.messages, time.monotonic()
    served_before = station.served_bytes
    station.roll_out(offer, [str(d.who) for d in devices], canary=0, allowed=len(devices))
    messages = station.fleet.messages - before
    return {
        "push_s": _since(begin_s),
        "push_messages": messages,
        "push_messages_per_device": round(messages / len(devices), 1),
        "push_served_mb": round((station.served_bytes - served_before) / (1 << 20), 1),
        "push_ok": all(d.store.active("main") == offer.sha256 for d in devices),
    }


def roll_out_to_all(
    devices: list[SimulatedDevice], station: Station, offer: Offer
) -> dict[str, Any]:
    """One device first, then all."""
    begin_s = time.monotonic()
    rollout = station.roll_out(offer, [str(d.who) for d in devices], canary=1, allowed=0)
    return {
        "rollout_s": _since(begin_s),
        "rollout": rollout.summary,
        "rollout_ok": all(d.store.active("main") == offer.sha256 for d in devices),
    }


def stop_at_canary(devices: list[SimulatedDevice], station: Station, bad: Offer) -> dict[str, Any]:
    """A bundle that every device would refuse reaches the first one only."""
    before, begin_s = station.fleet.messages, time.monotonic()
    good = devices[0].store.active("main")
    station.roll_out(bad, [str(d.who) for d in devices], canary=1, allowed=0)
    station.client.pump(PUMP_S)
    asked = sum(bad.sha256 in device.installs for device in devices)
    is_unchanged = all(d.store.active("main") == good for d in devices)
    return {
        "bad_stop_s": round(_since(begin_s) - PUMP_S, 2),
        "bad_devices_asked": asked,
        "bad_messages": station.fleet.messages - before,
        "bad_ok": asked == 1 and is_unchanged,
    }


def _since(begin_s: float) -> float:
    return round(time.monotonic() - begin_s, 2)


def main() -> int:
    """Read the options, run, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--mb", type=float, default=4.0, help="size of a bundle")
    figures = run(parser.parse_args())
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
