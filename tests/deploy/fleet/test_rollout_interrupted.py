"""Roll-outs cut off and resumed at every step, two workstations whose clocks are an hour apart, the
same bundle twice: the end state, and every word about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from support.simulated_plant import CutOff, Plant, PlantDevice, Station

from deploy.fleet.pointer import Offer
from deploy.fleet.rollout import Rollout
from deploy.fleet.rollout_rules import Limits, make_waves
from deploy.fleet.rollout_state import RolloutState, load_state, new_state, save_state
from edge_app.mqtt.topics import DeviceName

OURS = Offer("screws", 3, "a" * 64, 1, "https://desk/a.bundle")
THEIRS = Offer("screws", 4, "b" * 64, 1, "https://other/b.bundle")
HOUR_S = 3600.0
NOW_S = 1_900_000_000.0


def plant_of(count: int, bad: str = "") -> Plant:
    names = [DeviceName("graz", "line-2", f"press-{n:02d}") for n in range(count)]
    return Plant([PlantDevice(who, frozenset({bad} - {""})) for who in names])


class Desk:
    """A workstation: its clock, its state file, and what its roll-out said."""

    def __init__(self, plant: Plant, folder: Path, offer: Offer = OURS, clock_s: float = 0) -> None:
        self.plant, self.offer, self.clock_s = plant, offer, clock_s
        self.file = folder / f"{offer.sha256[:4]}-{clock_s:.0f}.rollout.json"
        self.lines: list[str] = []

    def rollout(self, station: Station, canary: int, timeout_s: float = 1e6) -> Rollout:
        names = [str(device.who) for device in self.plant.devices]
        state = load_state(self.file) or new_state(
            self.offer, "main", make_waves(names, canary, "all")
        )

        def save(state: RolloutState) -> None:
            station.count()
            save_state(self.file, state)

        limits = Limits(timeout_s=timeout_s)
        return Rollout(
            state, station, station.fleet, limits, save, self.lines.append,  # type: ignore[arg-type]
            lambda: NOW_S + self.clock_s + self.plant.ticks,
        )  # fmt: skip

    def run(self, cut_at: int | None = None, canary: int = 1, timeout_s: float = 1e6) -> bool:
        """Run or resume it; False when it was cut off."""
        station = Station(self.plant, cut_at)
        rollout = self.rollout(station, canary, timeout_s)
        try:
            if self.state is not None and self.state.outcome != "running":
                rollout.clear_up()
            else:
                rollout.run()
        except CutOff:
            return False
        station.close()
        return True

    @property
    def state(self) -> RolloutState | None:
        return load_state(self.file)

    @property
    def end(self) -> RolloutState:
        state = self.state
        assert state is not None
        return state


def cut_everywhere(run: Callable[[int], bool]) -> int:
    """Call with 0, 1, 2, ... until a run is not cut off any more; return how many were."""
    for cut_at in itertools.count():
        if run(cut_at):
            return cut_at
    raise AssertionError


def test_cut_off_at_any_step_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Each device installs it once, by the one order that its workstation knows of."""

    def run(cut_at: int) -> bool:
        plant = plant_of(3)
        desk = Desk(plant, tmp_path / str(cut_at))
        desk.file.parent.mkdir()
        was_whole = desk.run(cut_at)
        if not was_whole:
            plant.tick()
            assert desk.run()
        assert desk.end.outcome == "done"
        assert desk.lines[-1] == "done: 3 of 3 committed, 0 failed, 0 under way"
        for device in plant.devices:
            turn = desk.end.turns[str(device.who)]
            assert turn.desired is not None
            assert device.ends == [(turn.desired.message_id, "committed")], cut_at
            assert device.active == OURS.sha256
        return was_whole

    assert cut_everywhere(run) > 10


def test_cut_off_while_it_stops_it_leaves_no_pointer_behind(tmp_path: Path) -> None:
    """A bad bundle: whatever step is the last, the same command withdraws what stands."""

    def run(cut_at: int) -> bool:
        plant = plant_of(3, bad=OURS.sha256)
        desk = Desk(plant, tmp_path / str(cut_at))
        desk.file.parent.mkdir()
        was_whole = desk.run(cut_at)
        if not was_whole:
            desk.run()
        assert desk.end.outcome == "stopped"
        assert [d.ends[-1][1] if d.ends else None for d in plant.devices] == ["refused", None, None]
        assert not any(topic.endswith("/desired") for topic in plant.retained)
        return was_whole

    assert cut_everywhere(run) > 3


