"""Does any alert get lost? A persistent mosquitto is stopped and a device killed, again and again.

    python -m benchmarks.outbox_chaos --parts 1000 --kills 10 --restarts 10

The device is any command that inspects numbered parts and ends with 0 when all are done and sent;
`{port}`, `{state}` and `{parts}` in it are filled in, e.g.
`--device "edge-app run --config chaos.toml"`. The last line printed is one JSON object; exit code 0
means: every part has an alert or a published gap, first occurrences in order, no seq missing.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_app.mqtt.topics import alert_filter

HOST = "127.0.0.1"
OWN_DEVICE = f"{sys.executable} -m benchmarks.outbox_chaos_device {{port}} {{state}} {{parts}} 35"
MIN_PAUSE_S, MAX_PAUSE_S = 0.3, 1.8
"""Between two faults; a device needs about a second to start, so some kills hit the start."""


class Broker:
    """A mosquitto with its store on disk, started and stopped at will."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = int(probe.getsockname()[1])
        self._command = [
            shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "mosquitto",
            "-c",
            str(folder / "mosquitto.conf"),
        ]
        (folder / "mosquitto.conf").write_text(
            f"user root\npersistence true\npersistence_location {folder}/\n"
            f"max_queued_messages 0\nlistener {self.port} {HOST}\nallow_anonymous true\n"
        )
        self._log = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        """Start and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"mosquitto does not listen: see {self._log}")

    def stop(self) -> None:
        """Stop as `systemctl stop` does: it stores its sessions."""
        self._process.terminate()
        self._process.wait(20)


class Subscriber:
    """A subscriber with a persistent session; `alerts` holds everything that arrived, in order."""

    def __init__(self, port: int) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._client = Client(
            CallbackAPIVersion.VERSION2, "chaos-subscriber", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(alert_filter(), qos=1)
        self._client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        self._client.connect(HOST, port, 30, clean_start=False, properties=session)
        self._client.loop_start()
        time.sleep(0.5)

    def _on_message(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        self.alerts.append(json.loads(message.payload))

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Device:
    """The process under test."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.kills = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, start_new_session=True)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def kill_and_restart(self) -> None:
        """SIGKILL, then start again."""
        self._process.kill()
        self._process.wait()
        self.kills += 1
        self._start()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; kill it if that takes too long."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def spread_faults(
    rng: random.Random,
    device: Device,
    broker: Broker,
    faults: list[str],
    pause_s: tuple[float, float],
) -> int:
    """Let the faults happen at random moments; return how many happened before the end."""
    rng.shuffle(faults)
    for done, fault in enumerate(faults):
        time.sleep(rng.uniform(*pause_s))
        if device.exit_code is not None:
            return done
        if fault == "kill":
            device.kill_and_restart()
            continue
        broker.stop()
        time.sleep(rng.uniform(*pause_s))
        broker.start()
    return len(faults)


def judge(alerts: list[dict[str, Any]], parts: int, first: int = 0) -> dict[str, Any]:
    """Return the figures, and under `ok` whether nothing was lost and the order kept."""
    accounted_for: set[int] = set()
    for alert in alerts:
        gap = alert["gap"]
        if gap is not None:
            accounted_for.update(range(gap["first_number"], gap["last_number"] + 1))
        elif alert["source_number"] is not None:
            accounted_for.add(alert["source_number"])
    seqs = list(dict.fromkeys(alert["seq"] for alert in alerts))
    figures = {
        "parts": parts,
        "parts_told": len(accounted_for & set(range(first, first + parts))),
        "messages": len(alerts),
        "duplicates": len(alerts) - len({alert["message_id"] for alert in alerts}),
        "sessions": len({alert["session"] for alert in alerts}),
        "is_ordered": seqs == sorted(seqs),
        "is_gapless": sorted(seqs) == list(range(1, len(seqs) + 1)),
    }
    is_complete = figures["parts_told"] == parts
    return figures | {"ok": is_complete and figures["is_ordered"] and figures["is_gapless"]}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run once in a temporary folder and return the figures."""
    with tempfile.TemporaryDirectory(prefix="outbox-chaos-") as name:
        folder = Path(name)
        broker = Broker(folder)
        subscriber = Subscriber(broker.port)
        begin_s = time.monotonic()
        filled = options.device.format(
            port=broker.port, state=folder / "state", parts=options.parts
        )
        device = Device(shlex.split(filled))
        faults = ["kill"] * options.kills + ["restart"] * options.restarts
        happened = spread_faults(
            random.Random(options.seed), device, broker, faults, tuple(options.pause_s)
        )
        exit_code = device.wait(60 + options.parts * 0.15)
        time.sleep(2.0)  # the subscriber's own reconnect takes a second
        subscriber.close()
        broker.stop()
    figures = judge(subscriber.alerts, options.parts, options.first)
    figures |= {"kills": device.kills, "faults": happened, "device_exit_code": exit_code}
    figures["seconds"] = round(time.monotonic() - begin_s, 1)
    figures["ok"] = figures["ok"] and exit_code == 0 and happened == len(faults)
    return figures


def main() -> int:
    """Read the options, run, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first part")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pause-s",
        type=float,
        nargs=2,
        default=(MIN_PAUSE_S, MAX_PAUSE_S),
        metavar=("MIN", "MAX"),
        help="between two faults; take it long enough for the device to start",
    )
    parser.add_argument("--device", default=OWN_DEVICE, help="command of the device under test")
    options = parser.parse_args()
    figures = run(options)
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
