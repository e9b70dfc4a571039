"""Opening a camera again and again leaves nothing behind: memory, handles, threads, processes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.brokers import wait_until

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver

STEADY = IsolatedDriver("odd:", "tests.edge_app.cameras.odd_drivers", {"odd": "Steady"})


def held() -> tuple[int, int, int]:
    """Return what this process holds: KiB of memory, handles, threads."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    handles = len(list(Path("/proc/self/fd").iterdir()))
    return int(status["VmRSS"].split()[0]), handles, int(status["Threads"])


def reopen(count: int) -> None:
    """Open, read once and close, `count` times."""
    camera = IsolatedCamera(STEADY, "cam1", open_s=60.0)
    for _ in range(count):
        camera.open()
        camera.read(10.0)
        camera.close()


def test_twenty_reconnects_leak_nothing() -> None:
    """Handles and threads are the same after twenty reconnects as before."""
    reopen(2)
    before = held()
    reopen(20)
    wait_until(lambda: held()[1:] == before[1:], 5, f"handles and threads as before: {before[1:]}")


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_thousand_reconnects_leak_nothing() -> None:
    """After 1,000 reconnects of four cameras at once: no handle, no thread, under 2 MiB more."""
    reopen(5)
    before = held()
    lives = [threading.Thread(target=reopen, args=(250,)) for _ in range(4)]
    for life in lives:
        life.start()
    for life in lives:
        life.join()
    # The system may still be ending a thread that Python has joined.
    wait_until(lambda: held()[1:] == before[1:], 5, f"handles and threads as before: {before[1:]}")
    assert held()[0] - before[0] < 2048
