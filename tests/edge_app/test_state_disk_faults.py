"""The running app whose system calls on the outbox fail or are slow, as strace makes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.small_bundles import write_pictures

WRITES = "write,pwrite64,pwritev,ftruncate"
SYNCS = "fsync,fdatasync"
FAULTS = {
    "EIO": f"{WRITES},{SYNCS}:error=EIO",
    "EIO of a sync": f"{SYNCS}:error=EIO",
    "ENOSPC": f"{WRITES}:error=ENOSPC",
    "EROFS": f"{WRITES},{SYNCS}:error=EROFS",
    "2 s": f"{SYNCS}:delay_enter=2000000",
}
ORDINARY = "EIO"
"""Tried by the ordinary run; the others take the slow one."""


@contextmanager
def injected(pid: int, what: str, files: list[Path]) -> Iterator[None]:
    """Have a running process's calls on these files fail, until the end."""
    paths = [arg for file in files for arg in ("-P", str(file))]
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), "-o", "/dev/null", *paths, "-e", f"inject={what}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    assert "attached" in first, first
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=() if f == ORDINARY else pytest.mark.slow) for f in FAULTS]
)
def test_a_disk_fault_while_it_runs_costs_no_alert(
    mosquitto: Mosquitto, tmp_path: Path, fault: str
) -> None:
    """Inspection goes on, alerts come from memory, the state says so; then all is as it was."""
    write_pictures(tmp_path / "in", 4, {1, 2, 3})
    config = write_config(tmp_path, "folder:in?loop=1&interval_s=0.3", mosquitto.port)
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_app.cli.main", "run", "--config", str(config)],
        stderr=subprocess.DEVNULL,
        env={**SCRIPT_ENVIRONMENT, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )
    state = tmp_path / "state"
    files = [state / f"outbox.sqlite{end}" for end in ("", "-wal", ".last")]

    def told() -> list[dict[str, object]]:
        return listener.bodies("/alert")

    def is_online() -> bool:
        return [b["state"] for b in listener.bodies("d3/status")][-1:] == ["online"]

    try:
        wait_until(lambda: is_online() and len(told()) > 2, 60)
        with injected(process.pid, FAULTS[fault], files):
            wait_until(lambda: sum(bool(b["is_from_memory"]) for b in told()) > 3, 60)
            wait_until(lambda: listener.bodies("d3/status")[-1]["state"] == "degraded", 30)
            reason = listener.bodies("d3/status")[-1]["reason"]
            assert "do not survive a power cut" in reason
        wait_until(is_online, 60)
        wait_until(lambda: not told()[-1]["is_from_memory"], 60)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    numbers = [n for b in told() if isinstance(n := b["source_number"], int)]
    assert set(numbers) == {n for n in range(1, max(numbers) + 1) if n % 4}  # 1, 2, 3 are bad
    used: dict[tuple[object, object], object] = {}
    for body in told():
        first = used.setdefault((body["store_id"], body["seq"]), body["message_id"])
        assert first == body["message_id"]
