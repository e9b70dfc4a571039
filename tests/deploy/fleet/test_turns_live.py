"""Two real machines under one name at a real broker, as the status table hears them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.brokers import HOST, Mosquitto, wait_until

from deploy.fleet.mqtt_client import FleetMqttClient
from deploy.fleet.state import Fleet, fleet_filters
from deploy.fleet.table import fleet_rows
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.settings import MqttSettings

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("count", [1, 2])
def test_a_copied_machine_is_named_and_a_single_one_is_not(
    mosquitto: Mosquitto, tmp_path: Path, count: int
) -> None:
    """Both start from a copy of one state folder; the single one restarts and reconnects."""
    settings = MqttSettings(HOST, mosquitto.port, reconnect_min_s=0.1, reconnect_max_s=0.5)
    Outbox(tmp_path / "0.db", reserve_bytes=0).close()
    shutil.copy(tmp_path / "0.db", tmp_path / "1.db")
    fleet = Fleet()
    station = FleetMqttClient(settings, fleet_filters(WHO), fleet.apply, print)

    def reason() -> str:
        station.pump(0.1)
        return " ".join(row.reason for row in fleet_rows(fleet, 0))

    def is_online() -> bool:
        station.pump(0.1)
        found = fleet.devices.get(WHO)
        return found is not None and found.status is not None and found.status.state == "online"

    def started() -> list[tuple[Publisher, Outbox]]:
        outboxes = [Outbox(tmp_path / f"{n}.db", reserve_bytes=0) for n in range(count)]
        pairs = [(Publisher(settings, WHO, outbox), outbox) for outbox in outboxes]
        for publisher, _ in pairs:
            publisher.start()
        return pairs

    def stop(pairs: list[tuple[Publisher, Outbox]]) -> None:
        for publisher, outbox in pairs:
            publisher.stop(0.5)
            outbox.close()

    pairs = started()
    try:
        if count == 2:
            wait_until(lambda: "two machines are this device" in reason(), 30)
            return
        wait_until(is_online, 20)
        mosquitto.stop()
        mosquitto.start()
        wait_until(is_online, 20)
        stop(pairs)
        pairs = started()
        wait_until(is_online, 20)
        assert "machines" not in reason()
        assert "count of starts" not in reason()
    finally:
        stop(pairs)
        station.close()
