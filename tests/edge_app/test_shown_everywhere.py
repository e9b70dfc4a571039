"""MQTT, page and `systemctl status` say the same of every configured camera, from the start."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until
from support.small_bundles import write_pictures

from edge_app.app import EdgeApp
from edge_app.config.load import load_config
from edge_app.page.snapshot import state_json


def shown(app: EdgeApp) -> dict[str, dict[str, Any]]:
    """Return the page's cameras by name, in its order."""
    return {entry["name"]: entry for entry in state_json(app.page_state)["cameras"]}


@pytest.mark.needs("mosquitto")
def test_every_camera_is_shown_as_it_is_from_second_0(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """One that cannot be reached, one that has ended, one that waits: before anything runs all
    three are listed in the configured order; then each has its own state and reason, and neither
    the ended nor the unreachable one is green. A reason that changes is told."""
    write_pictures(tmp_path / "few", 2, set())
    cameras = {"right": "folder:absent", "left": "folder:few", "middle": "watch:few"}
    app = EdgeApp(load_config(write_config(tmp_path, cameras, mosquitto.port)))
    assert list(shown(app)) == ["right", "left", "middle"]
    assert {entry["is_good"] for entry in shown(app).values()} == {None}
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    thread = threading.Thread(target=app.run)
    thread.start()

    def told(camera: str) -> list[tuple[str, str]]:
        return [(b["state"], b["reason"]) for b in listener.bodies(f"/cam/{camera}/state")]

    try:
        wait_until(lambda: any("absent" in why for _, why in told("right")), 20, "right")
        wait_until(lambda: "ended" in {state for state, _ in told("left")}, 20, "left")
        wait_until(lambda: shown(app)["middle"]["is_good"] is True, 20, "middle")
        assert told("right")[-1][0] == "reconnecting"
        page = shown(app)
        assert list(page) == ["right", "left", "middle"]
        assert (page["right"]["is_good"], page["right"]["is_blind"]) == (False, True)
        assert "absent" in page["right"]["state_text"]
        assert (page["left"]["is_good"], page["left"]["is_blind"]) == (None, True)
        wait_until(lambda: listener.bodies("/status")[-1]["state"] == "degraded", 20, "degraded")
        assert "camera right reconnecting" in listener.bodies("/status")[-1]["reason"]
        line = app._status_line()
        assert line.startswith("right reconnecting (")
        assert "left ended (" in line

        (tmp_path / "absent").mkdir()  # there now, and empty: another reason, the same state
        wait_until(lambda: len({why for _, why in told("right")}) >= 2, 20, "another reason")
        shutil.copytree(tmp_path / "few", tmp_path / "absent", dirs_exist_ok=True)
        wait_until(lambda: told("right")[-1][0] == "ended", 30, "pictures of the right one")
        wait_until(lambda: listener.bodies("/status")[-1]["state"] == "online", 20, "online")
    finally:
        app.stop()
        thread.join(20)
        listener.close()
