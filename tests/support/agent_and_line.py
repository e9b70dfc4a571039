"""A device in one process: the agent, the inspecting app and the socket between them, all real."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.agent.agent import Agent
from edge_app.agent.install.trial_process import CheckResult, _try_bundle
from edge_app.agent.main import make_agent
from edge_app.app import EdgeApp
from edge_app.config.load import load_config
from edge_app.config.model import AppConfig
from edge_app.mqtt.deploy_messages import FINAL_STATES, DeployState, Reported
from edge_app.records import FrameReport, PartVerdict
from edge_app.store.bundle_store import Store
from edge_app.store.durable_write import Perform, perform
from support.activation_bundles import trusted_keys
from support.brokers import wait_until
from support.small_bundles import write_pictures

TRIGGERED = "sim:tapered?mode=triggered&rate=3&height=520&width=640"
PICTURES = "folder:in?loop=1&interval_s=0.05"
"""Small good pictures, twenty a second: cheap, where no trigger is needed."""

QUICK = "shadow_parts = 0\nprobation_parts = 0"
"""A slot whose bundles need not earn their place."""


def write_config(folder: Path, slot: str = QUICK, url: str = PICTURES, more: str = "") -> Path:
    """Write a configuration with an agent and one camera; return its path."""
    trusted_keys(folder / "keys")
    write_pictures(folder / "in", 3, set())
    config = folder / "edge-app.toml"
    config.write_text(
        f"""
[device]
site = "graz"
line = "l2"
device = "d3"
state_dir = "state"
[bundle]
trusted_keys_dir = "keys"
[[camera]]
name = "cam1"
url = "{url}"
[mqtt]
enabled = false
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
check_memory_mb = 3072
check_cpu_s = 6
check_wall_s = 120.0
inspection_wait_s = 5.0
min_free_mb = 1
[slot.main]
max_latency_ratio = 100.0
{slot}
{more}
"""
    )
    return config


class Line:
    """The inspecting app in a thread, and every verdict it reached."""

    def __init__(self, config: AppConfig) -> None:
        self.verdicts: list[PartVerdict] = []
        self.app = EdgeApp(config, observers=[self._note])
        self._thread = threading.Thread(target=self.app.run, daemon=True)

    def _note(self, report: FrameReport) -> None:
        self.verdicts += report.finished

    def start(self) -> Line:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.app.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def judges(self) -> str | None:
        """The serial-bearing name of what judged last, e.g. "bright 2"."""
        model = self.verdicts[-1].model if self.verdicts else None
        return f"{model.product} {model.serial}" if model else None

    def judged_by(self, sha256: str) -> int:
        """Return how many parts a bundle has judged so far."""
        return sum(v.model is not None and v.model.bundle_sha256 == sha256 for v in self.verdicts)

    @property
    def unjudged(self) -> list[str]:
        """Why parts were not inspected."""
        return [v.reason for v in self.verdicts if v.state.value == "NOT_INSPECTED"]


def try_here(file: Path) -> CheckResult:
    """Judge the golden set in this process: the trial's own process has tests of its own."""
    return _try_bundle(file, 1 << 30)


class Device:
    """The agent's half, and what it reported.

    Args:
        do: makes the store's changes.
        tries_here: the self-check costs no process.
    """

    def __init__(self, config_path: Path, do: Perform = perform, tries_here: bool = False) -> None:
        self.config = load_config(config_path)
        self.store = Store(self.config.agent.store_dir, do)
        self.reports: list[Reported] = []
        self._stop = threading.Event()
        self.agent: Agent = make_agent(self.config, self.store, self.reports.append, self._stop)
        if tries_here:
            for flow in self.agent._flows.values():
                flow._checks = dataclasses.replace(flow._checks, try_out=try_here)

    def stop(self) -> None:
        self._stop.set()
        self.agent.stop()

    def states(self) -> list[DeployState]:
        """Return the states of the last order, each once."""
        return list(dict.fromkeys(r.state for r in self.reports))

    def install(self, file: Path, timeout_s: float = 30.0) -> Reported:
        """Install a file and return how it ended."""
        self.reports.clear()
        self.agent.install(file, "main", "file")
        return self.outcome(timeout_s)

    def outcome(self, timeout_s: float = 30.0) -> Reported:
        """Wait for the order in hand to end."""
        wait_until(self._has_ended, timeout_s, f"an end after {self.states()}")
        return next(r for r in self.reports if r.state in FINAL_STATES)

    def select(self, product: str, timeout_s: float = 10.0) -> tuple[bool, str]:
        """Change over and return the answer."""
        answers: list[tuple[bool, str]] = []
        self.agent.select("main", product, lambda ok, text: answers.append((ok, text)))
        wait_until(lambda: bool(answers), timeout_s, "an answer")
        return answers[0]

    def _has_ended(self) -> bool:
        return any(r.state in FINAL_STATES for r in self.reports)


@contextmanager
def device(
    config_path: Path, do: Perform = perform, tries_here: bool = False
) -> Iterator[tuple[Device, Line]]:
    """Run a device's two halves."""
    half = Device(config_path, do, tries_here)
    half.agent.start()
    line = Line(half.config).start()
    try:
        yield half, line
    finally:
        line.stop()
        half.stop()
