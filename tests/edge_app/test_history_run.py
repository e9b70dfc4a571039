"""The installed command with its history: killed at any time, it accounts for every part."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.alert_listener import AlertListener
from support.app_config import EDGE_APP, edge_app, write_config
from support.child_processes import SCRIPT_ENVIRONMENT
from support.small_bundles import write_pictures

from edge_app.demo.broker import EmbeddedBroker
from edge_app.history.ledger import check_history
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader

PER_SECOND = 20

pytestmark = pytest.mark.needs("the extra demo")


def test_every_part_has_a_row(tmp_path: Path) -> None:
    """A folder with three bad parts: a row each, with its alarm and its picture."""
    write_pictures(tmp_path / "in", 8, {2, 5, 7})
    with EmbeddedBroker() as broker, AlertListener(broker.port) as listener:
        config = write_config(tmp_path, "folder:in", broker.port)
        done = edge_app("run", "--config", str(config))
        assert done.returncode == 0, done.stderr
        alarms = {a["alarm_id"] for a in listener.alerts}
    history = HistoryReader(tmp_path / "state" / "history.sqlite")
    parts = list(history.every_part(PartFilter()))
    assert len(parts) == 8
    bad = [part for part in parts if part["state"] == "NG"]
    assert {part["alarm_id"] for part in bad} == alarms
    assert all(part["evidence_sha256"] for part in bad)
    checked = edge_app("history", "check", "--config", str(config))
    assert "pictures: 3 named, 3 whole" in checked.stdout, checked.stdout
    assert check_history(tmp_path / "state" / "history.sqlite").is_whole


def killed_runs(tmp_path: Path, count: int, kills: int, seed: int) -> None:
    """Run through `count` parts, more than the killed runs can judge, and account for each."""
    rng = random.Random(seed)
    bad = set(range(3, count, 4))
    write_pictures(tmp_path / "in", count, bad)
    path = tmp_path / "state" / "history.sqlite"
    with EmbeddedBroker() as broker, AlertListener(broker.port) as listener:
        config = write_config(tmp_path, f"folder:in?interval_s={1 / PER_SECOND}", broker.port)
        for _ in range(kills):
            process = subprocess.Popen(
                [EDGE_APP, "run", "--config", str(config)],
                stderr=subprocess.DEVNULL,
                env=SCRIPT_ENVIRONMENT,
            )
            end_s = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < end_s and not path.exists():
                time.sleep(0.05)
            time.sleep(rng.uniform(0.3, 4.0))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        write_config(tmp_path, "folder:in", broker.port)
        last = subprocess.run(
            [EDGE_APP, "run", "--config", str(config)],
            capture_output=True, text=True, timeout=900, env=SCRIPT_ENVIRONMENT, check=False,
        )  # fmt: skip
        assert last.returncode == 0, last.stderr
        told = {a["alarm_id"] for a in listener.alerts if a["event"] != "gap"}
        gaps = [a for a in listener.alerts if a["event"] == "gap"]
    ledger = check_history(path)
    assert ledger.is_whole, ledger
    (camera,) = ledger.cameras
    parts = list(HistoryReader(path).every_part(PartFilter()))
    rows = [int(part["number"]) for part in parts]
    assert len(rows) == len(set(rows)), "a part has two rows"
    assert camera.parts + camera.declared == count - rows[-1] + 1, (rows[-1], gaps)
    assert told <= {part["alarm_id"] for part in parts}, "an alerted part has no row"
    lost = [g["count"] for g in HistoryReader(path).gaps() if g["kind"] == "loss"]
    print(f"{kills} kills: {camera.parts} rows, {camera.declared} declared, {len(told)} alarms; "
          f"largest loss {max(lost, default=0)} parts, {sum(lost)} in all")  # fmt: skip
    assert max(lost, default=0) <= PER_SECOND, "more than a second's parts are lost"


def test_killed_and_restarted(tmp_path: Path) -> None:
    """Two kills: rows and declared losses are all parts, and every alerted part has its row."""
    killed_runs(tmp_path, 200, 2, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_many_times(tmp_path: Path) -> None:
    """The same at 20 parts a second with 20 kills, or as many as CROPLIQ_KILLS says."""
    kills = int(os.environ.get("CROPLIQ_KILLS", "20"))
    killed_runs(tmp_path, 80 * kills, kills, 2)
