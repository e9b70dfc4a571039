"""The installed app on a disk that is filled while it runs: alerts first, then the history."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from support.app_config import EDGE_APP, ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.small_bundles import write_pictures

NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@pytest.mark.needs("a disk of its own in a namespace")
def test_a_full_disk_costs_the_history_before_an_alert(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Full to the last byte: alerts are stored, in the reserve, and sent; the history says that it
    cannot be written, and what it held in memory is there afterwards."""
    write_pictures(tmp_path / "in", 4, {1, 2, 3})
    config = write_config(tmp_path, "folder:in?loop=1&interval_s=0.2", mosquitto.port)
    state, full, well = tmp_path / "state", tmp_path / "full", tmp_path / "well"
    state.mkdir()
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    where = shlex.quote(str(state))
    waits = "while [ ! -e {} ]; do sleep 0.1; done"
    run = f"{shlex.quote(EDGE_APP)} {{}} --config {shlex.quote(str(config))}"
    script = (
        f"mount -t tmpfs -o size=24M none {where}; "
        f"({waits.format(shlex.quote(str(full)))}; "
        f"dd if=/dev/zero of={where}/ballast bs=4k 2>/dev/null; "
        f"{waits.format(shlex.quote(str(well)))}; rm {where}/ballast) & "
        f"{run.format('run')}; {run.format('history check')}; "
        f"echo checked $?; {run.format('history export')} --jsonl -"
    )
    process = subprocess.Popen(
        [*NAMESPACE, "sh", "-c", script],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=SCRIPT_ENVIRONMENT,
    )  # fmt: skip
    try:
        wait_until(lambda: len(listener.bodies("/alert")) > 2, 30)
        full.touch()
        wait_until(lambda: "history cannot be written" in _reason(listener), 30)
        before = len(listener.bodies("/alert"))
        wait_until(lambda: len(listener.bodies("/alert")) > before + 8, 30)
        stored = [b for b in listener.bodies("/alert")[before:] if not b["is_from_memory"]]
        assert len(stored) > 6, "alerts are in memory only while the disk is full"
        well.touch()
        wait_until(lambda: listener.bodies("d3/status")[-1]["state"] == "online", 40)
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid), "edge-app"], check=True)
        out, _ = process.communicate(timeout=60)
    finally:
        full.touch()
        well.touch()
        process.kill()
        process.wait()
    assert "checked 0" in out, out
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    told = {b["alarm_id"] for b in listener.bodies("/alert") if b["event"] == "new"}
    assert told <= {row["alarm_id"] for row in rows}


def _reason(listener: Listener) -> str:
    bodies = listener.bodies("d3/status")
    return str(bodies[-1]["reason"]) if bodies else ""
