"""`edge-app run` with a real socket in systemd's place: what the service manager hears."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.app_config import EDGE_APP, write_config
from support.brokers import Mosquitto, free_port, wait_until
from support.small_bundles import write_pictures

WATCHDOG_S = 1.5
START_S = 30.0
"""For a start, on a machine that does other things too."""


class Manager:
    """A service manager's socket; keeps every message with the time it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def texts(self) -> list[str]:
        """Return every message so far."""
        while True:
            try:
                self.heard.append((time.monotonic(), self._socket.recv(4096).decode()))
            except BlockingIOError:
                return [text for _, text in self.heard]

    def silent_s(self) -> float:
        """Return for how long the watchdog has not been fed."""
        self.texts()
        return time.monotonic() - max(at_s for at_s, text in self.heard if text == "WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


@contextmanager
def service(folder: Path, cameras: dict[str, str], port: int) -> Iterator[tuple[Manager, int]]:
    """Run the app with these cameras as systemd would start it; yields what it says and its pid."""
    config = write_config(folder, cameras, port, more="[watchdog]\ncamera_deadline_s = 1.0")
    manager = Manager(folder / "notify")
    told = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [EDGE_APP, "run", "--config", str(config)],
            env={**os.environ, **told}, stderr=stderr,
        )  # fmt: skip
        try:
            yield manager, process.pid
        finally:
            process.kill()
            process.wait()
            manager.close()


@pytest.mark.needs("mosquitto")
def test_a_service_says_ready_feeds_the_watchdog_and_says_goodbye(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Ready once the broker has its status, fed from then on, STOPPING at SIGTERM."""
    write_pictures(tmp_path / "in", 3, set())
    url = "folder:in?loop=1&interval_s=0.1"
    with service(tmp_path, {"cam1": url}, mosquitto.port) as (manager, pid):
        wait_until(lambda: manager.texts().count("WATCHDOG=1") > 3, START_S)
        texts = manager.texts()
        assert texts.count("READY=1") == 1
        assert texts.index("READY=1") < texts.index("WATCHDOG=1")
        wait_until(lambda: "broker connected; 0 alerts wait" in "".join(manager.texts()))
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: manager.texts()[-1] == "STOPPING=1")


def test_a_service_is_ready_without_a_broker(tmp_path: Path) -> None:
    """Nobody listens at the broker's address: the line runs, so the service is ready."""
    write_pictures(tmp_path / "in", 3, {2})
    url = "folder:in?loop=1&interval_s=0.1"
    with service(tmp_path, {"cam1": url}, free_port()) as (manager, _pid):
        wait_until(lambda: "READY=1" in manager.texts(), START_S)
        wait_until(lambda: manager.texts().count("WATCHDOG=1") > 3, START_S)
        assert "broker connecting" in "".join(manager.texts())


HUNG_SHARE = """
import os, time

def waiting(call):
    def hung(path, *more, **named):
        if str(path).endswith("hung/0002.png"):
            time.sleep(3600)
        return call(path, *more, **named)
    return hung

os.stat = waiting(os.stat)
"""


def test_a_driver_that_does_not_return_ends_the_feeding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture's share does not answer: the camera's name is logged, systemd is left unfed."""
    write_pictures(tmp_path / "good", 3, set())
    write_pictures(tmp_path / "hung", 3, set())
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(HUNG_SHARE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    cameras = {"cam1": "folder:good?loop=1&interval_s=0.1", "cam2": "folder:hung"}
    with service(tmp_path, cameras, free_port()) as (manager, _pid):
        wait_until(lambda: "READY=1" in manager.texts(), START_S)
        stderr = tmp_path / "stderr"
        wait_until(lambda: "camera cam2 has not moved for" in stderr.read_text())
        wait_until(lambda: manager.silent_s() > WATCHDOG_S)
        assert "camera cam1 has not" not in stderr.read_text()
