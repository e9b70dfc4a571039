"""A configuration that cannot be read does not stop the line: the last one that started is used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.activation_bundles import trusted_keys
from support.app_config import ROOT, edge_app, running, write_config
from support.brokers import Listener, Mosquitto, wait_until

from edge_app.config.last_good import NAME, load_or_last_good, remember
from edge_app.config.load import load_config
from edge_app.errors import ConfigError

NOT_A_CONFIGURATION = {
    "emptied": b"",
    "zeros": b"\x00" * 4096,
    "not TOML": b'[device]\nstate_dir = "state"\nsite = \n',
    "a wrong key": b'[device]\nstate_dir = "state"\nsight = "graz"\n',
    "no UTF-8": b'state_dir = "state"\n\xff\xfe',
    "nested": b'state_dir = "state"\na = ' + b"[" * 20_000,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path, "sim:round", 1)
    (tmp_path / "state").mkdir()
    return path


@pytest.mark.parametrize("content", NOT_A_CONFIGURATION.values(), ids=NOT_A_CONFIGURATION)
def test_the_last_one_that_started_stands_in(config: Path, content: bytes) -> None:
    """Whatever has become of the file, with the state folder as systemd names it."""
    good = load_config(config)
    remember(good, config)
    config.write_bytes(content)
    loaded = load_or_last_good(config, {"STATE_DIRECTORY": str(config.parent / "state")})
    assert loaded.config == good
    assert str(config) in loaded.fault


def test_a_file_that_is_gone(config: Path) -> None:
    """The same for a file that was removed."""
    good = load_config(config)
    remember(good, config)
    config.unlink()
    loaded = load_or_last_good(config, {"STATE_DIRECTORY": str(config.parent / "state")})
    assert (loaded.config, "cannot be read" in loaded.fault) == (good, True)


def test_a_file_in_order_counts(config: Path) -> None:
    """What is remembered stands in for nothing else."""
    remember(load_config(config), config)
    config.write_text(config.read_text().replace('site = "graz"', 'site = "linz"'))
    loaded = load_or_last_good(config, {})
    assert (loaded.config.device.site, loaded.fault) == ("linz", "")


def test_without_an_earlier_start_the_mistake_is_said(config: Path) -> None:
    """Nothing is made up: the command ends with the file's mistakes."""
    config.write_text("[device]\nsight = 1\n")
    with pytest.raises(ConfigError, match="sight"):
        load_or_last_good(config, {"STATE_DIRECTORY": str(config.parent / "state")})


@pytest.mark.parametrize("damage", ["byte", "cut", "other file", "removed", "list"])
def test_a_damaged_memory_is_none(config: Path, damage: str) -> None:
    """It has a digest over its text and over the file that it belongs to."""
    remember(load_config(config), config)
    kept = config.parent / "state" / NAME
    text = kept.read_text()
    if damage == "byte":
        kept.write_text(text.replace("graz", "grab"))
    elif damage == "cut":
        kept.write_text(text[:-20])
    elif damage == "list":
        kept.write_text("[]")
    elif damage == "removed":
        kept.unlink()
    else:
        entry = json.loads(text)
        kept.write_text(json.dumps(entry | {"text": entry["text"] + "# other"}))
    config.write_bytes(b"")
    with pytest.raises(ConfigError):
        load_or_last_good(config, {"STATE_DIRECTORY": str(config.parent / "state")})


def test_the_line_goes_on_and_says_so(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Started, file spoilt, SIGHUP, restarted: it inspects, degraded with the mistake's place."""
    config = write_config(tmp_path, "sim:round?fps=5", mosquitto.port)
    listener = Listener(mosquitto.port, f"{ROOT}/#")

    def states() -> list[tuple[str, str]]:
        bodies = [json.loads(m[1]) for m in listener.messages if m[0].endswith("d3/status")]
        return [(body["state"], body["reason"]) for body in bodies]

    with running(config) as process:
        wait_until(lambda: ("online", "") in states())
        wait_until(lambda: (tmp_path / "state" / NAME).exists())
        config.write_text(config.read_text().replace("[mqtt]", "[mqtt]\nprot = 5"))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        process.terminate()
        process.wait(20)
    with running(config):
        wait_until(lambda: states()[-1][0] == "degraded" and "prot" in states()[-1][1])
    assert edge_app("check-config", str(config)).returncode == 2


def test_the_agent_goes_on_and_says_so(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """It keeps a copy of its own, in its own folder; `agent/status` has the mistake's place."""
    trusted_keys(tmp_path / "keys")
    agent = '[agent]\nenabled = true\nstore_dir = "store"\nsocket = "agent.sock"'
    config = write_config(tmp_path, "sim:round?fps=5", mosquitto.port, more=agent)
    text = config.read_text().replace('path = "a.bundle"\nallow_unsigned = true', "")
    config.write_text(text.replace("[bundle]", '[bundle]\ntrusted_keys_dir = "keys"'))
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    command = [sys.executable, "-m", "edge_app.cli.main", "agent", "--config", str(config)]

    def reasons() -> list[str]:
        return [body["reason"] for body in listener.bodies("agent/status")]

    def run_until(is_so: Callable[[], bool]) -> None:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until(is_so, 30)
            finally:
                process.terminate()
                process.communicate(timeout=20)

    run_until(lambda: reasons()[-1:] == [""] and (tmp_path / "store" / NAME).exists())
    config.write_text(config.read_text().replace("[mqtt]", "[mqtt]\nprot = 5"))
    run_until(lambda: "prot" in reasons()[-1])
