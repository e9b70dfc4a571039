"""A workstation and simulated devices on one broker, for the tests of a push."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.brokers import HOST, Mosquitto
from support.workstation import RULES, Start, Station

from benchmarks.fleet_device import SimulatedDevice
from edge_app.mqtt.settings import MqttSettings


@pytest.fixture
def station(mosquitto: Mosquitto) -> Iterator[Station]:
    station = Station(mosquitto.port)
    yield station
    station.close()


@pytest.fixture
def start(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a device on one and the same store."""
    started: list[SimulatedDevice] = []

    def make(
        slots: tuple[str, ...] = ("main",), bad: Collection[str] = (), step_s: float = 0.0
    ) -> SimulatedDevice:
        settings = MqttSettings(HOST, mosquitto.port, reconnect_min_s=0.1, reconnect_max_s=0.3)
        folder = tmp_path / "store"
        device = SimulatedDevice(WHO, settings, folder, RULES, step_s=step_s, slots=slots, bad=bad)
        started.append(device)
        device.start()
        return device

    yield make
    for device in started:
        device.stop()