@pytest.mark.parametrize("apart_s", [-HOUR_S, 0.0, HOUR_S])
@pytest.mark.parametrize("theirs", [THEIRS, OURS], ids=["another bundle", "the same bundle"])
def test_another_workstations_push_is_noticed_at_any_moment(
    tmp_path: Path, theirs: Offer, apart_s: float
) -> None:
    """It comes in the middle of ours, by a clock before, at or after ours: the last one counts, and
    both say of each device what became of their own order."""
    for at_tick in range(1, 14):
        folder = tmp_path / str(at_tick)
        folder.mkdir()
        plant = plant_of(3)
        mine, other = Desk(plant, folder), Desk(plant, folder, theirs, apart_s + 0.5)

        def push(tick: int, plant: Plant = plant, other: Desk = other, at: int = at_tick) -> None:
            if tick == at:
                station = Station(plant)
                other.rollout(station, 0).send_all()
                station.close()

        plant.at_tick = push
        mine.run()
        for _ in range(20):
            plant.tick()
        other.run(canary=0)
        check_words(plant, mine)
        check_words(plant, other)
        if plant.ticks >= at_tick and other.end.turns:
            assert other.end.outcome == "done"
            assert {device.active for device in plant.devices} == {theirs.sha256}


@pytest.mark.parametrize("apart_s", [-HOUR_S, HOUR_S])
def test_a_push_while_ours_was_away_is_not_put_back(tmp_path: Path, apart_s: float) -> None:
    """Ours is cut off at any step, another workstation rolls out, ours is resumed: its old pointers
    do not come back over the newer ones."""

    def run(cut_at: int) -> bool:
        folder = tmp_path / f"{cut_at}"
        folder.mkdir()
        plant = plant_of(3)
        mine, other = Desk(plant, folder), Desk(plant, folder, THEIRS, apart_s)
        was_whole = mine.run(cut_at)
        assert other.run(canary=0)
        assert other.end.outcome == "done"
        sent = {name for name, turn in mine.end.turns.items() if turn.state == "waiting"} \
            if mine.state else set()  # fmt: skip
        if not was_whole:
            mine.run()
        check_words(plant, mine)
        for name in sent:
            turn = mine.end.turns[name]
            assert turn.state == "reached" or "replaced" in turn.reason or turn.last is not None
        return was_whole

    cut_everywhere(run)


def test_an_offline_device_that_somebody_else_ordered_for_is_told_at_once(tmp_path: Path) -> None:
    """The device never answers; the other's clock is an hour behind. It is no matter of waiting."""
    plant = plant_of(1)
    plant.devices[0].is_online = False
    mine, other = Desk(plant, tmp_path), Desk(plant, tmp_path, THEIRS, -HOUR_S)

    def push(tick: int) -> None:
        if tick == 3:
            station = Station(plant)
            other.rollout(station, 0).send_all()
            station.close()

    plant.at_tick = push
    mine.run()
    assert plant.ticks < 6
    (turn,) = mine.end.turns.values()
    assert (turn.state, turn.reason) == ("failed", "replaced by another push")


def test_a_withdrawal_by_somebody_else_is_told_at_once(tmp_path: Path) -> None:
    """`push --withdraw` from another desk, for a device that is away."""
    plant = plant_of(1)
    plant.devices[0].is_online = False
    mine = Desk(plant, tmp_path)
    topic = "inspect/v1/graz/line-2/press-00/deploy/main/desired"
    plant.at_tick = lambda tick: plant.publish(topic, b"") if tick == 3 else None
    mine.run()
    (turn,) = mine.end.turns.values()
    assert (turn.state, "withdrawn by somebody else" in turn.reason) == ("failed", True)


def check_words(plant: Plant, desk: Desk) -> None:
    """Compare what a workstation says with what the devices did by its orders."""
    for device in plant.devices:
        turn = desk.end.turns[str(device.who)]
        ours = turn.desired.message_id if turn.desired else None
        ends = dict(device.ends)
        if turn.state == "reached":
            assert ours is not None
            assert ends[ours] == "committed"
        elif turn.state == "failed":
            last = turn.last.state if turn.last else None
            assert "replaced" in turn.reason or last == ends.get(ours or "") == "refused"
        elif turn.state == "waiting":
            assert desk.end.outcome == "stopped"
