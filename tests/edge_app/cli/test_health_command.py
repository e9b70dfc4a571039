"""`edge-app health` on a running device, on one that does not run, and over MQTT the same words."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, free_port, wait_until
from support.small_bundles import write_pictures

from edge_app.app import EdgeApp
from edge_app.cli.main import main
from edge_app.config.load import load_config
from edge_app.device_words import ADVICE, HEADLINES
from edge_app.ipc.order_client import ORDERS_SOCKET
from edge_app.ipc.order_schema import OrderAnswer
from edge_app.ipc.order_server import OrderServer


def config_of(folder: Path, port: int, mqtt: str = "") -> Path:
    write_pictures(folder / "in", 6, set())
    return write_config(folder, "folder:in?loop=1&interval_s=0.05", port, mqtt=mqtt)


class Running:
    """A device that runs until the end of the block."""

    def __init__(self, config: Path) -> None:
        self.app = EdgeApp(load_config(config))
        self._thread = threading.Thread(target=self.app.run)
        self._socket = config.parent / "state" / ORDERS_SOCKET

    def __enter__(self) -> Running:
        self._thread.start()
        wait_until(self._socket.exists, 30, "the socket")
        return self

    def __exit__(self, *_: object) -> None:
        self.app.stop()
        self._thread.join(30)


def asked(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and each subject by its name."""
    capsys.readouterr()
    code = main(["health", "--config", str(config), "--json"])
    return code, {s["subject"]: s for s in json.loads(capsys.readouterr().out)}


def test_a_device_that_is_well_and_one_that_is_paused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every subject in the page's words; a pause is said with what to do, and is nothing bad."""
    config = config_of(tmp_path, 1, "enabled = false")
    with Running(config):
        wait_until(lambda: asked(config, capsys)[1]["cameras"]["level"] == "good", 30)
        code, found = asked(config, capsys)
        assert code == 0
        assert set(found) == {
            "cameras", "broker", "model", "disk", "temperature", "clock", "updates", "history",
            "audit",
        }  # fmt: skip
        assert found["broker"]["headline"] == HEADLINES["broker.not_used"]
        pause = ["pause", "--config", str(config), "--minutes", "5", "--why", "cleaning"]
        assert main(pause) == 0
        wait_until(lambda: asked(config, capsys)[1]["cameras"]["level"] == "warn", 30)
        assert main(["health", "--config", str(config)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "cameras warn" in said
        assert ADVICE["camera.paused"] in said


def test_a_broker_that_is_not_there_is_told_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(tmp_path, free_port())
    with Running(config):
        wait_until(lambda: asked(config, capsys)[1]["broker"]["level"] == "bad", 60)
        code, found = asked(config, capsys)
        assert code == 1
        assert found["broker"]["headline_key"].startswith("broker.unreachable")
        assert "Errno" not in json.dumps(found)


def test_a_device_that_does_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither before its first start nor with the socket of a killed one: exit code 1."""
    config = config_of(tmp_path, 1)
    for _ in range(2):
        code, found = asked(config, capsys)
        assert code == 1
        assert found["page"]["headline"] == HEADLINES["page.not_running"]
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / ORDERS_SOCKET).touch()
    assert main(["health", "--config", str(config)]) == 1
    assert "systemctl start edge-app" in " ".join(capsys.readouterr().out.split())


def test_an_inspection_of_an_earlier_release_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs until it is restarted after an update, and knows no such question."""
    config = config_of(tmp_path, 1)
    (tmp_path / "state").mkdir()
    server = OrderServer(
        tmp_path / "state" / ORDERS_SOCKET,
        lambda _order, _peer: OrderAnswer(is_done=False, text="This is no order."),
    )
    server.start()
    try:
        assert main(["health", "--config", str(config)]) == 2
    finally:
        server.stop()
    assert "does not say how the device is: This is no order." in capsys.readouterr().err


@pytest.mark.needs("mosquitto")
def test_mqtt_says_the_same(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """What is not as it should be, and nothing else, stands in `health`, in the same words."""
    config = config_of(tmp_path, mosquitto.port)
    listener = Listener(mosquitto.port, f"{ROOT}/#")

    def cameras() -> list[Any]:
        bodies = listener.bodies("/health")
        return [a for a in bodies[-1]["attention"] if a["subject"] == "cameras"] if bodies else []

    with Running(config) as device:
        wait_until(lambda: bool(listener.bodies("/health")), 30)
        assert cameras() == []
        device.app._status.set_paused("cam1", True, "until noon: cleaning")
        wait_until(lambda: bool(cameras()), 30)
        assert cameras() == [
            {
                "subject": "cameras",
                "level": "warn",
                "key": "camera.paused",
                "text": HEADLINES["camera.paused"].format(camera="cam1"),
                "what_to_do": ADVICE["camera.paused"],
            }
        ]
