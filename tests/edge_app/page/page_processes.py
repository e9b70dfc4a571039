"""An inspecting app with its page in a process of its own, for the tests of both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.app_config import write_config
from support.brokers import free_port, wait_until
from support.small_bundles import write_pictures

from edge_app.app import EdgeApp
from edge_app.config.load import load_config
from edge_app.page.door import PageChild
from edge_app.records import FrameReport, PartVerdict

PICTURES = "folder:in?loop=1&interval_s=0.1"


class PagedLine:
    """An inspecting app in a thread, what it judged, and a client of its page."""

    def __init__(
        self, folder: Path, page_socket: Path | None = None, page: str = "", mqtt_port: int = 1
    ) -> None:
        if not (folder / "in").exists():
            write_pictures(folder / "in", 6, {2, 5})
        served = f"[page]\nport = {free_port()}\n{page}"
        config = write_config(folder, PICTURES, mqtt_port)
        text = config.read_text().replace("[page]\nenabled = false", served)
        if mqtt_port == 1:
            text = text.replace("[mqtt]", "[mqtt]\nenabled = false")
        config.write_text(text)
        self.verdicts: list[PartVerdict] = []
        self.app = EdgeApp(load_config(config), observers=[self._note], page_socket=page_socket)
        self.url = str(self.app.page_url)
        self._thread = threading.Thread(target=self.app.run, daemon=True)

    def _note(self, report: FrameReport) -> None:
        self.verdicts += report.finished

    def start(self) -> PagedLine:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.app.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def child_pid(self) -> int | None:
        door = self.app._door
        assert isinstance(door, PageChild)
        return door.pid

    def goes_on(self, parts: int = 5) -> None:
        """Wait until so many further parts are judged."""
        goal = len(self.verdicts) + parts
        wait_until(lambda: len(self.verdicts) >= goal, 10, "parts are judged")


@contextmanager
def paged_line(folder: Path, **more: Any) -> Iterator[PagedLine]:
    line = PagedLine(folder, **more).start()
    try:
        yield line
    finally:
        line.stop()


@contextmanager
def page_service(socket_path: Path, state: Path, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `edge-app page` as the unit does."""
    state.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "edge_app.cli.main", "page", "--socket", str(socket_path)],
        env={**os.environ, "STATE_DIRECTORY": str(state), "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ask(url: str, path: str = "/api/state", **more: Any) -> httpx.Response | None:
    """Return the page's answer; None while nobody answers."""
    try:
        return httpx.get(url + path, trust_env=False, timeout=5, **more)
    except httpx.TransportError:
        return None


def answered(url: str, path: str = "/api/state", **more: Any) -> httpx.Response:
    """Return the page's answer; the test fails while nobody answers."""
    answer = ask(url, path, **more)
    assert answer is not None, f"nobody answers at {url}{path}"
    return answer


def state_of(url: str, **more: Any) -> dict[str, Any]:
    """Return /api/state; {} while nobody answers."""
    answer = ask(url, **more)
    return {} if answer is None or answer.status_code != 200 else answer.json()


def shows_parts(url: str) -> bool:
    """Tell whether the page shows a camera that is judged."""
    return any(camera["verdict"] for camera in state_of(url).get("cameras", ()))


def is_running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def settled(count: int = 3) -> None:
    """Let what is under way end."""
    time.sleep(0.1 * count)
