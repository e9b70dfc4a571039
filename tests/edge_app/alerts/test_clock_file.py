"""The hour for which a clock must have proved itself goes on over restarts of the service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge_app.alerts.clock_file import NAME, machine_clock, read_record
from edge_app.host.age_clock import HOLD_S, AgeClock, ClockRecord
from edge_app.host.boot import boot_id

NOON_S = 1_767_268_800.0
YEAR_S = 365 * 86_400.0


@dataclass
class Machine:
    """One machine; its service is started again and again."""

    wall_s: float = NOON_S
    steady_s: float = 50.0
    is_synchronised: bool | None = True
    boot: str = "boot-1"
    kept: ClockRecord | None = None

    def keep(self, record: ClockRecord) -> None:
        self.kept = record

    def started(self) -> AgeClock:
        return AgeClock(
            lambda: self.wall_s, lambda: self.steady_s, lambda: self.is_synchronised,
            boot=self.boot, known=self.kept, keep=self.keep,
        )  # fmt: skip

    def runs(self, clock: AgeClock, seconds: float) -> bool:
        """Let time pass, with a look every minute; return whether things may expire at the end."""
        may = False
        for _ in range(int(seconds // 60)):
            self.wall_s += 60
            self.steady_s += 60
            may = clock.may_expire()
        return may


def test_many_short_runs_are_one_long_one() -> None:
    """Restarted every ten minutes, as a crash loop does: after an hour ages hold."""
    machine = Machine()
    held = [machine.runs(machine.started(), 600) for _ in range(8)]
    assert held[:5] == [False] * 5
    assert held[6:] == [True] * 2


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S, -NOON_S, 3600.0, -3600.0, 61.0])
def test_a_clock_that_was_set_between_two_starts_begins_anew(jump_s: float) -> None:
    """A year, 1970, daylight saving by hand, a minute: an hour has to pass again."""
    machine = Machine()
    assert machine.runs(machine.started(), 2 * HOLD_S)
    machine.wall_s += jump_s
    clock = machine.started()
    assert not machine.runs(clock, HOLD_S - 120)
    assert machine.runs(clock, 180)


@pytest.mark.parametrize("boot", ["boot-2", ""])
def test_another_start_of_the_machine_begins_anew(boot: str) -> None:
    """The steady clock is another one then."""
    machine = Machine()
    assert machine.runs(machine.started(), 2 * HOLD_S)
    machine.boot = boot
    assert not machine.runs(machine.started(), HOLD_S - 120)


def test_an_unsynchronised_start_begins_anew() -> None:
    """A time source that is gone at the start may have been gone for long."""
    machine = Machine()
    assert machine.runs(machine.started(), 2 * HOLD_S)
    machine.is_synchronised = False
    clock = machine.started()
    assert not machine.runs(clock, 600)
    machine.is_synchronised = True
    assert not machine.runs(clock, HOLD_S - 120)


def test_jumps_are_counted() -> None:
    """Each of more than a minute, once, whoever looks; slewing is none."""
    machine = Machine()
    clock = machine.started()
    for jump_s in (YEAR_S, -YEAR_S, 3600.0, 20.0, 0.5):
        machine.wall_s += jump_s
        clock.may_expire()
        clock.may_expire()
    assert clock.jumps == 3


def test_the_file_is_written_seldom_and_read_back(tmp_path: Path) -> None:
    """Once for a clock that goes on; a service started again reads it."""
    clock = machine_clock(tmp_path)
    clock.is_synchronised = lambda: True
    clock.may_expire()
    record = read_record(tmp_path / NAME)
    assert record is not None
    assert record.boot == boot_id()
    (tmp_path / NAME).unlink()
    for _ in range(100):
        clock.may_expire()
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, "[]", "{}", '{"boot":1,"offset_s":"x","steady_since_s":1}',
             '{"boot":"b","offset_s":1e999,"steady_since_s":1}',
             '{"boot":"b","offset_s":NaN,"steady_since_s":1}', "\xff"],
)  # fmt: skip
def test_damage_costs_the_hour_only(tmp_path: Path, text: str) -> None:
    """No start fails over it."""
    (tmp_path / NAME).write_text(text, encoding="latin-1")
    assert read_record(tmp_path / NAME) is None
    assert not machine_clock(tmp_path).may_expire()


def test_a_record_from_the_future_counts_for_nothing() -> None:
    """Steady since a moment that has not come."""
    machine = Machine()
    machine.runs(machine.started(), 600)
    assert machine.kept is not None
    for is_before in (True, False):
        since_s = -1.0 if is_before else machine.steady_s + 1
        machine.kept = replace(machine.kept, steady_since_s=since_s)
        assert not machine.runs(machine.started(), HOLD_S - 660)


def test_a_folder_that_takes_nothing_is_no_fault(tmp_path: Path) -> None:
    """Read-only or gone: the clock works."""
    assert not machine_clock(tmp_path / "gone").may_expire()
