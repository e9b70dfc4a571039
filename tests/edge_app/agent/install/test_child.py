"""The throw-away process: what dies, hangs or does not stop there is told, and nothing is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, write_release
from support.brokers import wait_until

from edge_app.agent.install.trial_process import CheckLimits, Stopped, self_check
from edge_app.errors import BundleError

LIMITS = CheckLimits(1 << 30, 3 << 30, cpu_s=60, wall_s=60.0)


def endless(folder: Path) -> Path:
    return write_release(folder / "endless.bundle", manifest_of(), "endless_inspector")


def children() -> list[int]:
    """Return the trial processes that are there now."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [
        p
        for p in found
        if b"edge_app.agent.install.trial_process" in Path(f"/proc/{p}/cmdline").read_bytes()
    ]


def test_a_good_bundle_passes_with_its_figures(tmp_path: Path) -> None:
    """Pictures, memory and time come back."""
    result = self_check(write_release(tmp_path / "a.bundle"), LIMITS)
    assert (result.reason, result.pictures) == ("", 2)
    assert 50 < result.memory_mb < 3000
    assert result.latency_ms is not None


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    """A segmentation fault while a graph runs ends the trial and nothing else."""
    done: list[str] = []

    def try_it() -> None:
        with pytest.raises(BundleError) as error:
            self_check(endless(tmp_path), LIMITS)
        done.append(str(error.value))

    thread = threading.Thread(target=try_it)
    thread.start()
    wait_until(lambda: bool(children()), 20)
    os.kill(children()[0], signal.SIGSEGV)
    thread.join(20)
    assert done == ["self-check failed: the trial process died of SIGSEGV."]


def test_a_hang_ends_with_its_time(tmp_path: Path) -> None:
    """The wall clock ends what the CPU limit does not; the process is gone afterwards."""
    began = time.monotonic()
    with pytest.raises(BundleError, match=r"did not end within 1\.5 s"):
        self_check(endless(tmp_path), CheckLimits(1 << 30, 3 << 30, 60, 1.5))
    assert time.monotonic() - began < 10
    assert children() == []


def test_memory_beyond_the_limit_is_told(tmp_path: Path) -> None:
    """With too little address space even to load, the key to change is named."""
    limits = CheckLimits(1 << 30, 300 << 20, 60, 60.0)
    with pytest.raises(BundleError, match=r"agent\.check_memory_mb|allocate|cannot be loaded"):
        self_check(write_release(tmp_path / "a.bundle"), limits)


def test_an_agent_that_ends_takes_its_trial_along(tmp_path: Path) -> None:
    """Stopping does not wait for a trial, and says nothing of the bundle."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        self_check(endless(tmp_path), LIMITS, stop.is_set)
    assert children() == []
