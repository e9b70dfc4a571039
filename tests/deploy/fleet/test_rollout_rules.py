"""When a roll-out goes on, stops or is done: stories without a broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.deploy_pointers import pointer

from deploy.fleet.pointer import Offer
from deploy.fleet.rollout_rules import (
    Limits,
    believed_s,
    figures_of,
    is_over,
    make_waves,
    next_wave,
    update_device,
    why_stop,
)
from deploy.fleet.rollout_state import (
    DeviceRollout,
    RolloutState,
    load_state,
    new_state,
    save_state,
)
from deploy.fleet.state import SlotView
from edge_app.errors import ConfigError
from edge_app.mqtt.deploy_messages import DeployState, Reported
from edge_app.mqtt.timestamps import rfc3339

OFFER = Offer("screws", 3, "0" * 64, 1, "https://station.plant/a.bundle")
FIVE = [f"graz/line-2/press-{n}" for n in range(1, 6)]


def rollout(canary: int = 1, then: str = "all") -> RolloutState:
    return new_state(OFFER, "main", make_waves(FIVE, canary, then))


def put(state: RolloutState, **turns: str) -> None:
    """Bring devices into a state: put(state, reached="12", failed="3")."""
    for turn_state, numbers in turns.items():
        for number in numbers:
            name = f"graz/line-2/press-{number}"
            state.turns[name] = DeviceRollout(state=turn_state, reason="golden")


@pytest.mark.parametrize(
    ("canary", "then", "sizes"),
    [
        (1, "all", [1, 4]),
        (0, "all", [5]),
        (9, "all", [5]),
        (1, "2", [1, 2, 2]),
        (2, "20%", [2, 1, 1, 1]),
        (0, "1%", [1] * 5),
        (0, "100%", [5]),
    ],
)
def test_devices_go_in_waves(canary: int, then: str, sizes: list[int]) -> None:
    """The canary first, then all, so many, or a share of all at a time; nobody twice."""
    waves = make_waves(FIVE, canary, then)
    assert [len(wave) for wave in waves] == sizes
    assert [name for wave in waves for name in wave] == FIVE


@pytest.mark.parametrize("then", ["", "some", "0", "-1", "101%", "1.5"])
def test_a_wave_of_no_size_is_refused(then: str) -> None:
    """--then has to make sense."""
    with pytest.raises(ConfigError, match="expected all, a number, or a percentage"):
        make_waves(FIVE, 1, then)


def test_the_next_wave_waits_for_the_canary() -> None:
    """Nobody else gets the bundle before every canary has reached the state."""
    state = rollout(canary=2)
    assert next_wave(state) == FIVE[:2]
    put(state, waiting="12")
    assert next_wave(state) == []
    put(state, reached="1")
    assert next_wave(state) == []
    put(state, reached="2")
    assert next_wave(state) == FIVE[2:]
    put(state, reached="345")
    assert next_wave(state) == []
    assert is_over(state)


def test_one_failed_canary_stops_everything_whatever_is_allowed() -> None:
    """The threshold is for the many; the canary is there to fail alone."""
    state = rollout()
    put(state, failed="1")
    assert why_stop(state, Limits(max_failures=3)) == (
        "the canary failed: graz/line-2/press-1 (golden)"
    )


def test_failures_behind_the_canary_stop_above_the_threshold() -> None:
    """Two allowed: the third stops."""
    state = rollout()
    put(state, reached="1", failed="23")
    assert why_stop(state, Limits(max_failures=2)) is None
    put(state, failed="234")
    why = why_stop(state, Limits(max_failures=2))
    assert why == "3 failed, 2 allowed: graz/line-2/press-2 (golden) and 2 more"


def waiting() -> DeviceRollout:
    return DeviceRollout(state="waiting", desired=pointer(OFFER.url), sent_at_s=100.0)


def said(turn: DeviceRollout, state: DeployState, is_ours: bool = True) -> SlotView:
    wish = turn.desired
    assert wish is not None
    report = Reported(
        slot="main", state=state, sha256=wish.sha256, reason="why", at=rfc3339(0),
        desired_id=wish.message_id if is_ours else pointer(OFFER.url).message_id,
    )  # fmt: skip
    return SlotView(wish, report)


@pytest.mark.parametrize(
    ("state", "wait_for", "turn_state"),
    [
        ("downloading", "committed", "waiting"),
        ("probation", "committed", "waiting"),
        ("probation", "probation", "reached"),
        ("committed", "switching", "reached"),
        ("committed", "committed", "reached"),
        ("refused", "switching", "failed"),
        ("rolled_back", "switching", "failed"),
    ],
)
def test_a_device_has_reached_a_state_or_a_later_one(
    state: DeployState, wait_for: DeployState, turn_state: str
) -> None:
    """Refused and rolled back are failures wherever they come."""
    turn = waiting()
    assert update_device(turn, said(turn, state), 101.0, Limits(wait_for=wait_for))
    assert turn.state == turn_state
    assert not update_device(turn, said(turn, state), 102.0, Limits(wait_for=wait_for))


def test_the_answer_to_another_pointer_does_not_count() -> None:
    """A retained `committed` of last week is no answer."""
    turn = waiting()
    assert not update_device(turn, said(turn, "committed", is_ours=False), 101.0, Limits())
    assert turn.state == "waiting"


def test_a_device_that_does_not_answer_in_time_has_failed() -> None:
    """The time counts from the pointer, also while the workstation was off."""
    turn = waiting()
    assert not update_device(turn, SlotView(), 159.0, Limits(timeout_s=60.0))
    assert update_device(turn, SlotView(), 161.0, Limits(timeout_s=60.0))
    assert (turn.state, turn.reason) == ("failed", "not in 60 s, last: no answer")


@pytest.mark.parametrize(
    ("sent_at_s", "believed"),
    [(None, 2e9), (120.0, 2e9), (2.1e9, 2e9), (1.9e9, 1.9e9), (2e9, 2e9)],
)
def test_a_clock_that_was_not_right_makes_nobody_fail(
    sent_at_s: float | None, believed: float
) -> None:
    """Sent at 1970, or tomorrow: patience begins anew when the roll-out is resumed."""
    assert believed_s(sent_at_s, 2e9) == believed


def test_another_workstations_push_is_noticed() -> None:
    """Another pointer in the slot, by whatever clock, means that ours will not be carried out."""
    turn = waiting()
    assert update_device(turn, SlotView(desired=pointer(OFFER.url)), 101.0, Limits())
    assert turn.reason == "replaced by another push"


def test_the_state_survives_in_its_file(tmp_path: Path) -> None:
    """What is read back is what was saved; no file means no roll-out; a broken one is named."""
    state = rollout()
    state.turns[FIVE[0]] = waiting()
    path = tmp_path / "a.rollout.json"
    assert load_state(path) is None
    save_state(path, state)
    assert load_state(path) == state
    path.write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_state(path)
    with pytest.raises(ConfigError, match="cannot be written"):
        save_state(tmp_path / "absent" / "a.json", state)


@pytest.mark.parametrize(
    ("state", "percent", "reason", "shown"),
    [
        ("shadow", 40.0, "3 of 80 parts judged differently", ""),
        ("shadow", 100.0, "9 of 200 parts judged differently; waits", "9 of 200 parts"),
        ("probation", 100.0, "1 of 200 parts alarmed", "1 of 200 parts"),
        ("committed", None, "1 of 200 parts alarmed", "1 of 200 parts"),
        ("committed", None, "", ""),
        ("downloading", 100.0, "from station.plant", ""),
    ],
)
def test_what_a_comparison_came_to_is_shown_once_it_is_over(
    state: DeployState, percent: float | None, reason: str, shown: str
) -> None:
    view = said(waiting(), state)
    assert view.reported is not None
    last = view.reported.model_copy(update={"percent": percent, "reason": reason})
    told = figures_of(DeviceRollout(state="waiting", last=last))
    assert told == (reason if shown else "")
    assert figures_of(DeviceRollout(state="failed", last=last)) == ""
