"""`edge-deploy select` as a person uses it: installed commands, real agent, line and broker."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import write_config
from support.brokers import HOST, Mosquitto, wait_until

from deploy.bundles.keys import generate_key

pytestmark = pytest.mark.needs("mosquitto")
BIN = Path(sys.executable).parent
DEVICE = "graz/l2/d3"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder with an operator's pair, whose public half is pinned in `operators`."""
    generate_key(tmp_path / "private", "operator", None, None)
    (tmp_path / "operators").mkdir()
    public = (tmp_path / "private" / "operator.pub").read_bytes()
    (tmp_path / "operators" / "operator.pub").write_bytes(public)
    return tmp_path / "private"


def start_device(folder: Path, port: int, processes: ExitStack) -> Path:
    """Start agent and run as processes of their own; return their configuration."""
    config = write_config(folder)
    text = config.read_text().replace(
        "[mqtt]\nenabled = false", f'[mqtt]\nhost = "{HOST}"\nport = {port}'
    )
    config.write_text(text.replace("[agent]", '[agent]\noperator_keys_dir = "operators"'))
    for command in ("agent", "run"):
        log = processes.enter_context((folder / f"{command}.log").open("w"))
        words = [str(BIN / "edge-app"), command, "--config", str(config)]
        process = subprocess.Popen(words, stdout=log, stderr=log)
        processes.callback(process.wait, 20)
        processes.callback(process.terminate)
    agent_log = folder / "agent.log"
    wait_until(lambda: "inspection connected" in agent_log.read_text(), 30, "the line")
    wait_until(lambda: "agent connected" in agent_log.read_text(), 30, "the broker")
    return config


def test_a_person_changes_a_device_over_from_the_workstation(
    tmp_path: Path, mosquitto: Mosquitto, keys: Path
) -> None:
    """Done: the device's own words and code 0; a product that is not installed: its reason and 1;
    a device that is not there: named with what to look at, and 1."""
    with ExitStack() as processes:
        config = start_device(tmp_path, mosquitto.port, processes)
        for product in ("alpha", "beta"):
            file = write_release(tmp_path / f"{product}.bundle", manifest_of(product, 3))
            assert run("edge-app", "install", file, "--config", config).returncode == 0
        broker = ("--broker", f"{HOST}:{mosquitto.port}", "--key", keys / "operator.key")
        done = run("edge-deploy", "select", "alpha", *broker, "--device", DEVICE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"{DEVICE}: slot main judges alpha (")
        done = run(
            "edge-deploy", "select", "gamma", *broker, "--timeout-s", 3,
            "--device", DEVICE, "--device", "graz/l2/d4",
        )  # fmt: skip
        first, second = done.stdout.splitlines()
        assert done.returncode == 1
        assert first.startswith(f"{DEVICE}: slot main stays as it is: slot main has no product")
        assert second.startswith("graz/l2/d4: no answer. Is it online (edge-deploy status)")
        assert "active     alpha 3" in run("edge-app", "slots", "--config", config).stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--device", DEVICE, "--timeout-s", 3600), "more than 0 and at most 600, got '3600'"),
        ((), "give either --device (one or more) or --group"),
        (("--device", "graz"), "expected SITE/LINE/DEVICE"),
    ],
)
def test_wrong_use_is_named_before_anybody_is_asked(
    keys: Path, words: tuple[object, ...], why: str
) -> None:
    """No broker is needed to hear what is wrong."""
    broker = ("--broker", f"{HOST}:1", "--key", keys / "operator.key")
    done = run("edge-deploy", "select", "alpha", *broker, *words)
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
