"""Pauses end by themselves, survive a restart within their time, and never outlive it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.order_makers import OWN, order

from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record, records_since
from edge_app.audit.records import AuditEntry
from edge_app.errors import OrderError
from edge_app.ipc.order_schema import OrderAnswer
from edge_app.orders.desk import OrderDesk
from edge_app.orders.pause_orders import PauseEffects, PauseOrders
from edge_app.runtime.pauses import PauseBook, PauseClocks

MINUTE_NS = 60 * 10**9
BEGIN_NS = 1_790_000_000 * 10**9


@dataclass
class Machine:
    """A device's clocks, its state folder, and what its line and people are told."""

    folder: Path
    monotonic_ns: int = 10**12
    wall_ns: int = BEGIN_NS
    boot: str = "boot-1"
    told: list[tuple[Any, ...]] = field(default_factory=list)
    logs: list[AuditLog] = field(default_factory=list)

    def pass_by(self, minutes: float) -> None:
        self.monotonic_ns += round(minutes * MINUTE_NS)
        self.wall_ns += round(minutes * MINUTE_NS)

    def begin(self) -> None:
        """Start the process: the file follows the audit first, as a device's does."""
        clocks = PauseClocks(lambda: self.monotonic_ns, lambda: self.wall_ns, lambda: self.boot)
        self.book = PauseBook(self.folder / "pauses.json", ("cam1", "cam2"), clocks)
        self.book.follow(records_since(self.folder / "audit.sqlite", self.book.head))
        self.log = AuditLog(self.folder / "audit.sqlite")
        self.logs.append(self.log)
        effects = PauseEffects(
            lambda camera, on: self.told.append(("line", camera, on)),
            lambda camera, on, _text: self.told.append(("shown", camera, on)),
            lambda camera, a, b: self.told.append(("gap", camera, (b - a) / MINUTE_NS)),
            self.log.note,
            lambda: not self.log.health().waiting,
        )
        self.pauses = PauseOrders(self.book, ("cam1", "cam2"), effects, lambda: self.wall_ns)
        self.desk = OrderDesk("a/b/c", self.log, None, self.pauses, None)  # type: ignore[arg-type]
        self.pauses.start()

    def restart(self) -> None:
        """End the process in an orderly way and start it again."""
        self.log.start()
        self.log.close()
        self.told.clear()
        self.begin()

    def order(self, kind: str, **values: Any) -> OrderAnswer:
        return self.desk.execute(order(kind, **values), OWN)

    @property
    def paused(self) -> set[str]:
        return set(self.book.current())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.begin()
    yield made
    for log in made.logs:
        log.close()


def test_a_pause_ends_by_itself_and_both_ends_are_told_once(machine: Machine) -> None:
    """One start and one end for line, people, history and audit."""
    answer = machine.order("pause", camera="cam1", minutes=20)
    assert "cam1: parts are not inspected until" in answer.text
    machine.pass_by(19.9)
    machine.pauses.tick()
    assert machine.paused == {"cam1"}
    machine.pass_by(0.2)
    for _ in range(3):
        machine.pauses.tick()
    assert machine.paused == set()
    assert machine.told == [
        ("line", "cam1", True),
        ("shown", "cam1", True),
        ("line", "cam1", False),
        ("shown", "cam1", False),
        ("gap", "cam1", pytest.approx(20.1)),
    ]
    machine.restart()
    events = [r["event"] for r in every_record(machine.folder / "audit.sqlite")]
    assert events == ["audit_begun", "pause", "pause_ended"]


def test_the_wall_clock_does_not_move_it(machine: Machine) -> None:
    """Set an hour on or back: the minutes are those of the clock that nobody sets."""
    machine.order("pause", minutes=20)
    for hours in (1, -2):
        machine.wall_ns += hours * 60 * MINUTE_NS
        machine.pauses.tick()
        assert machine.paused == {"cam1", "cam2"}
    machine.monotonic_ns += 20 * MINUTE_NS
    machine.pauses.tick()
    assert machine.paused == set()


