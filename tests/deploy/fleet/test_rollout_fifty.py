"""Fifty devices on one broker, two workstations an hour apart, one of them cut off again and again:
every word about every device is right, and each has installed each bundle once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.brokers import Mosquitto, wait_until

from benchmarks.fleet import Station, make_devices
from benchmarks.fleet_device import SimulatedDevice
from deploy.fleet.pointer import Offer
from deploy.fleet.rollout import Rollout
from deploy.fleet.rollout_rules import Limits, make_waves
from deploy.fleet.rollout_state import RolloutState, load_state, new_state, save_state

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.slow]
DEVICES = 50
LENGTH = 100_000
HOUR_S = 3600.0
NOW_S = 1_900_000_000.0


class CutOff(Exception):
    """The workstation's process ends here."""


class Desk:
    """A workstation with its own connection, clock and state file.

    Args:
        every: its roll-out is cut off at so many publishes or saves after each (re)start.
    """

    def __init__(
        self, folder: Path, port: int, offer: Offer, clock_s: float, every: Iterator[int]
    ) -> None:
        folder.mkdir()
        self.station = Station(folder, port)
        self.offer, self.clock_s, self._every = offer, clock_s, every
        self.file = folder / "rollout.json"
        self.cuts = 0
        self._left = 0

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        self._count()
        self.station.client.publish(topic, payload, retain)

    def pump(self, for_s: float) -> None:
        self.station.client.pump(for_s)

    def _count(self) -> None:
        if self._left == 0:
            raise CutOff
        self._left -= 1

    def _save(self, state: RolloutState) -> None:
        self._count()
        save_state(self.file, state)

    def run(self, names: list[str], canary: int, then: str) -> RolloutState:
        """Roll out, and resume after every cut, until it has ended."""
        limits = Limits(max_failures=DEVICES, timeout_s=120.0)
        begin = threading.Event()
        while True:
            self._left = next(self._every)
            self.pump(1.0 if not begin.is_set() else 0.3)
            begin.set()
            waves = make_waves(names, canary, then)
            state = load_state(self.file) or new_state(self.offer, "main", waves)
            rollout = Rollout(
                state, self, self.station.fleet, limits, self._save, lambda _: None,  # type: ignore[arg-type]
                lambda: NOW_S + self.clock_s,
            )  # fmt: skip
            try:
                rollout.run()
            except CutOff:
                self.cuts += 1
                continue
            ended = load_state(self.file)
            assert ended is not None
            return ended


@pytest.fixture
def plant(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[tuple[list[SimulatedDevice], Station]]:
    server = tmp_path / "server"
    server.mkdir()
    station = Station(server, mosquitto.port)
    bad = station.offer(99, LENGTH)
    folder = tmp_path / "devices"
    folder.mkdir()
    devices = make_devices(DEVICES, folder, mosquitto.port, station.trust, bad)
    for device in devices:
        device.start()
    yield devices, station
    for device in devices:
        device.stop()
    station.close()


def test_fifty_devices_two_workstations_and_cuts_at_every_step(
    plant: tuple[list[SimulatedDevice], Station], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """One rolls out in waves and is cut off every few operations; in the middle the other, an hour
    behind, rolls the very same bundle out to all at once, and then a newer one."""
    devices, server = plant
    names = [str(device.who) for device in devices]
    same, newer = server.offer(1, LENGTH), server.offer(2, LENGTH)
    cut = itertools.chain([3, 1, 2, 5], itertools.cycle([7, 11, 13, 4]))
    mine = Desk(tmp_path / "mine", mosquitto.port, same, 0.0, cut)
    never = itertools.repeat(10**9)
    other = Desk(tmp_path / "other", mosquitto.port, same, -HOUR_S, never)
    ends: list[RolloutState] = []
    thread = threading.Thread(target=lambda: ends.append(mine.run(names, 1, "20%")))
    try:
        thread.start()
        wait_until(lambda: sum(bool(d.installs) for d in devices) >= 5, 60, "the second wave")
        theirs = other.run(names, 0, "all")
        thread.join(120)
        assert not thread.is_alive()
        check(ends[0], names)
        check(theirs, names)
        assert mine.cuts > 5
        assert {device.store.active("main") for device in devices} == {same.sha256}
        assert [device.installs for device in devices] == [[same.sha256]] * DEVICES

        other.offer, other.file = newer, tmp_path / "other" / "newer.json"
        last = other.run(names, 1, "all")
        assert (last.outcome, last.failed) == ("done", [])
        assert {device.store.active("main") for device in devices} == {newer.sha256}
    finally:
        mine.station.close()
        other.station.close()


def check(state: RolloutState, names: list[str]) -> None:
    """Each device has committed this order, or its pointer was replaced by the other's."""
    assert state.outcome in ("done", "stopped")
    assert set(state.turns) == set(names)
    for turn in state.turns.values():
        last = turn.last
        if turn.state == "reached":
            assert turn.desired is not None
            assert last is not None
            assert (last.state, last.desired_id) == ("committed", turn.desired.message_id)
        else:
            assert turn.state == "failed"
            assert turn.reason.startswith("replaced by another push")
