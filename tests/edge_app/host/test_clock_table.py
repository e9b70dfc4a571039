"""Everything that stores or deletes, with the clock set in the middle of it: nothing is lost.

Every store x everything that can happen to a clock, each with a restart while it is wrong.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.alert_drafts import draft
from support.history_parts import verdict

from edge_app.agent.commands.journal import CommandJournal
from edge_app.alerts.evidence import EvidenceStore
from edge_app.cameras.watch import WatchCamera
from edge_app.errors import CommandError
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.writer import HistoryWriter
from edge_app.host.age_clock import HOLD_S, AgeClock, ClockRecord
from edge_app.mqtt.dead_letters import DeadLetters
from edge_app.mqtt.outbox import Outbox
from edge_app.store.bundle_store import Card, Store

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
LOOKS = 20
"""Minutes that pass with a look each, at most what a clock is wrong for here."""


class Machine:
    """A machine whose clock is set by the test while time goes on; each start of the service takes
    over what the one before knew of the clock."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s, self.is_synchronised = NOON_S, 50.0, True
        self._known: ClockRecord | None = None

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def wall_ns(self) -> int:
        return int(self.wall_s * 1e9)

    def clock(self) -> AgeClock:
        return AgeClock(
            lambda: self.wall_s, lambda: self.steady_s, lambda: self.is_synchronised,
            boot="b", known=self._known, keep=self._keep,
        )  # fmt: skip

    def _keep(self, record: ClockRecord) -> None:
        self._known = record


class Evidence:
    """Pictures of bad parts, kept for an hour."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder, self._machine = folder / "evidence", machine
        self.start()

    def start(self) -> None:
        clock = self._machine.clock()
        self._store = EvidenceStore(self._folder, 1.0, 10_000_000, 85, "http://h", clock)

    def stop(self) -> None:
        """Nothing to close."""

    def add(self, number: int) -> None:
        self._store.save(f"part-{number}", np.zeros((8, 8, 3), np.uint8))

    def look(self) -> None:
        self._store.prune()

    def held(self) -> list[int]:
        return sorted(int(p.stem.split("-")[1]) for p in self._folder.glob("*/part-*.jpg"))


class History:
    """The record of every part, kept for an hour."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._path, self._machine = folder / "history.sqlite", machine
        self.start()

    def start(self) -> None:
        self._retention = Retention(1 / 24, 64, self._machine.clock())

    def stop(self) -> None:
        """Nothing to close."""

    def add(self, number: int) -> None:
        plenty = Retention(36_500, 64)
        writer = HistoryWriter(self._path, {"c": "main"}, plenty, {}, now_ns=self._machine.wall_ns)
        writer.start()
        writer.finished([verdict(number)])
        writer.close()

    def look(self) -> None:
        if not self._path.exists():
            self._retention.clock.may_expire()
            return
        self._retention.next_look_s = 0.0
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            self._retention.delete_some(connection, 1)

    def held(self) -> list[int]:
        return sorted(
            int(str(p["number"])) for p in HistoryReader(self._path).every_part(PartFilter())
        )


class Alerts:
    """Alerts that wait for the broker."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._path, self._machine = folder / "outbox.sqlite", machine
        self.start()

    def start(self) -> None:
        self._outbox = Outbox(self._path, reserve_bytes=0)

    def stop(self) -> None:
        self._outbox.close()

    def add(self, number: int) -> None:
        assert self._outbox.append([draft(number)], "cam1", number) == [number]

    def look(self) -> None:
        """It deletes what has arrived only."""

    def held(self) -> list[int]:
        return [alert.seq for alert in self._outbox.next_batch(100)]


class Unreadable:
    """Messages put aside."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._path, self._machine = folder / "unreadable.jsonl", machine
        self.start()

    def start(self) -> None:
        self._letters = DeadLetters(self._path)

    def stop(self) -> None:
        """Nothing to close."""

    def add(self, number: int) -> None:
        assert self._letters.keep(f"topic/{number}", b"x", "why", self._machine.wall_ns())

    def look(self) -> None:
        """It goes by size only."""

    def held(self) -> list[int]:
        lines = self._path.read_text().splitlines()
        return [int(line.split('"topic/')[1].split('"')[0]) for line in lines]


