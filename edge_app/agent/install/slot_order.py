"""One order of one slot: its state, and the execution of each transition of the table.

`transitions` says what follows an event; here reports, disk steps and messages become calls of the
reporter, the store and the connection to the inspection process. Nothing else changes the state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.agent.install.candidate import Candidate, Verified, admit, candidate_of
from edge_app.agent.install.inbox import Inbox, InspectionGone
from edge_app.agent.install.state_reports import StateReporter
from edge_app.agent.install.transitions import (
    DiskStep,
    Event,
    Message,
    Move,
    Refusal,
    State,
    outcome,
)
from edge_app.config.model import SlotConfig
from edge_app.ipc.protocol import (
    MAX_REASON_CHARS,
    THE_AGENT,
    Commit,
    PeerMessage,
    Prepare,
    Purpose,
    Requester,
    Rollback,
    StartProbation,
    StartShadow,
    Switch,
)
from edge_app.mqtt.deploy_messages import DeployState
from edge_app.store.bundle_store import Store
from edge_app.store.intent import MAX_CRASHES, Figures, Intent

_log = logging.getLogger(__name__)

IN_STEPS = frozenset({Event.BUILDING, Event.WATCHING})
"""Inspection sends these twice a second; they are reported in steps of ten per cent."""


WHY: dict[Purpose, str] = {
    "candidate": "installed",
    "changeover": "changed over to an installed product",
    "restore": "the slot's own bundle again",
    "standby": "",
}
"""What is asked for, by what a bundle is prepared for: for the audit."""


class OutOfOrder(RuntimeError):
    """A programming error: a step that the table refuses."""


@dataclass(frozen=True, slots=True)
class SlotContext:
    """What every order of a slot works with.

    Attributes:
        rules: how a bundle is accepted in this slot.
        send: sends a message to the inspection process; False when it is not connected.
    """

    slot: str
    rules: SlotConfig
    store: Store
    send: Callable[[PeerMessage], bool]
    reporter: StateReporter
    inbox: Inbox


class SlotOrder:
    """An installation, a changeover, or the restoring of the slot's own bundle.

    Args:
        purpose: what its bundle is prepared for.
        candidate: the bundle, where it is known from the start.
        by: who asked for it.

    Attributes:
        state: changed by `advance` and `reread` only.
        found: the file, once it is verified.
        intent: the record, from the switch on; as it was written last.
        by: who asked for what is sent next.
    """

    def __init__(
        self,
        context: SlotContext,
        purpose: Purpose,
        candidate: Candidate | None = None,
        by: Requester = THE_AGENT,
    ) -> None:
        self._context, self._purpose = context, purpose
        self.state = State.IDLE
        self.candidate = candidate
        self.by = by
        self.found: Verified | None = None
        self.intent: Intent | None = None
        self._first: Intent | None = None
        self._reason = ""

    @classmethod
    def resumed(cls, context: SlotContext, intent: Intent) -> SlotOrder:
        """Return the order that a record on disk is of."""
        order = cls(context, "candidate", candidate_of(context.store, intent.new_sha256))
        order.intent = order._first = intent
        order.state = State(intent.phase)
        return order

    @property
    def sha256(self) -> str:
        """The bundle's digest.

        Raises:
            OutOfOrder: it is not known yet.
        """
        if self.candidate is None:
            raise OutOfOrder(f"the bundle is not known in state {self.state.value}")
        return self.candidate.sha256

    @property
    def record(self) -> Intent:
        """The record.

        Raises:
            OutOfOrder: the switch has not begun.
        """
        if self.intent is None:
            raise OutOfOrder(f"there is no record in state {self.state.value}")
        return self.intent

    def accepts(self, event: Event) -> bool:
        """Tell whether the table has an entry for an event that inspection sent."""
        return isinstance(outcome(self.state, event), Move)

    def leads_to(self, event: Event) -> State:
        """Return the state that an event leads to; where it is refused, the one it is in."""
        found = outcome(self.state, event)
        return found.next if isinstance(found, Move) else self.state

    def note_baseline(self, baseline: Figures | None) -> None:
        """Keep the old model's figures for the probation; they are written with the next record."""
        self.intent = self.record.model_copy(update={"baseline": baseline})

    def gone(self, is_planned: bool) -> Event:
        """Return the event for an end of the inspection process."""
        if is_planned:
            return Event.GONE
        crashes = 0 if self.intent is None else self.intent.crashes
        return Event.CRASHED_TOO_OFTEN if crashes + 1 >= MAX_CRASHES else Event.CRASHED

    def advance(
        self,
        event: Event,
        reason: str = "",
        percent: float | None = None,
        is_reported: bool = True,
    ) -> Move:
        """Execute a transition: report a working state, write, send, report a final state.

        Args:
            reason: for the report, and for the record of a roll-back.
            is_reported: False where the end was reported before.

        Raises:
            OSError: the disk step failed; the state is what it was.
            EdgeError: the disk step or the message was refused.
            OutOfOrder: the table refuses the event.
        """
        move = outcome(self.state, event)
        if isinstance(move, Refusal):
            raise OutOfOrder(f"{event.value} in state {self.state.value}: {move.reason}")
        if reason or move.disk is DiskStep.RECORD_ROLLING_BACK:
            self._reason = reason
        report = move.report if is_reported else None
        if report is not None and not move.next.is_final:
            self._report(report, event, reason, percent)
        if move.disk is not None:
            self._write(move.disk)
        self.state = move.next
        if move.message is not None:
            self._send(move.message)
        if report is not None and move.next.is_final:
            self._report(report, event, reason, percent)
        return move

    def reread(self) -> None:
        """Take over the record on disk: a step that failed may have written it all the same."""
        self.intent = self._context.store.intent(self._context.slot) or self._first
        if self.state.record != self.record.phase:
            self.state = State(self.record.phase)

    # -- reports --------------------------------------------------------------------------------

    def _report(self, state: DeployState, event: Event, reason: str, percent: float | None) -> None:
        reporter = self._context.reporter
        if event in IN_STEPS and percent is not None:
            reporter.report_progress(state, percent, reason)
        elif event is Event.DISK_FULL and self.state is State.COMMITTING:
            reporter.report_once(state, reason)  # tried again every few seconds
        else:
            reporter.report(state, reason, percent)

    # -- disk -----------------------------------------------------------------------------------

    def _write(self, step: DiskStep) -> None:
        steps: dict[DiskStep, Callable[[], None]] = {
            DiskStep.DISCARD_FILE: self._discard_file,
            DiskStep.ADMIT_RELEASE: self._admit_release,
            DiskStep.RECORD_SWITCHING: self._record_switching,
            DiskStep.RECORD_CRASH: self._record_crash,
            DiskStep.RECORD_LAST_CRASH: self._record_crash,
            DiskStep.MOVE_LINK: self._move_link,
            DiskStep.RECORD_COMMITTING: lambda: self._record(phase="committing"),
            DiskStep.FINISH_COMMIT: self._finish_commit,
            DiskStep.RECORD_ROLLING_BACK: self._record_rolling_back,
            DiskStep.FINISH_ROLL_BACK: self._finish_roll_back,
            DiskStep.CLEAR_RECORD: self._clear_record,
        }
        steps[step]()

    def _discard_file(self) -> None:
        store = self._context.store
        if self.found is not None and self.found.file.parent == store.incoming:
            store.discard(self.found.file)

    def _admit_release(self) -> None:
        assert self.found is not None  # verified before it is tried
        assert self.candidate is not None
        admit(self._context.store, self.found, self.candidate)

    def _record_switching(self) -> None:
        slot, store = self._context.slot, self._context.store
        self.intent = self._first = Intent(
            slot=slot,
            kind="select" if self._purpose == "changeover" else "install",
            phase="switching",
            old_sha256=store.active(slot),
            new_sha256=self.sha256,
        )
        store.set_intent(self.intent)

    def _record(self, **changes: object) -> None:
        changed = self.record.model_copy(update=changes)
        self._context.store.set_intent(changed)
        self.intent = changed

    def _record_crash(self) -> None:
        crashes = self.record.crashes + 1
        _log.warning(
            "slot %s: crash %d of %d with the new bundle", self._context.slot, crashes, MAX_CRASHES
        )
        if crashes >= MAX_CRASHES:
            reason = f"edge-app run ended unexpectedly {crashes} times since the switch"
            self._record(crashes=crashes, phase="rolling_back", reason=reason)
        else:
            self._record(crashes=crashes)

    def _move_link(self) -> None:
        self._context.store.set_active(self._context.slot, self.record.new_sha256)
        if self.record.phase == "switching":
            self._record(phase="probation")

    def _finish_commit(self) -> None:
        slot, store, sha256 = self._context.slot, self._context.store, self.record.new_sha256
        found = candidate_of(store, sha256)
        if found.product:
            store.raise_high_water(found.product, found.serial)  # first: it may refuse
            store.set_installed(slot, found.product, sha256)
            store.set_previous(slot, store.before(slot).get(found.product))
        store.set_active(slot, sha256)
        store.clear_intent(slot)

    def _record_rolling_back(self) -> None:
        """Best effort: a record that cannot be written names both bundles as it is."""
        try:
            self._record(phase="rolling_back", reason=self._reason)
        except OSError as error:
            _log.error("slot %s: %s", self._context.slot, error)

    def _finish_roll_back(self) -> None:
        self._context.store.set_active(self._context.slot, self.record.old_sha256)
        self._context.store.clear_intent(self._context.slot)

    def _clear_record(self) -> None:
        """Best effort: the record may be there, its folder not synced."""
        try:
            self._context.store.clear_intent(self._context.slot)
        except OSError as error:
            _log.debug("slot %s: %s", self._context.slot, error)

    # -- messages -------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        is_sent = self._context.send(self._line(message))
        if message is Message.PREPARE and not is_sent and self._purpose != "standby":
            raise InspectionGone(is_planned=True)

    def _line(self, message: Message) -> PeerMessage:
        slot, sha256, rules = self._context.slot, self.sha256, self._context.rules
        if message is Message.PREPARE:
            memory_mb = 0 if self.candidate is None else self.candidate.memory_mb
            return Prepare(slot=slot, sha256=sha256, purpose=self._purpose, memory_mb=memory_mb)
        if message is Message.START_SHADOW:
            parts, max_min = rules.shadow_parts, rules.shadow_max_min
            return StartShadow(slot=slot, sha256=sha256, parts=parts, max_min=max_min)
        if message is Message.SWITCH:
            return Switch(slot=slot, sha256=sha256, by=self.by, why=WHY[self._purpose])
        if message is Message.START_PROBATION:
            return StartProbation(
                slot=slot,
                sha256=sha256,
                parts=rules.probation_parts,
                max_min=rules.probation_max_min,
                max_latency_ratio=rules.max_latency_ratio,
                baseline=self.record.baseline,
            )
        if message is Message.COMMIT:
            return Commit(slot=slot, sha256=sha256)
        return self._rollback()

    def _rollback(self) -> Rollback:
        """Before the switch return to the active bundle; later to what the record names."""
        slot, intent = self._context.slot, self.intent
        if intent is None:
            back_to = self._context.inbox.active
            return Rollback(slot=slot, sha256=self.sha256, back_to=back_to, by=self.by)
        reason = self._reason[:MAX_REASON_CHARS]
        return Rollback(
            slot=slot,
            sha256=self.sha256,
            back_to=intent.old_sha256,
            reason=reason,
            by=self.by,
        )
