"""The whole app on cameras that fail: drivers killed under it, the app killed over a file drop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.plugin_packages import add_package
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.app import EdgeApp
from edge_app.cameras import registry
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.watch_journal import JOURNAL
from edge_app.config.load import config_of
from edge_app.config.model import AppConfig
from edge_app.records import FrameReport, PartVerdict, VerdictState

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))

CONFIG = """
[device]
site = "s"
line = "l"
device = "d"
state_dir = "state"
[bundle]
path = "a.bundle"
allow_unsigned = true
[[camera]]
name = "cam1"
url = "watch:drop?settle_s=0.05"
[mqtt]
enabled = false
[page]
enabled = false
[outbox]
reserve_mb = 1
"""

ODD = "tests.edge_app.cameras.odd_drivers"


def make_config(folder: Path, *urls: str) -> dict[str, Any]:
    """Return a configuration without broker and page, one camera for each address."""
    write_bright_bundle(folder / "a.bundle")
    return {
        "device": {"site": "s", "line": "l", "device": "d", "state_dir": "state"},
        "bundle": {"path": "a.bundle", "allow_unsigned": True},
        "camera": [{"name": f"cam{n}", "url": url} for n, url in enumerate(urls, 1)],
        "mqtt": {"enabled": False},
        "page": {"enabled": False},
        "outbox": {"reserve_mb": 1},
    }


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds, or fail."""
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.05)


def run_until(app: EdgeApp, story: Callable[[], None]) -> None:
    """Run the app in a thread while the story is told, then stop it."""
    thread = threading.Thread(target=app.run)
    thread.start()
    try:
        story()
    finally:
        app.stop()
        thread.join(20)


def test_killed_driver_costs_its_camera_a_moment_and_the_other_nothing(tmp_path: Path) -> None:
    """Two drivers, one killed twice: its triggers all get verdicts, the other camera goes on."""
    config: AppConfig = config_of(make_config(tmp_path, "basler:", "basler:"), tmp_path, "test")
    fired = IsolatedDriver("odd:1", ODD, {"odd": "Fired"}, "fired", interval_s=0.05)
    steady = IsolatedDriver("odd:2", ODD, {"odd": "Steady", "period_s": 0.05})
    cam1, cam2 = IsolatedCamera(fired, "cam1"), IsolatedCamera(steady, "cam2")
    verdicts: list[PartVerdict] = []
    seen = {"cam1": 0, "cam2": 0}

    def observe(report: FrameReport) -> None:
        seen[report.frame.camera] += 1
        verdicts.extend(v for v in report.finished if v.camera == "cam1")

    def kill_cam1() -> None:
        before = dict(seen)
        assert cam1.pid is not None
        os.kill(cam1.pid, signal.SIGKILL)
        wait_for(lambda: seen["cam1"] > before["cam1"] + 10)
        assert seen["cam2"] > before["cam2"]

    def story() -> None:
        wait_for(lambda: min(seen.values()) > 10)
        pid2 = cam2.pid
        kill_cam1()
        kill_cam1()
        assert cam2.pid == pid2

    app = EdgeApp(config, cameras={"cam1": cam1, "cam2": cam2}, observers=[observe])
    run_until(app, story)
    numbers = [v.source_number for v in verdicts]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(v.state is not VerdictState.OK or v.views_judged for v in verdicts)


def test_a_plug_in_that_does_not_load_leaves_the_other_camera_inspecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cameras, one of a broken package: the app starts, the other one's parts are judged."""
    add_package(
        tmp_path / "site", "bad-cropliq", {"bad_cropliq": "import nowhere"}, bad="bad_cropliq"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry._plugins.cache_clear()
    write_pictures(tmp_path / "drop", 3, {2})
    verdicts: list[PartVerdict] = []
    tables = make_config(tmp_path, "bad:1", f"folder:{tmp_path / 'drop'}")
    config: AppConfig = config_of(tables, tmp_path, "test")
    app = EdgeApp(config, observers=[lambda report: verdicts.extend(report.finished)])
    run_until(app, lambda: wait_for(lambda: len(verdicts) == 3))
    registry._plugins.cache_clear()
    assert {v.camera for v in verdicts} == {"cam2"}
    assert [v.state.name for v in verdicts].count("NG") == 1


def alarmed_numbers(folder: Path) -> list[int]:
    """Return the source number of every alarm in the outbox of a stopped app."""
    db = sqlite3.connect(folder / "state" / "outbox.sqlite")
    bodies = [json.loads(body) for (body,) in db.execute("select body from alerts order by seq")]
    db.close()
    return [body["source_number"] for body in bodies if body["event"] == "new"]


@pytest.mark.slow
def test_killed_app_judges_every_dropped_picture_once(tmp_path: Path) -> None:
    """Forty bad pictures dropped while the app is killed outright twice: forty alarms."""
    made = write_pictures(tmp_path / "made", 40, set(range(1, 41)))
    drop = tmp_path / "drop"
    drop.mkdir()
    config = tmp_path / "edge-app.toml"
    config.write_text(CONFIG)
    write_bright_bundle(tmp_path / "a.bundle")
    journal = drop / JOURNAL
    for pictures, shown, end in ((10, 5, signal.SIGKILL), (25, 20, signal.SIGKILL), (40, 40, None)):
        process = subprocess.Popen([EDGE_APP, "run", "--config", str(config)])
        try:
            for number in range(1, pictures + 1):
                if not (drop / f"{number:04d}.png").exists():
                    shutil.copyfile(made / f"{number:04d}.png", drop / f"{number:04d}.png")
                    time.sleep(0.02)
            wait_for(
                partial(
                    lambda n: journal.exists() and len(journal.read_text().split("\n")) > n, shown
                )
            )
            time.sleep(0.0 if end else 2.0)  # the last ones reach their verdict
            process.send_signal(end or signal.SIGTERM)
            process.wait(20)
        finally:
            process.kill()
            process.wait(10)
    assert sorted(alarmed_numbers(tmp_path)) == list(range(1, 41))
