"""The whole app while its machine's clock is set: by an hour, a year, to 1970, and back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until

from edge_app.history.ledger import check_history
from edge_app.host.boot import boot_id

CLOCK_PROCESS = str(Path(__file__).with_name("clock_process.py"))
YEAR_S = 366 * 86_400
PHASES = (
    "0 yes UTC",
    "3600 yes UTC",
    "-3600 yes UTC",
    f"{YEAR_S} yes UTC",
    "0 yes CET-2",  # summer time
    "-{since_1970} no UTC",
    f"{YEAR_S} no NZST-13",
    "0 yes UTC",
)
"""What the clock says while it runs, each for some parts: back from each to the next."""


def said_at(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["published_at"].replace("Z", "+00:00"))


def set_clock(file: Path, text: str) -> None:
    """Set the process's clock; the file is never seen half written."""
    new = file.with_suffix(".new")
    new.write_text(text.format(since_1970=int(time.time()) - 5))
    new.rename(file)


def proved_clock(state_dir: Path) -> None:
    """Let the app believe that its clock has been right since the machine's start, so that things
    may go for their age from the beginning (on a machine that runs for an hour at least)."""
    state_dir.mkdir()
    record = {"boot": boot_id(), "offset_s": time.time() - time.monotonic(), "steady_since_s": 0.0}
    (state_dir / "clock.json").write_text(json.dumps(record))


def names(alerts: list[dict[str, Any]]) -> set[str]:
    """Return the file names of the pictures that alerts name."""
    return {a["evidence"]["url"].rpartition("/")[2] for a in alerts if a.get("evidence")}


@pytest.mark.slow
def test_whatever_the_clock_is_set_to_nothing_is_lost(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """No trigger is late or lost, no camera stalls, no latency jumps, the broker stays; every alert
    arrives once, every picture it names and every part's record stay."""
    clock = tmp_path / "clock"
    set_clock(clock, PHASES[0])
    config = write_config(
        tmp_path,
        {"trig": "sim:round?mode=triggered&rate=2", "live": "sim:round?fps=4"},
        mosquitto.port,
        # a machine that others load must not lose a trigger for want of room
        camera="verdict_deadline_ms = 120000.0\nstall_after_s = 60.0\nqueue_depth = 500",
        mqtt="publish_results = true",
        more="""
[evidence]
max_age_h = 2.0
base_url = "http://127.0.0.1:1"
[history]
max_age_days = 0.1
""",
    )
    proved_clock(tmp_path / "state")
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    command = [sys.executable, CLOCK_PROCESS, str(clock), "run", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def results(camera: str) -> list[dict[str, Any]]:
        return listener.bodies(f"/cam/{camera}/result")

    try:
        wait_until(lambda: len(results("trig")) >= 2, 90, "the first parts")
        for text in PHASES:
            set_clock(clock, text)
            seen = len(results("trig")), len(results("live"))
            wait_until(lambda s=seen: len(results("trig")) >= s[0] + 3, 60)  # type: ignore[misc]
            wait_until(lambda s=seen: len(results("live")) >= s[1] + 2, 60)  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    listener.close()
    assert process.returncode == 0
    both = [*results("trig"), *results("live")]
    at = sorted(said_at(r) for r in both)
    assert at[-1] - at[0] > timedelta(days=300)  # the clock was set indeed
    assert {a["clock_synchronised"] for a in both} == {True, False}
    alerts = [a for c in ("trig", "live") for a in listener.bodies(f"/cam/{c}/alert")]
    assert {a["event"] for a in alerts} <= {"new", "update", "end"}  # no gap: no trigger was lost
    assert sorted(a["seq"] for a in alerts) == [*range(1, len(alerts) + 1)]
    assert {r["reason"] for r in (*both, *alerts)} <= {"", "stopped"}
    assert max(r["latency_ms"] for r in both) < 120_000
    told = [b for c in ("trig", "live") for b in listener.bodies(f"/cam/{c}/state")]
    states = [b["state"] for b in told if b["reason"] != "it is being opened"]
    assert set(states) <= {"capturing", "waiting_for_trigger"}
    assert [b["state"] for b in listener.bodies("/status")] == ["online", "stopped"]
    kept = {file.name for file in (tmp_path / "state").glob("evidence/*/*.jpg")}
    assert names(alerts) <= kept
    assert kept
    ledger = check_history(tmp_path / "state" / "history.sqlite")
    assert ledger.is_whole
    assert sum(c.deleted for c in ledger.cameras) == 0
    assert sum(c.parts for c in ledger.cameras) >= len({(r["camera"], r["part_id"]) for r in both})
