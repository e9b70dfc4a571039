"""The whole app while its machine's clock is set by an hour, forwards and back."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until

CLOCK_PROCESS = str(Path(__file__).with_name("clock_process.py"))
HOUR = timedelta(hours=1)


def said_at(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["published_at"].replace("Z", "+00:00"))


def test_the_clock_is_set_by_an_hour_forwards_and_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """No trigger is late or lost, no camera stalls, no latency jumps, the broker stays."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    config = write_config(
        tmp_path,
        {"trig": "sim:round?mode=triggered&rate=4", "live": "sim:round?fps=4"},
        mosquitto.port,
        camera="verdict_deadline_ms = 20000.0\nstall_after_s = 20.0",
        mqtt="publish_results = true",
    )
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    command = [sys.executable, CLOCK_PROCESS, str(offset), "run", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def results(camera: str) -> list[dict[str, Any]]:
        return listener.bodies(f"/cam/{camera}/result")

    try:
        wait_until(lambda: len(results("trig")) >= 4, 40)
        for text in ("3600", "-3600"):
            offset.write_text(text)
            seen = len(results("trig")), len(results("live"))
            wait_until(lambda s=seen: len(results("trig")) >= s[0] + 6, 40)  # type: ignore[misc]
            wait_until(lambda s=seen: len(results("live")) >= s[1] + 4, 40)  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    listener.close()
    assert process.returncode == 0
    both = [*results("trig"), *results("live")]
    at = sorted(said_at(r) for r in both)
    assert at[-1] - at[0] > 2 * HOUR - timedelta(minutes=5)  # the clock was set indeed
    alerts = [a for c in ("trig", "live") for a in listener.bodies(f"/cam/{c}/alert")]
    assert {a["event"] for a in alerts} <= {"new", "update", "end"}  # no gap: no trigger was lost
    assert {r["reason"] for r in (*both, *alerts)} <= {"", "stopped"}
    assert max(r["latency_ms"] for r in both) < 20_000
    told = [b for c in ("trig", "live") for b in listener.bodies(f"/cam/{c}/state")]
    states = [b["state"] for b in told if b["reason"] != "it is being opened"]
    assert set(states) <= {"capturing", "waiting_for_trigger"}
    assert [b["state"] for b in listener.bodies("/status")] == ["online", "stopped"]
