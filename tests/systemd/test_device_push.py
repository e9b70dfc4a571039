"""Both services under a real systemd: a pushed bundle is used, a bad one taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from devices import BUSY, CONFIG, PATIENCE_S, Device, config_text
from support.activation_bundles import golden_files, manifest_of
from support.brokers import HOST, wait_until
from support.small_bundles import bright_files

from edge_app.bundle.archive import write_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BIN = Path(sys.executable).parent
QUICK = "sim:tapered?mode=triggered&rate=5"
ALL_GOOD, ALL_BAD = 256.0, 1.0
"""Thresholds for a brightness from 0 to 255."""

WITH_AGENT = f"""
[agent]
enabled = true
operator_keys_dir = "operator_keys"
[download]
allowed_hosts = ["{HOST}"]
ca_file = "station.pem"
[slot.main]
shadow_parts = 5
max_disagreement = 1.0
probation_parts = 20
"""


class Workstation:
    """Keys, a server of bundles, and the installed command that signs and pushes them."""

    def __init__(self, folder: Path, device: Device, processes: ExitStack) -> None:
        self.folder, self._device = folder, device
        self._served = folder / "served"
        self._served.mkdir()
        self.run("keygen", "--out", folder / "private")
        self._serve(processes)

    def run(self, *words: object, check: bool = True) -> str:
        command = [str(BIN / "edge-deploy"), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _serve(self, processes: ExitStack) -> None:
        certificate = ("--cert", self.folder / "station.pem", "--key", self.folder / "station.key")
        words = (
            "serve",
            self._served,
            "--host",
            HOST,
            "--port",
            0,
            *certificate,
            "--new-cert",
            HOST,
        )
        log = self.folder / "serve.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [str(BIN / "edge-deploy"), *map(str, words)], stdout=out, stderr=out
            )
        processes.callback(process.wait, 20)
        processes.callback(process.terminate)
        wait_until(lambda: "serving" in log.read_text(), PATIENCE_S)
        self._url = log.read_text().split()[-1]

    def push(
        self, serial: int, threshold: float, golden_shift: float = 0.0, product: str = "alpha"
    ) -> str:
        """Sign and push a bundle of a brightness product; return how it ended."""
        name = f"{product}-{serial}.bundle"
        unsigned = self.folder / name
        manifest = manifest_of(product, serial, threshold, golden_shift)
        write_bundle(unsigned, manifest, {**bright_files(), **golden_files()})
        key = self.folder / "private" / "bundle-signing.key"
        self.run("sign", unsigned, "--key", key, "--out", self._served / name)
        return self.run(
            "push", self._served / name, "--broker", f"{HOST}:{self._device.broker.port}",
            "--url", self._url, "--device", "graz/l2/d3", "--wait", "--timeout-s", 240,
            check=False,
        )  # fmt: skip

    def select(self, product: str) -> str:
        """Send the operator's command; return what the device said."""
        return self.run(
            "select", product, "--broker", f"{HOST}:{self._device.broker.port}",
            "--device", "graz/l2/d3", "--key", self._device.operator_key,
        )  # fmt: skip


@pytest.fixture(scope="module")
def workstation(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Return a workstation whose key the device trusts; both services run. Undone at the end."""
    with ExitStack() as processes:
        station = Workstation(tmp_path_factory.mktemp("station"), device, processes)
        etc = device.container.root / "etc/cropliq-edge"
        for source, target in (("private/bundle-signing.pub", "trusted_keys/bundle-signing.pub"),
                               ("station.pem", "station.pem")):  # fmt: skip
            (etc / target).write_bytes((station.folder / source).read_bytes())
            (etc / target).chmod(0o644)
        trusted = 'trusted_keys_dir = "trusted_keys"'
        device.write(CONFIG, config_text(device.broker.port, QUICK, WITH_AGENT, trusted))
        device.container.run("systemctl restart edge-app && systemctl enable --now edge-app-agent")
        yield station
        device.container.run("systemctl disable --now edge-app-agent")
        device.configure(BUSY)
        device.container.run("systemctl restart edge-app")


def judged_by(device: Device) -> int | None:
    """Return the serial of the bundle that judged the newest part."""
    results = device.listener.bodies("/cam/cam1/result")
    model = results[-1]["model"] if results else None
    return int(model["serial"]) if model else None


def test_both_services_are_active_and_meet(device: Device, workstation: Workstation) -> None:
    """Agent and inspection, two users, one socket: each is active and fed by its own watchdog."""
    for unit in ("edge-app", "edge-app-agent"):
        assert device.container.show(unit, "ActiveState") == "active"
    users = {device.container.show(u, "User") for u in ("edge-app", "edge-app-agent")}
    assert users == {"cropliq-edge", "cropliq-edge-agent"}
    wait_until(lambda: device.listener.bodies("/agent/status") != [], PATIENCE_S)
    # without a bundle nothing is inspected
    wait_until(lambda: [s for s, _ in device.states()][-1:] == ["degraded"], PATIENCE_S)


def test_a_pushed_bundle_is_activated(device: Device, workstation: Workstation) -> None:
    """Signed, pushed, downloaded over HTTPS, tried, switched to: its serial judges the parts."""
    told = workstation.push(1, ALL_GOOD)
    assert "committed" in told, told + device.container.journal("edge-app-agent")
    wait_until(lambda: judged_by(device) == 1, PATIENCE_S)
    device.wait_online()


def test_a_bad_bundle_is_rolled_back(device: Device, workstation: Workstation) -> None:
    """It calls every part bad: in probation the alarm rate gives it away; the old one judges."""
    seen = len(device.listener.bodies("/cam/cam1/result"))
    wait_until(lambda: len(device.listener.bodies("/cam/cam1/result")) > seen + 20, PATIENCE_S)
    told = workstation.push(2, ALL_BAD)
    assert "rolled_back" in told, told + device.container.journal("edge-app-agent")
    wait_until(lambda: judged_by(device) == 1, PATIENCE_S)
    assert device.restarts() == 0


def test_a_bundle_that_fails_its_golden_set_never_judges(
    device: Device, workstation: Workstation
) -> None:
    """Its expected scores are wrong: refused in the throw-away process, with the reason."""
    told = workstation.push(3, ALL_GOOD, golden_shift=60.0)
    assert "refused" in told
    reports = device.listener.bodies("/deploy/main/reported")
    assert "golden" in json.dumps(reports[-1])
    assert judged_by(device) == 1


def test_an_operators_command_changes_the_product_over(
    device: Device, workstation: Workstation
) -> None:
    """A second product is pushed; the key that the archive brought changes back to the first."""
    assert "committed" in workstation.push(4, ALL_GOOD, product="beta")
    wait_until(lambda: judged_by(device) == 4, PATIENCE_S)
    assert "slot main judges alpha" in workstation.select("alpha")
    wait_until(lambda: judged_by(device) == 1, PATIENCE_S)


def test_inspection_can_only_read_the_agents_store(
    device: Device, workstation: Workstation
) -> None:
    """As inspection's user the active bundle can be read, and nothing there can be written."""
    as_user = "setpriv --reuid=cropliq-edge --regid=cropliq-edge --clear-groups sh -c"
    store = "/var/lib/cropliq-edge-agent"
    device.container.run(f"{as_user} 'head -c 1 {store}/slots/main/active >/dev/null'")
    for attempt in (
        f"touch {store}/x",
        f"touch {store}/releases/x",
        f"rm {store}/slots/main/active",
    ):
        done = device.container.run(f"{as_user} '{attempt}'", check=False)
        assert done.returncode != 0, attempt
        assert "Permission denied" in done.stderr
