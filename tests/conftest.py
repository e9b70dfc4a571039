"""Fixtures that several folders of tests use."""

from __future__ import annotations

import os
import sys

if "PYTEST_XDIST_WORKER" in os.environ:
    # Beside other workers, more threads than cores only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.brokers import Mosquitto
from support.needs import needing

pytest_plugins = ("support.left_environment", "support.needs", "support.often")


def pytest_configure(config: pytest.Config) -> None:
    """On Python 3.10 the tests' broker (amqtt) leaves sockets to the collector, not ours: those are
    found on 3.11 and later."""
    if sys.version_info < (3, 11):
        config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several workers share the files, let the long ones (trainings) begin."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith("tests/export/"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, in our order: what a file's tests share is made once.

    The files of tests/systemd share a booted Debian, so they go to one worker.
    """
    from xdist.scheduler import LoadFileScheduling

    class WholeFiles(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/systemd" if file.startswith("tests/systemd/") else file

    config.option.loadscopereorder = False
    return WholeFiles(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every graph and precision that TensorRT-RTX's builder has made an engine of."""
    compiled = [
        report.nodeid
        for report in terminalreporter.getreports("passed")
        if "compiles_ahead_of_time" in report.nodeid
    ]
    if compiled:
        terminalreporter.section("compiled ahead of time")
        for nodeid in sorted(compiled):
            terminalreporter.write_line(nodeid.rpartition("/")[2])


@pytest.fixture
@needing("mosquitto")
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Return a function that starts a mosquitto with further configuration lines."""
    started: list[Mosquitto] = []

    def start(lines: str = "", is_open: bool = True) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"mosquitto-{len(started)}", lines, is_open)
        started.append(broker)
        return broker.start()

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """Return a running mosquitto that is open to everybody and stores its sessions."""
    return start_mosquitto()
