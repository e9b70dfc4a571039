"""The table of an order's transitions: complete, safe against power cuts, and what really runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest

from edge_app.agent.install import transitions
from edge_app.agent.install.candidate import Candidate
from edge_app.agent.install.inbox import Came, Decide, Inbox, Install, Select
from edge_app.agent.install.slot_order import OutOfOrder, SlotContext, SlotOrder
from edge_app.agent.install.state_reports import StateReporter
from edge_app.agent.install.transition_docs import (
    BEGIN,
    DOCUMENT,
    EVENTS,
    STATES,
    main,
    rendered,
    updated,
)
from edge_app.agent.install.transitions import (
    EXCEPTIONS,
    FINAL,
    HELLOS,
    MOVES,
    REFUSALS,
    RESUMES,
    DiskStep,
    Event,
    Message,
    Move,
    Queue,
    Refusal,
    State,
    outcome,
)
from edge_app.config.model import SlotConfig
from edge_app.ipc.protocol import PeerMessage
from edge_app.store.bundle_store import Store
from edge_app.store.durable_write import Step, perform
from edge_app.store.intent import Intent, Phase

ROOT = Path(__file__).parents[4]
INSTALL = ROOT / "edge_app" / "agent" / "install"
OLD, NEW = "a" * 64, "b" * 64

UNCHANGED = "unchanged"
RECORD_AFTER: dict[DiskStep, Phase | str | None] = {
    DiskStep.DISCARD_FILE: UNCHANGED,
    DiskStep.ADMIT_RELEASE: UNCHANGED,
    DiskStep.RECORD_SWITCHING: "switching",
    DiskStep.RECORD_CRASH: UNCHANGED,
    DiskStep.RECORD_LAST_CRASH: "rolling_back",
    DiskStep.MOVE_LINK: "probation",
    DiskStep.RECORD_COMMITTING: "committing",
    DiskStep.FINISH_COMMIT: None,
    DiskStep.RECORD_ROLLING_BACK: "rolling_back",
    DiskStep.FINISH_ROLL_BACK: None,
    DiskStep.CLEAR_RECORD: None,
}
"""The phase in the record once a step is done."""


def entries() -> Iterator[tuple[State, Event, Move]]:
    for state, moves in MOVES.items():
        for event, move in moves.items():
            yield state, event, move


def reachable(begin: State, without: tuple[Event, ...] = ()) -> set[State]:
    """Return the states that an order can come to, `begin` included."""
    found, left = {begin}, [begin]
    while left:
        for event, move in MOVES[left.pop()].items():
            if event not in without and move.next not in found:
                found.add(move.next)
                left.append(move.next)
    return found


# -- complete -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_every_event_in_every_state_has_an_entry_or_a_reason(state: State) -> None:
    """What happens, whenever it happens, leads to a state, or is refused in words."""
    for event in Event:
        found = outcome(state, event)
        if isinstance(found, Refusal):
            assert len(found.reason.split()) >= 3, event
        else:
            assert found is MOVES[state][event]
            assert found.next in State


def test_no_refusal_is_written_for_what_is_never_refused() -> None:
    """Each event with a reason is refused somewhere, each one refused somewhere has a reason, and
    an own reason belongs to a refused pair."""
    refused = {
        event for state in set(State) - FINAL for event in Event if event not in MOVES[state]
    }
    assert set(REFUSALS) == refused
    assert all(event not in MOVES[state] for state, event in EXCEPTIONS)
    assert set(MOVES) == set(State) == set(STATES)
    assert set(Event) == set(EVENTS)


def test_every_state_is_reached_and_none_is_a_trap() -> None:
    """From the start every state can be reached without a restart, and from every state an end."""
    assert reachable(State.IDLE, without=RESUMES) == set(State)
    for state in set(State) - FINAL:
        assert reachable(state) & (FINAL | {State.IDLE}), state
    assert all(not MOVES[state] for state in FINAL)


def test_every_disk_step_and_message_is_used() -> None:
    """Nothing in the vocabulary is dead."""
    assert {move.disk for *_, move in entries()} == {None, *DiskStep}
    assert {move.message for *_, move in entries()} == {None, *Message}
    assert {move.queue for *_, move in entries()} == {None, *Queue}


# -- safe against power cuts --------------------------------------------------------------------


def test_every_state_that_outlives_a_process_is_one_that_a_restart_resumes() -> None:
    """Whatever phase a record holds, an order resumes from it, whichever bundle is in use; where
    there is no record there is nothing to resume."""
    recorded = {State(phase) for phase in get_args(Phase)}
    assert {state for state in State if state.record == state.value} == recorded
    assert {state.record for state in State} == {None, *get_args(Phase)}
    for state in State:
        resumes = [event for event in RESUMES if event in MOVES[state]]
        assert resumes == (list(RESUMES) if state in recorded else []), state
        if state in recorded:
            assert reachable(state) & {State.COMMITTED, State.ROLLED_BACK}


@pytest.mark.parametrize("state", State)
def test_the_record_on_disk_is_that_of_the_next_state(state: State) -> None:
    """A cut right after any transition finds the record of the state that it led to."""
    for event, move in MOVES[state].items():
        after = UNCHANGED if move.disk is None else RECORD_AFTER[move.disk]
        record = state.record if after == UNCHANGED else after
        assert record == move.next.record, event


def test_the_record_precedes_the_switch_and_the_link_follows_it() -> None:
    """SWITCH to a new bundle is sent with the record on disk; the link moves once inspection judges
    with it; COMMIT is sent when nothing is left to write."""
    for state, event, move in entries():
        if move.message is Message.SWITCH:
            is_restore = state is State.RESTORE_PREPARING  # the link names that bundle already
            assert is_restore or move.disk is DiskStep.RECORD_SWITCHING
        if move.disk is DiskStep.MOVE_LINK:
            judging = {Event.SWITCHED, Event.CAME_WITH_NEW, Event.RESUMED_WITH_NEW}
            assert event in judging
            assert state.record in ("switching", "probation")
        if move.message is Message.COMMIT:
            assert move.next.record is None


# -- nothing is lost ----------------------------------------------------------------------------


def test_no_order_is_lost() -> None:
    """An installation or a changeover begins at once, waits, or goes first: it is never refused."""
    for event in (Event.INSTALL, Event.SELECT):
        for state in set(State) - FINAL:
            found = outcome(state, event)
            assert isinstance(found, Move)
            assert (found.queue is None) == (state is State.IDLE)
            gives_way = found.next is not state and found.next is not State.IDLE
            assert (found.queue is Queue.NEXT) == (gives_way and state is not State.IDLE)


def test_every_end_is_reported_as_what_it_is() -> None:
    """committed, rolled_back and refused reach the broker; only a changeover that never began, or
    asks for what is in use, answers whoever asked and reports nothing."""
    for state, event, move in entries():
        if move.next in FINAL:
            is_silent = state.value.startswith("changeover") and move.message is None
            assert move.report == (None if is_silent else move.next.value), (state, event)


# -- the document -------------------------------------------------------------------------------


def test_the_document_has_the_table_as_it_runs(tmp_path: Path) -> None:
    """docs/activation.md and the table agree; `python -m ...transition_docs docs` makes them so."""
    text = (ROOT / "docs" / DOCUMENT).read_text(encoding="utf-8")
    assert updated(text) == text
    (tmp_path / DOCUMENT).write_text("# A document\n")
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / DOCUMENT).read_text() == f"# A document\n\n{rendered()}\n"
    assert main([]) == 2


def test_what_surrounds_the_generated_section_stays() -> None:
    """A section in the middle is renewed in its place."""
    text = f"before\n\n{BEGIN}\nold\n<!-- transitions: end -->\nafter\n"
    assert updated(text) == f"before\n\n{rendered()}\nafter\n"


def test_the_document_lists_every_entry() -> None:
    """Each state with its events is found in the rendered table."""
    rows = [line.split(" | ") for line in rendered().splitlines() if line.startswith("| `")]
    for state, event, _ in entries():
        assert any(f"`{state.value}`" in row[0] and f"`{event.value}`" in row[1] for row in rows)


# -- the table is what runs ---------------------------------------------------------------------

WRITES = {"set_intent", "clear_intent", "set_active", "set_installed", "set_previous"}
MESSAGES = {"Prepare", "StartShadow", "Switch", "StartProbation", "Commit", "Rollback"}


@pytest.mark.parametrize("file", sorted(INSTALL.glob("*.py")), ids=lambda path: path.name)
def test_only_the_order_writes_and_sends(file: Path) -> None:
    """The phases wait and name events: no other module changes a link, a record or an order's
    state, or makes a message for the inspection process."""
    if file.name == "slot_order.py":
        return
    tree = ast.parse(file.read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {c.attr if isinstance(c, ast.Attribute) else getattr(c, "id", "") for c in calls}
    assert called & (WRITES | MESSAGES | {"raise_high_water"}) == set()
    targets = [t for n in ast.walk(tree) if isinstance(n, ast.Assign) for t in n.targets]
    assert not any(isinstance(t, ast.Attribute) and t.attr == "state" for t in targets)


@dataclass
class Bench:
    """A slot with a real store, and everything that left it, in order."""

    root: Path
    log: list[str] = field(default_factory=list)
    fails_on: str = ""

    def __post_init__(self) -> None:
        self.store = Store(self.root, self.do)
        self.store.prepare(["main"])
        self.store.set_active("main", OLD)
        reporter = StateReporter("main", lambda report: self.log.append(f"report {report.state}"))
        self.inbox = Inbox()
        self.context = SlotContext(
            "main", SlotConfig(), self.store, self.send, reporter, self.inbox
        )
        self.log.clear()

    def do(self, step: Step) -> None:
        if self.fails_on and self.fails_on in step.path.name:
            raise OSError(28, "No space left on device")
        perform(step)
        if step.kind == "rename":
            self.log.append(f"disk {step.path.name}")

    def send(self, line: PeerMessage) -> bool:
        self.log.append(f"send {type(line).__name__}")
        return True

    def order(self, state: State) -> SlotOrder:
        order = SlotOrder(self.context, "candidate", Candidate(NEW, "alpha", 2))
        order.state = state
        if state.record is not None:
            order.intent = Intent(
                slot="main", kind="install", phase=state.record, old_sha256=OLD, new_sha256=NEW
            )
            self.store.set_intent(order.intent)
            self.log.clear()
        return order


def test_a_working_state_is_reported_before_disk_and_message_a_final_one_after(
    tmp_path: Path,
) -> None:
    """The order on which power cuts and everybody who watches rely."""
    bench = Bench(tmp_path)
    bench.order(State.PREPARED).advance(Event.NOTHING_TO_COMPARE)
    assert bench.log == ["report switching", "disk .intent-main.json.new", "send Switch"]
    bench.log.clear()
    bench.order(State.COMMITTING).advance(Event.FINISH)
    assert bench.log == ["disk .active.new", "send Commit", "report committed"]
    assert (bench.store.active("main"), bench.store.intent("main")) == (NEW, None)


def test_a_disk_step_that_fails_leaves_the_state_and_sends_nothing(tmp_path: Path) -> None:
    """A full disk before the switch: no SWITCH is sent, the next event decides."""
    bench = Bench(tmp_path, fails_on="intent-main")
    order = bench.order(State.PREPARED)
    with pytest.raises(OSError, match="No space left"):
        order.advance(Event.NOTHING_TO_COMPARE)
    assert order.state is State.PREPARED
    assert bench.log == ["report switching"]
    order.advance(Event.DISK_FULL, "no room")
    assert bench.log == ["report switching", "send Rollback", "report refused"]


def test_a_step_that_the_table_refuses_is_not_taken(tmp_path: Path) -> None:
    """A mistake in the program stops the order: nothing is written or said."""
    bench = Bench(tmp_path)
    order = bench.order(State.SHADOW)
    with pytest.raises(OutOfOrder, match="finish in state shadow: neither a commit"):
        order.advance(Event.FINISH)
    assert (order.state, bench.log) == (State.SHADOW, [])


def test_the_third_crash_is_the_last(tmp_path: Path) -> None:
    """Two crashes are counted on disk, the third one orders the roll-back in the same write."""
    bench = Bench(tmp_path)
    order = bench.order(State.PROBATION)
    for crashes in (1, 2):
        order.advance(order.gone(is_planned=False))
        assert order.state is State.PROBATION_OFFLINE
        found = bench.store.intent("main")
        assert found is not None
        assert (found.phase, found.crashes) == ("probation", crashes)
    order.advance(order.gone(is_planned=True))
    order.advance(order.gone(is_planned=False))
    found = bench.store.intent("main")
    assert found is not None
    assert (order.state, found.phase, found.crashes) == (State.ROLLING_BACK, "rolling_back", 3)


@pytest.mark.parametrize("state", sorted(set(State) - FINAL - {State.IDLE}))
def test_the_inbox_keeps_what_the_table_has_wait(tmp_path: Path, state: State) -> None:
    """Orders and hellos that the table queues are kept in order; decisions that it refuses are
    answered with its words."""
    inbox = Inbox()
    answers: list[tuple[bool, str]] = []
    select = Select("alpha", lambda *_: None)
    items: list[Install | Select | Came] = [
        Install(tmp_path / "x.bundle", "file"),
        select,
        Came(OLD),
    ]
    for item in items:
        inbox.put_off(item, state, NEW)
    inbox.put_off(Decide(True, lambda ok, text: answers.append((ok, text))), state, NEW)
    queued = [
        item
        for item, event in zip(items, (Event.INSTALL, Event.SELECT, HELLOS[1]), strict=True)
        if isinstance(move := outcome(state, event), Move) and move.queue
    ]
    assert [inbox.next_idle(0.0) for _ in queued] == queued
    refused = isinstance(outcome(state, Event.PROMOTE), Refusal)
    assert answers == ([(False, transitions.REFUSALS[Event.PROMOTE])] if refused else [])
