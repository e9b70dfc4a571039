"""No picture goes for its age by a clock that has not proved itself."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_app.alerts.evidence import EvidenceStore
from edge_app.host.age_clock import HOLD_S, AgeClock

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
PIXELS = np.zeros((8, 8, 3), np.uint8)


@dataclass
class Machine:
    """A machine whose clock is set by the test while time goes on."""

    wall_s: float = NOON_S
    steady_s: float = 50.0
    is_synchronised: bool | None = True

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def clock(self) -> AgeClock:
        return AgeClock(lambda: self.wall_s, lambda: self.steady_s, lambda: self.is_synchronised)


def opened(folder: Path, machine: Machine, max_age_h: float = 24) -> EvidenceStore:
    return EvidenceStore(folder, max_age_h, 10_000_000, 85, "http://h", machine.clock())


def runs(store: EvidenceStore, machine: Machine, seconds: float) -> int:
    """Let time pass, with the worker's look every minute; return how many pictures went."""
    gone = 0
    for _ in range(int(seconds // 60)):
        machine.passes(60)
        gone += store.prune()
    return gone


@pytest.mark.parametrize("jump_s", [YEAR_S, 10 * YEAR_S, -YEAR_S, -NOON_S, 2 * DAY_S])
def test_a_clock_that_jumps_for_a_moment_costs_nothing(tmp_path: Path, jump_s: float) -> None:
    """Ahead by a year, or back to 1970, for ten minutes: every picture is still there."""
    machine = Machine()
    store = opened(tmp_path, machine)
    store.save("a", PIXELS)
    runs(store, machine, 2 * HOLD_S)
    machine.wall_s += jump_s
    assert store.prune() == 0
    store.save("b", PIXELS)
    assert runs(store, machine, 600) == 0
    machine.wall_s -= jump_s
    assert runs(store, machine, 2 * HOLD_S) == 0
    assert store.stats().count == 2


@pytest.mark.parametrize("wrong_s", [NOON_S + YEAR_S, 3600.0, NOON_S - YEAR_S])
def test_a_start_with_a_wrong_clock_costs_nothing(tmp_path: Path, wrong_s: float) -> None:
    """The clock is set a minute after the start, as a time source does: nothing has gone."""
    machine = Machine()
    earlier = opened(tmp_path, machine)
    earlier.save("a", PIXELS)
    machine = Machine(wall_s=wrong_s, is_synchronised=False)
    store = opened(tmp_path, machine)
    assert store.stats().count == 1
    store.save("b", PIXELS)
    assert runs(store, machine, 60) == 0
    machine.wall_s, machine.is_synchronised = NOON_S + 600, True
    assert runs(store, machine, 3 * HOLD_S) == 0
    third = opened(tmp_path, machine)  # what was stamped in 1970 or next year is not old either
    assert runs(third, machine, 3 * HOLD_S) == 0
    assert third.stats().count == 2


def test_without_a_time_source_nothing_goes_for_its_age(tmp_path: Path) -> None:
    """Weeks on an island: size is the only limit."""
    machine = Machine(is_synchronised=False)
    store = opened(tmp_path, machine)
    store.save("a", PIXELS)
    machine.passes(30 * DAY_S)
    assert store.prune() == 0


def test_a_clock_that_has_proved_itself_expires_what_is_old(tmp_path: Path) -> None:
    """After an hour in step the limit counts again, also for what an earlier start has kept."""
    machine = Machine()
    earlier = opened(tmp_path, machine)
    earlier.save("a", PIXELS)
    machine.passes(2 * DAY_S)
    store = opened(tmp_path, machine)
    store.save("b", PIXELS)
    assert runs(store, machine, HOLD_S - 60) == 0
    assert runs(store, machine, 180) == 1
    assert [path.name for path in tmp_path.glob("*/*.jpg")] == ["b.jpg"]


def test_pictures_of_a_wrong_clock_go_once_they_have_been_old_for_long_enough(
    tmp_path: Path,
) -> None:
    """A time stamp of 1970 says nothing: the picture is as old as the process that finds it."""
    machine = Machine()
    store = opened(tmp_path, machine)
    store.save("a", PIXELS)
    (path,) = tmp_path.glob("*/*.jpg")
    os.utime(path, (5000, 5000))
    again = opened(tmp_path, machine)
    assert runs(again, machine, 23 * 3600) == 0
    assert runs(again, machine, 2 * 3600) == 1


def test_a_disk_that_deletes_nothing_keeps_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read-only for a while: what could not be deleted is known, and goes afterwards."""
    machine = Machine()
    store = opened(tmp_path, machine)
    store.save("a", PIXELS)
    runs(store, machine, 2 * HOLD_S)

    def refuses(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuses)
        assert runs(store, machine, 2 * DAY_S) == 0
        assert (store.stats().count, store.stats().expired) == (1, 0)
    assert runs(store, machine, 120) == 1


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_a_start_on_a_disk_that_takes_nothing_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """The folder cannot be made now: pictures are counted as dropped, then kept."""
    machine = Machine()

    def refuses(*_: object, **__: object) -> None:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuses)
        store = opened(tmp_path / "new", machine)
        assert store.save("a", PIXELS) is None
        assert store.stats().dropped == 1
        assert os.strerror(fault) in store.stats().problem
    assert store.save("b", PIXELS) is not None
    assert store.stats().problem == ""