def test_it_can_be_ended_early_and_only_where_it_is(machine: Machine) -> None:
    """By an order; a camera that is not paused has nothing to end."""
    machine.order("pause", minutes=20)
    machine.order("resume", camera="cam2")
    assert machine.paused == {"cam1"}
    for camera, match in (("cam2", "not paused"), ("cam9", "no camera")):
        with pytest.raises(OrderError, match=match):
            machine.order("resume", camera=camera)
    machine.order("resume")
    assert machine.paused == set()
    with pytest.raises(OrderError, match="No camera is paused"):
        machine.order("resume")


def test_a_longer_pause_replaces_a_shorter_one(machine: Machine) -> None:
    """Its gap in the history is one, from its first beginning."""
    machine.order("pause", camera="cam1", minutes=5)
    machine.pass_by(4)
    machine.order("pause", camera="cam1", minutes=10)
    machine.pass_by(9)
    machine.pauses.tick()
    assert machine.paused == {"cam1"}
    machine.pass_by(2)
    machine.pauses.tick()
    assert machine.told[-1] == ("gap", "cam1", pytest.approx(15))


def test_a_restart_of_the_process_goes_on_with_it(machine: Machine) -> None:
    """For what is left of its time, whatever the wall clock says; then it is over."""
    machine.order("pause", camera="cam1", minutes=20)
    machine.pass_by(15)
    machine.wall_ns += 10**6 * MINUTE_NS
    machine.restart()
    assert machine.told == [("line", "cam1", True), ("shown", "cam1", True)]
    machine.pass_by(6)
    machine.pauses.tick()
    assert machine.paused == set()
    machine.restart()
    assert machine.told == []


@pytest.mark.parametrize(
    ("wall_minutes", "is_paused"), [(5, True), (25, False), (-60, False), (10**7, False)]
)
def test_a_restart_of_the_machine_asks_the_wall_clock(
    machine: Machine, wall_minutes: int, is_paused: bool
) -> None:
    """One that lies outside the pause's time ends it: to inspect too early is the lesser fault."""
    machine.order("pause", camera="cam1", minutes=20)
    machine.boot, machine.monotonic_ns = "boot-2", 5 * 10**9
    machine.wall_ns += wall_minutes * MINUTE_NS
    machine.restart()
    assert (machine.paused == {"cam1"}) == is_paused


def test_a_time_that_passed_while_nothing_ran_ends_it_at_the_start(machine: Machine) -> None:
    """The end is told and recorded then."""
    machine.order("pause", camera="cam1", minutes=20)
    machine.pass_by(30)
    machine.restart()
    assert machine.paused == set()
    assert ("gap", "cam1", pytest.approx(30)) in machine.told
    machine.restart()
    assert [r["event"] for r in every_record(machine.folder / "audit.sqlite")][-1] == "pause_ended"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff" * 90, b'{"format": "x"}'])
def test_a_damaged_file_is_made_anew_from_the_audit(machine: Machine, data: bytes) -> None:
    """As if it had never been there."""
    machine.order("pause", camera="cam1", minutes=20)
    (machine.folder / "pauses.json").write_bytes(data)
    book = PauseBook(machine.folder / "pauses.json", ("cam1",), machine.book._clocks)
    assert book.current() == {}
    book.follow(records_since(machine.folder / "audit.sqlite", book.head))
    assert set(book.current()) == {"cam1"}
    assert json.loads((machine.folder / "pauses.json").read_bytes())["pauses"]


def test_a_camera_that_is_no_longer_configured_is_forgotten(machine: Machine) -> None:
    """Its pause ends with it."""
    machine.order("pause", minutes=20)
    assert set(PauseBook(machine.folder / "pauses.json", ("cam2",)).current()) == {"cam2"}


def test_an_entry_from_elsewhere_changes_no_pause(machine: Machine) -> None:
    """Only records of pauses are followed."""
    machine.log.note(AuditEntry("model", "machine", "agent", new={"cameras": ["cam1"]}))
    machine.order("pause", camera="cam1", minutes=20)
    assert machine.paused == {"cam1"}
