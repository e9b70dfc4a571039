"""The part of an order that survives a power cut at any point: switch to commit or roll-back.

The record is on disk before SWITCH, the link moves after SWITCHED; after a cut the record says what
to load and how to resume. `transitions` defines what follows what; here is what is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_app.agent.install.candidate import candidate_of
from edge_app.agent.install.inbox import (
    Came,
    Decide,
    Gone,
    InspectionGone,
    Install,
    Interrupted,
    Item,
    OrderFailed,
    Select,
    Stopping,
    event_of,
    event_of_error,
)
from edge_app.agent.install.order_check import OrderCheck
from edge_app.agent.install.prepare_phase import PreparePhase
from edge_app.agent.install.slot_order import SlotContext, SlotOrder
from edge_app.agent.install.transitions import Event, Refusal, State, outcome
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import THE_AGENT, Probation, RolledBack, Switched
from edge_app.store.intent import Figures, Intent

_log = logging.getLogger(__name__)

SWITCH_S = 20.0
"""A switch is done within one turn of the inspection thread; `EXCHANGE_S` there is half of this."""

POLL_S = 0.5

AFTER_RESTART = "edge-app run does not judge with it after a restart"


class SwitchPhase:
    """Switches one slot to another bundle. Used by the slot's thread."""

    def __init__(self, context: SlotContext, prepare: PreparePhase, check: OrderCheck) -> None:
        self._context, self._prepare, self._check = context, prepare, check
        self._inbox = context.inbox
        self._left_over: str | None = None

    def carry_out(self, order: SlotOrder, begun_by: Event) -> str:
        """Switch to a prepared bundle; return why it is not in use, "" when it is committed.

        Args:
            begun_by: the event that lets the prepared bundle in.
        """
        try:
            order.advance(begun_by)
        except OSError as error:
            reason = f"the store cannot be written: {error.strerror}. Free some space."
            order.advance(Event.DISK_FULL, reason)
            return reason
        return self._guarded(order, self._switch)

    def resume(self, intent: Intent) -> None:
        """Resume an order after a restart of the agent or of the inspection process."""
        order = SlotOrder.resumed(self._context, intent)
        found = candidate_of(self._context.store, intent.new_sha256)
        self._context.reporter.resume(intent.new_sha256, found.product or None, found.serial)
        is_new = self._inbox.active == intent.new_sha256
        event = Event.RESUMED_WITH_NEW if is_new else Event.RESUMED_WITH_OTHER
        self._guarded(order, lambda order: self._resume(order, event))

    def crashed(self, intent: Intent) -> None:
        """Count an unexpected end of the inspection process while a record is on disk."""
        order = SlotOrder.resumed(self._context, intent)
        order.advance(order.gone(is_planned=False))

    def restore(self, sha256: str) -> bool:
        """Make the slot's own bundle active again; False when that is not possible now."""
        order = SlotOrder(self._context, "restore", candidate_of(self._context.store, sha256))
        try:
            self._prepare.prepare(order, Event.RESTORE)
            order.advance(Event.GOLDEN)
            self._inbox.answer(sha256, Switched, timeout_s=SWITCH_S, state=order.state)
        except Stopping:
            raise
        except EdgeError as error:
            order.advance(event_of_error(error))
            slot = self._context.slot
            _log.error("slot %s: %s cannot be restored: %s", slot, sha256[:12], error)
            return False
        order.advance(Event.SWITCHED)
        self._inbox.active = sha256
        return True

    def _guarded(self, order: SlotOrder, work: Callable[[SlotOrder], None]) -> str:
        """Do the work, or roll back; return why it was rolled back, "" when it was not."""
        try:
            work(order)
        except Stopping:
            raise
        except OSError as error:
            return self._on_full_disk(order, error)
        except EdgeError as error:
            order.reread()
            by = error.by if isinstance(error, Interrupted) else None
            order.by = error.author if isinstance(error, OrderFailed) else THE_AGENT
            return self._roll_back(order, event_of_error(error), str(error), by)
        return ""

    # -- forward --------------------------------------------------------------------------------

    def _resume(self, order: SlotOrder, event: Event) -> None:
        """Resume from the record.

        Raises:
            OrderFailed: it is to be rolled back.
        """
        if order.leads_to(event) is State.ROLLING_BACK:
            is_begun = order.state is State.ROLLING_BACK
            raise OrderFailed(event, order.record.reason or ("" if is_begun else AFTER_RESTART))
        order.advance(event)
        self._watch_and_commit(order)

    def _switch(self, order: SlotOrder) -> None:
        """Wait until inspection has switched between two parts, then watch and commit; a restart of
        inspection in between has the same result."""
        try:
            news = self._inbox.answer(order.sha256, Switched, timeout_s=SWITCH_S, state=order.state)
        except InspectionGone as gone:
            self._wait_for_restart(order, gone.is_planned)
        else:
            assert isinstance(news, Switched)
            self._inbox.active = order.sha256
            order.note_baseline(news.baseline)
            order.advance(Event.SWITCHED)
        self._watch_and_commit(order)

    def _wait_for_restart(self, order: SlotOrder, is_planned: bool) -> None:
        """Wait for the inspection process to start again: it loads what the record says.

        Raises:
            OrderFailed: it crashed too often, or does not judge with the new bundle.
        """
        order.advance(order.gone(is_planned))
        while not self._inbox.is_inspection_there:
            if order.state is State.ROLLING_BACK:
                raise OrderFailed(Event.CRASHED_TOO_OFTEN, order.record.reason)
            item = self._inbox.next_busy(POLL_S)
            if isinstance(item, Gone):
                order.advance(order.gone(item.is_planned))
            else:
                self._inbox.put_off(item, order.state, order.sha256)
        hello = event_of(Came(self._inbox.active), order.sha256)
        if hello is not Event.CAME_WITH_NEW:
            raise OrderFailed(Event.CAME_WITH_OTHER, AFTER_RESTART)
        order.advance(hello)

    def _watch_and_commit(self, order: SlotOrder) -> None:
        """Commit after the probation, or at once where nothing is to be compared.

        Raises:
            OrderFailed: it did worse, crashed, or a changeover was ordered.
        """
        figures = ""
        if order.state is State.PROBATION:
            if self._is_watched(order.record):
                order.advance(Event.COMPARE, percent=0.0)
                figures = self._watch(order)
            else:
                order.advance(Event.NOTHING_TO_COMPARE)
        order.advance(Event.FINISH, figures)

    def _is_watched(self, intent: Intent) -> bool:
        has_predecessor = intent.old_sha256 is not None or intent.baseline is not None
        is_new = intent.kind == "install"
        return is_new and has_predecessor and self._context.rules.probation_parts > 0

    def _watch(self, order: SlotOrder) -> str:
        """Wait until the probation is over; return its figures for people.

        Raises:
            OrderFailed: the bundle is to be rolled back.
        """
        figures = ""
        while order.state is not State.COMMITTING:
            item = self._inbox.waiting(Select) or self._inbox.next_busy(POLL_S)
            if isinstance(item, Gone):
                self._wait_for_restart(order, item.is_planned)
                continue
            if isinstance(item, Select) and not self._check.may_change_over(item, order):
                continue
            event = event_of(item, order.sha256)
            found = Refusal("") if event is None else outcome(order.state, event)
            if event is None or isinstance(found, Refusal):
                continue
            if found.queue is not None and found.next is order.state:
                self._inbox.put_off(item, order.state, order.sha256)
                continue
            if isinstance(item, Decide):
                done = "committed" if item.promote else "taken back"
                item.answer(True, f"the new bundle is {done}")
            if found.next is State.ROLLING_BACK:
                raise _probation_ended(item, event)
            percent = None
            if isinstance(item, Probation):
                figures = probation_words(item.figures, order.record.baseline)
                percent = self._percent(item.figures)
            order.advance(event, figures, percent)
        return figures

    def _percent(self, figures: Figures) -> float:
        return min(100.0, 100.0 * figures.parts / self._context.rules.probation_parts)

    def _on_full_disk(self, order: SlotOrder, error: OSError) -> str:
        """On a full disk roll back; once the commit has begun, wait for space."""
        reason = f"the store cannot be written: {error.strerror}"
        order.reread()
        order.by = THE_AGENT
        if order.leads_to(Event.DISK_FULL) is State.ROLLING_BACK:
            return self._roll_back(order, Event.DISK_FULL, reason)
        order.advance(Event.DISK_FULL, f"passed, but {reason}; committed once there is room")
        return ""

    # -- back -----------------------------------------------------------------------------------

    def _roll_back(
        self, order: SlotOrder, event: Event, reason: str, by: Select | Install | None = None
    ) -> str:
        """Return to the old bundle, on disk and in the inspection process; return the reason."""
        is_begun = order.state is State.ROLLING_BACK  # then it is resumed from its record
        move = order.advance(Event.RESUMED_WITH_OTHER if is_begun else event, reason)
        if by is not None:
            self._inbox.enqueue(by, move.queue)
        intent = order.record
        if self._inbox.is_inspection_there and self._inbox.active != intent.old_sha256:
            self._roll_back_inspection(order, reason)
        is_reported = self._left_over == intent.new_sha256
        self._left_over = None
        try:
            order.advance(Event.FINISH, reason, is_reported=not is_reported)
        except OSError as error:
            reason += f"; the store's record stays until it can be written ({error.strerror})"
            self._left_over = intent.new_sha256
            order.advance(Event.DISK_FULL, reason, is_reported=not is_reported)
        return reason

    def _roll_back_inspection(self, order: SlotOrder, reason: str) -> None:
        """Make the old model active again; without the inspection process its next start does."""
        order.advance(Event.NEW_STILL_JUDGES, reason)
        try:
            news = self._inbox.answer(
                order.sha256, RolledBack, timeout_s=SWITCH_S, state=order.state
            )
        except InspectionGone as gone:
            order.advance(gone.event)
            return
        except Stopping:
            raise
        except EdgeError as error:
            order.advance(event_of_error(error))
            _log.info("slot %s: %s; the old bundle is loaded again", self._context.slot, error)
            if order.record.old_sha256 is not None:
                self.restore(order.record.old_sha256)
            return
        assert isinstance(news, RolledBack)
        order.advance(Event.ROLLED_BACK)
        self._inbox.active = news.active


def probation_words(new: Figures, old: Figures | None) -> str:
    """Return what a model did in its probation, beside the one before it on the same line."""
    words = f"{new.ng} of {new.parts} parts alarmed, {new.not_inspected} not inspected"
    if old is None or not old.parts:
        return words
    return f"{words}; the model before it: {old.ng} of {old.parts}, {old.not_inspected}"


def _probation_ended(item: Item | None, event: Event) -> OrderFailed:
    """Return why an item ends a probation."""
    if isinstance(item, Select):
        return Interrupted(item, "a changeover came before its probation was over")
    if isinstance(item, Came):
        return OrderFailed(event, "edge-app run does not judge with it any more")
    if isinstance(item, Probation):
        return OrderFailed(event, item.reason)
    author = item.by if isinstance(item, Decide) else THE_AGENT
    return OrderFailed(event, "taken back by hand during its probation", author)
