"""The installed command with evidence: every bad part's picture, named by its alert."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.alert_listener import AlertListener
from support.app_config import edge_app, write_config
from support.brokers import wait_until
from support.small_bundles import write_pictures

from edge_app.demo.broker import EmbeddedBroker


@pytest.mark.needs("the extra demo")
def test_every_bad_part_has_its_picture(tmp_path: Path) -> None:
    """A folder with three bad parts: each alarm names one picture on the disk by its hash."""
    write_pictures(tmp_path / "in", 8, {2, 5, 7})
    with EmbeddedBroker() as broker, AlertListener(broker.port) as listener:
        config = write_config(tmp_path, "folder:in", broker.port)
        done = edge_app("run", "--config", str(config))
        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(listener.alerts) >= 6)
        alerts = {a["message_id"]: a for a in listener.alerts}.values()
    assert [a["seq"] for a in alerts] == list(range(1, len(alerts) + 1))
    by_alarm: dict[str, set[tuple[str, str]]] = {}
    for alert in alerts:
        kept = by_alarm.setdefault(alert["alarm_id"], set())
        if alert["evidence"]:
            kept.add((alert["evidence"]["url"], alert["evidence"]["sha256"]))
    assert len(by_alarm) == 3
    for pictures in by_alarm.values():
        ((url, sha256),) = pictures
        file = tmp_path / "state" / "evidence" / url.split("/evidence/")[1]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    found = [path.name for path in (tmp_path / "state" / "evidence").rglob("*.*")]
    assert sum(name.endswith(".crop.jpg") for name in found) == 3
    assert sum(name.endswith(".json") for name in found) == 3
    assert sum(name.endswith(".map.png") for name in found) == 3
    assert len(found) == 12
