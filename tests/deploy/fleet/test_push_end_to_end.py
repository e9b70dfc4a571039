"""The user's whole way with installed commands: keygen, sign, serve, push, status; a real agent, a
real inspection, a broker with the shipped ACL, HTTPS."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.activation_bundles import golden_files, manifest_of
from support.broker_logins import PASSWORD, acl_lines
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.small_bundles import bright_files

from edge_app.bundle.archive import write_bundle
from edge_app.bundle.manifest import Manifest
from edge_app.mqtt.topics import DeviceName

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.slow]
BIN = Path(sys.executable).parent
WHO = DeviceName("graz", "line-2", "press-3")
ALL_GOOD = 256.0
CONFIG = """
[device]
site = "graz"
line = "line-2"
device = "press-3"
state_dir = "state"
[bundle]
trusted_keys_dir = "keys"
[[camera]]
name = "cam1"
url = "sim:tapered?mode=triggered&rate=5"
[mqtt]
host = "{host}"
port = {port}
username = "graz/line-2/press-3"
password_file = "password"
publish_results = true
[page]
enabled = false
[evidence]
enabled = false
[runtime]
threads = 1
[outbox]
reserve_mb = 1
[agent]
enabled = true
store_dir = "store"
socket = "agent.sock"
min_free_mb = 1
mqtt_username = "inspect/v1/graz/line-2/press-3"
mqtt_password_file = "password"
[download]
allowed_hosts = ["{host}"]
ca_file = "station.pem"
[slot.main]
shadow_parts = 5
max_disagreement = 1.0
probation_parts = 5
"""


class Plant:
    """A broker, a workstation and one device, all as processes."""

    def __init__(self, folder: Path, broker: Mosquitto, processes: ExitStack) -> None:
        self.folder = folder
        self._broker = broker
        self._processes = processes
        self.served = folder / "served"
        self.served.mkdir()
        done = self.run("edge-deploy", "keygen", "--out", folder / "private")
        assert done.returncode == 0, done.stderr
        (folder / "keys").mkdir()
        public = folder / "private" / "bundle-signing.pub"
        (folder / "keys" / public.name).write_bytes(public.read_bytes())
        self.url = self._serve()
        (folder / "edge-app.toml").write_text(CONFIG.format(host=HOST, port=broker.port))
        for command in ("agent", "run"):
            self.start("edge-app", command, "--config", folder / "edge-app.toml")
        self.watcher = Listener(broker.port, "inspect/v1/#", username="watch", password=PASSWORD)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / str(words[0])), *map(str, words[1:])]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def start(self, name: str, *words: object) -> subprocess.Popen[str]:
        """Start a command that is terminated at the end of the test."""
        command = [str(BIN / name), *map(str, words)]
        with (self.folder / f"{name}-{words[0]}.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        self._processes.callback(process.wait, 20)
        self._processes.callback(process.terminate)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _serve(self) -> str:
        files = ("--cert", self.folder / "station.pem", "--key", self.folder / "station.key")
        self.start("edge-deploy", "serve", self.served, "--host", HOST, "--port", 0, *files,
                   "--new-cert", HOST)  # fmt: skip
        wait_until(lambda: "serving" in self.log("edge-deploy-serve"), 20)
        return self.log("edge-deploy-serve").split()[-1]

    def sign(self, manifest: Manifest) -> Path:
        """Return a served bundle signed with the command."""
        name = f"{manifest.product}-{manifest.serial}.bundle"
        unsigned = self.folder / name
        write_bundle(unsigned, manifest, {**bright_files(), **golden_files()})
        key = self.folder / "private" / "bundle-signing.key"
        done = self.run("edge-deploy", "sign", unsigned, "--key", key, "--out", self.served / name)
        assert done.returncode == 0, done.stderr
        return self.served / name

    def login(self) -> Sequence[object]:
        return ("--broker", f"{HOST}:{self._broker.port}", "--username", "deploy",
                "--password-file", self.folder / "password")  # fmt: skip

    def push(self, bundle: Path) -> subprocess.CompletedProcess[str]:
        return self.run("edge-deploy", "push", bundle, *self.login(), "--url", self.url,
                        "--device", WHO, "--wait", "--timeout-s", 90)  # fmt: skip

    def status(self) -> dict[str, Any]:
        done = self.run("edge-deploy", "status", *self.login(), "--json")
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows[0]

    def judged_by(self) -> int | None:
        """Return the serial of the bundle that judged the newest part."""
        results = self.watcher.bodies("/cam/cam1/result")
        model = results[-1]["model"] if results else None
        return model["serial"] if model else None

    def goes_on_judging(self, serial: int) -> bool:
        """Tell whether the next parts are judged, all by this bundle."""
        seen = len(self.watcher.bodies("/cam/cam1/result"))
        wait_until(lambda: len(self.watcher.bodies("/cam/cam1/result")) > seen + 3, 20)
        models = [body["model"] for body in self.watcher.bodies("/cam/cam1/result")[seen + 1 :]]
        return all(model is not None and model["serial"] == serial for model in models)


@contextmanager
def running_plant(folder: Path, broker: Mosquitto) -> Iterator[Plant]:
    with ExitStack() as processes:
        plant = Plant(folder, broker, processes)
        processes.callback(plant.watcher.close)
        yield plant


def test_a_model_is_pushed_to_a_running_line_and_bad_ones_are_not_used(
    start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """Serial 1 and 2 are committed on the running line; one with a wrong golden set and an older
    one are refused with the reason while serial 2 judges on; status says all of it."""
    users = (str(WHO), WHO.root, "deploy", "watch")
    broker = start_mosquitto(acl_lines(tmp_path, *users), is_open=False)
    with running_plant(tmp_path, broker) as plant:
        for serial in (1, 2):
            done = plant.push(plant.sign(manifest_of("alpha", serial, ALL_GOOD)))
            assert done.returncode == 0, done.stdout + done.stderr + plant.log("edge-app-agent")
            assert f"{WHO}: self_check" in done.stdout
            wait_until(partial(lambda serial: plant.judged_by() == serial, serial), 20)

        wrong = plant.push(plant.sign(manifest_of("alpha", 3, ALL_GOOD, golden_shift=60.0)))
        assert wrong.returncode == 1
        assert "failed" in wrong.stdout
        assert plant.goes_on_judging(2)
        row = plant.status()
        assert (row["state"], row["inspection"], row["agent"]) == ("refused", "online", "online")
        assert "golden" in row["reason"]

        older = plant.push(plant.served / "alpha-1.bundle")
        assert "refused: " in older.stdout
        assert "older than serial 2 installed before" in older.stdout
        assert plant.goes_on_judging(2)
        reports = plant.watcher.bodies("/deploy/main/reported")
    told = [report["state"] for report in reports]
    assert told.count("committed") == 2
    assert {"shadow", "switching", "probation"} <= set(told)