class WatchedFolder:
    """Pictures dropped into a folder, stamped by the clock: each is shown once."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder, self._machine = folder / "in", machine
        self._folder.mkdir()
        self._shown: list[int] = []
        self.start()

    def start(self) -> None:
        self._camera = WatchCamera(
            self._folder, "cam1", settle_s=0.0, wall_ns=self._machine.wall_ns
        )
        self._camera.open(len(self._shown))

    def stop(self) -> None:
        self._camera.close()

    def add(self, number: int) -> None:
        file = self._folder / f"{number}.part"
        file.write_bytes(cv2.imencode(".png", np.full((6, 8, 3), number, np.uint8))[1].tobytes())
        os.utime(file, (self._machine.wall_s, self._machine.wall_s))
        file.rename(file.with_suffix(".png"))
        frame = self._camera.read(5.0)
        assert frame.source_number == len(self._shown) + 1
        self._shown.append(int(frame.pixels_hwc[0, 0, 0]))

    def look(self) -> None:
        """It deletes nothing."""

    def held(self) -> list[int]:
        return self._shown


class Bundles:
    """Releases: beyond the needed ones the three that came last are kept."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._root, self._machine = folder / "store", machine
        self.start()

    def start(self) -> None:
        self._store = Store(self._root)
        self._store.prepare(["main"])

    def stop(self) -> None:
        """Nothing to close."""

    def add(self, number: int) -> None:
        file = self._store.incoming / f"{number}.bundle"
        file.write_bytes(b"x")
        os.utime(file, (self._machine.wall_s, self._machine.wall_s))
        self._store.admit(file, f"{number:064x}", Card(product="p", serial=number))

    def look(self) -> None:
        self._store.prune(keep=4)

    def held(self) -> list[int]:
        return [n for n in range(100) if self._store.has(f"{n:064x}")]


class Commands:
    """Operators' commands that were carried out: none is taken twice."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder, self._machine = folder, machine
        self._added: list[int] = []
        self.start()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.wall_s, tz=timezone.utc)

    def start(self) -> None:
        self._journal = CommandJournal(self._folder, self._now)

    def stop(self) -> None:
        """Nothing to close."""

    def add(self, number: int) -> None:
        self._journal.take(f"id-{number}", self._now() + timedelta(minutes=1))
        self._added.append(number)

    def look(self) -> None:
        """The newest thousand stay."""

    def held(self) -> list[int]:
        return [n for n in self._added if self._is_refused(n)]

    def _is_refused(self, number: int) -> bool:
        try:
            CommandJournal(self._folder, self._now).take(f"id-{number}", self._now())
        except CommandError:
            return True
        return False


@dataclass(frozen=True)
class Happens:
    """Something that happens to a clock, and how it is put right."""

    begins: Callable[[Machine], None]
    ends: Callable[[Machine], None]


def set_by(seconds: float, is_synchronised: bool = True) -> Happens:
    def begins(machine: Machine) -> None:
        machine.wall_s += seconds
        machine.is_synchronised = is_synchronised

    def ends(machine: Machine) -> None:
        machine.wall_s -= seconds
        machine.is_synchronised = True

    return Happens(begins, ends)


def in_zone(name: str) -> Callable[[Machine], None]:
    def work(_: Machine) -> None:
        os.environ["TZ"] = name
        time.tzset()

    return work


EVENTS = {
    "a year forward": set_by(YEAR_S),
    "a year forward, and no time source": set_by(YEAR_S, is_synchronised=False),
    "2096": set_by(70 * YEAR_S),
    "1970": set_by(-NOON_S + 5.0),
    "1970, and no time source": set_by(-NOON_S + 5.0, is_synchronised=False),
    "a year back": set_by(-YEAR_S),
    "an hour back": set_by(-3600.0),
    "no time source": set_by(0.0, is_synchronised=False),
    "summer time": Happens(in_zone("CET-2"), in_zone("CET-1")),
    "another zone": Happens(in_zone("NZST-13"), in_zone("UTC")),
}
STORES = [Evidence, History, Alerts, Unreadable, WatchedFolder, Bundles, Commands]


@pytest.fixture(autouse=True)
def zone() -> Iterator[None]:
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_nothing_is_lost_whatever_happens_to_the_clock(
    kind: type[Evidence], event: str, tmp_path: Path
) -> None:
    """A proved clock, then the event: stored and deleted before, in the middle with a restart, and
    after it was put right."""
    machine = Machine()
    store = kind(tmp_path, machine)

    def pass_minutes(count: int) -> None:
        for _ in range(count):
            machine.passes(60)
            store.look()

    pass_minutes(int(2 * HOLD_S // 60))  # the clock proves itself, with nothing to delete yet
    store.add(1)
    pass_minutes(1)
    EVENTS[event].begins(machine)
    store.look()
    store.add(2)
    pass_minutes(LOOKS // 2)
    store.stop()
    store.start()
    store.look()
    store.add(3)
    pass_minutes(LOOKS // 2)
    EVENTS[event].ends(machine)
    store.look()
    store.add(4)
    pass_minutes(1)
    store.stop()
    store.start()
    store.look()
    assert store.held() == [1, 2, 3, 4]
    store.stop()


@pytest.mark.parametrize("kind", [Evidence, History], ids=lambda kind: kind.__name__)
def test_what_is_old_by_a_right_clock_goes(kind: type[Evidence], tmp_path: Path) -> None:
    """The table above can fail: with time that really passes, both delete."""
    machine = Machine()
    store = kind(tmp_path, machine)
    store.add(1)
    for _ in range(int(2 * HOLD_S // 60)):
        machine.passes(60)
        store.look()
    store.add(2)
    store.look()
    assert store.held() == [2]
