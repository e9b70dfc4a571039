"""The installed commands: `edge-app agent`, `run`, `install` and `slots`, each a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import write_config
from support.brokers import wait_until
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.store.bundle_store import Store
from edge_app.store.intent import MAX_CRASHES

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))


@contextmanager
def running(command: str, config: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a service until the end of the block; its journal goes to COMMAND.log."""
    with (config.parent / f"{command}.log").open("a") as log:
        process = subprocess.Popen(
            [EDGE_APP, command, "--config", str(config)], stderr=log, stdout=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def edge_app(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGE_APP, *map(str, args)], capture_output=True, text=True, timeout=60, check=False
    )


def log_of(config: Path, command: str) -> str:
    return (config.parent / f"{command}.log").read_text()


def test_install_list_and_change_over(tmp_path: Path) -> None:
    """A USB stick's two products are installed, listed, changed over; a bad file gives code 1, and
    both services end within five seconds of SIGTERM."""
    config = write_config(tmp_path)
    with running("agent", config) as agent, running("run", config) as run:
        wait_until(lambda: "inspection connected" in log_of(config, "agent"), 30)
        for product in ("alpha", "beta"):
            file = write_release(tmp_path / "usb" / f"{product}.bundle", manifest_of(product, 3))
            done = edge_app("install", file, "--config", config)
            assert done.returncode == 0, done.stdout + done.stderr
            states = [line.split()[0] for line in done.stdout.splitlines()]
            assert states == ["verifying", "self_check", "switching", "committed"]
        unsigned = write_bright_bundle(tmp_path / "usb" / "unsigned.bundle")
        done = edge_app("install", unsigned, "--config", config)
        assert done.returncode == 1
        assert "refused" in done.stdout
        assert "not signed" in done.stdout
        done = edge_app("slots", "--config", config, "select", "alpha")
        assert (done.returncode, "judges alpha" in done.stdout) == (0, True), done.stdout
        listed = edge_app("slots", "--config", config).stdout
        assert "active     alpha 3" in listed
        assert listed.count("installed  ") == 2
        assert edge_app("slots", "--config", config, "select", "gamma").returncode == 1
        assert edge_app("install", unsigned, "--slot", "x", "--config", config).returncode == 1
        for process in (run, agent):
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
    assert "ended unexpectedly" not in log_of(config, "agent")


def test_three_crashes_bring_the_previous_bundle_back(tmp_path: Path) -> None:
    """`run` is killed three times in a new bundle's probation: its next start judges with the old
    one, and the reason is told. Two planned stops do not count."""
    write_pictures(tmp_path / "in", 2, set())
    rules = "shadow_parts = 0\nprobation_parts = 100000"
    config = write_config(tmp_path, rules, "folder:in?loop=1&interval_s=0.2")
    store = Store(tmp_path / "store")
    with running("agent", config):
        with running("run", config) as run:
            wait_until(lambda: "inspection connected" in log_of(config, "agent"), 30)
            first = write_release(tmp_path / "1.bundle", manifest_of("alpha", 1))
            assert edge_app("install", first, "--config", config).returncode == 0
            old = store.active("main")
            second = write_release(tmp_path / "2.bundle", manifest_of("alpha", 2))
            following = subprocess.Popen(
                [EDGE_APP, "install", str(second), "--config", str(config)],
                stdout=subprocess.PIPE,
                text=True,
            )
            wait_until(lambda: _phase(store) == "probation", 20)
            new = store.active("main")
            run.send_signal(signal.SIGTERM)
            assert run.wait(10) == 0
        for crash in range(1, MAX_CRASHES + 1):
            with running("run", config):
                wait_until(
                    partial(
                        lambda n: log_of(config, "agent").count("inspection connected") > n, crash
                    ),
                    30,
                )
                assert store.active("main") == new
            wait_until(partial(lambda n: _crashes(store) in (n, None), crash), 10)
        said, _ = following.communicate(timeout=20)
        assert following.returncode == 1
        assert "rolled_back  edge-app run ended unexpectedly 3 times" in said
        assert store.active("main") == old
        with running("run", config):
            # its line in the agent's log is the fifth of a minute, and only counted
            wait_until(lambda: store.choices("main") == [old], 30)


def test_a_wrong_configuration_says_what_to_do(tmp_path: Path) -> None:
    """No agent table, no keys, no agent: each ends with code 2 and the remedy."""
    config = write_config(tmp_path)
    text = config.read_text()
    for change, told in (
        (("enabled = true\nstore", "enabled = false\nstore"), "[bundle] path is missing"),
        (('trusted_keys_dir = "keys"', ""), "trusted_keys_dir"),
        (("slot.main", "slot.other"), "no camera belongs to slot other"),
    ):
        assert change[0] in text
        config.write_text(text.replace(*change))
        done = edge_app("agent", "--config", config)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
    config.write_text(text)
    done = edge_app("slots", "--config", config)
    assert (done.returncode, "Start `edge-app agent`" in done.stderr) == (2, True)


def _phase(store: Store) -> str | None:
    intent = store.intent("main")
    return None if intent is None else intent.phase


def _crashes(store: Store) -> int | None:
    intent = store.intent("main")
    return None if intent is None else intent.crashes
