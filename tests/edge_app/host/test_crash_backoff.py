"""Stories of a service that cannot start, and of one that recovers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.brokers import patient_s

from edge_app.host.crash_backoff import MAX_WAIT_S, CrashBackoff, wait_after

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))


def test_waits_double_after_three_crashes_up_to_a_minute() -> None:
    """The first three come back at once, then 1, 2, 4 ... seconds, never more than a minute."""
    assert [wait_after(n) for n in range(10)] == [0, 0, 0, 1, 2, 4, 8, 16, 32, MAX_WAIT_S]
    assert wait_after(100_000) == MAX_WAIT_S


def start(backoff: CrashBackoff) -> tuple[float, list[str]]:
    """Start once; return how long it waited and what `systemctl status` showed."""
    told: list[str] = []
    began_s = time.monotonic()
    assert backoff.wait(threading.Event(), told.append)
    return time.monotonic() - began_s, told


def test_a_series_of_crashes_waits_and_a_good_start_ends_it(tmp_path: Path) -> None:
    """Four starts that do not last: the fourth waits a second and says so; then one lasts."""
    backoff = CrashBackoff(tmp_path / "starts")
    assert all(start(backoff)[1] == [] for _ in range(3))
    waited_s, told = start(backoff)
    assert 0.9 < waited_s < 1 + patient_s(2)
    assert told == ["the last 3 starts did not last; the next begins in 1 s"]
    backoff.clear()
    assert start(backoff)[1] == []


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    """A service that is stopped while it waits ends at once, without starting."""
    (tmp_path / "starts").write_text("9")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began_s = time.monotonic()
    assert not CrashBackoff(tmp_path / "starts").wait(stop, lambda _text: None)
    assert time.monotonic() - began_s < patient_s(5)


@pytest.mark.parametrize("content", ["", "x", "\0\0"])
def test_a_count_cut_off_by_a_power_failure_is_none(tmp_path: Path, content: str) -> None:
    """A damaged file neither stops the service nor makes it wait."""
    (tmp_path / "starts").write_text(content)
    assert start(CrashBackoff(tmp_path / "starts"))[0] < 0.5


def test_outside_systemd_nothing_is_counted(tmp_path: Path) -> None:
    """At the shell there is no file and no waiting."""
    assert CrashBackoff.from_environment({"STATE_DIRECTORY": str(tmp_path)})._file is None
    as_service = {"STATE_DIRECTORY": f"{tmp_path}:/other", "NOTIFY_SOCKET": "/run/x"}
    assert CrashBackoff.from_environment(as_service)._file == tmp_path / "starts"


def test_a_service_with_a_wrong_configuration_waits_longer_each_time(tmp_path: Path) -> None:
    """The installed command, restarted as systemd would: the fourth attempt comes after a pause."""
    environment = {**os.environ, "STATE_DIRECTORY": str(tmp_path), "NOTIFY_SOCKET": "@nobody"}
    command = [EDGE_APP, "run", "--config", str(tmp_path / "none.toml")]
    (tmp_path / "starts").write_text("4")
    began_s = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert time.monotonic() - began_s > 2
    assert (tmp_path / "starts").read_text() == "5\n"
