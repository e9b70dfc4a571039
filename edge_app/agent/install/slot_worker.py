"""One slot's worker thread: from a file to an active bundle. Reads top-down.

verifying → self_check → (prepare, golden set) → shadow → switching → probation → committed
     └───────────┴───────────────┴─────────────────┴→ refused  └──────────┴→ rolled_back

`transitions` defines what follows what; here is the work and the waiting in between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.agent.install.candidate import (
    Checks,
    candidate_of,
    claimed_sha256,
    installed_candidate,
    try_out,
    verify_file,
)
from edge_app.agent.install.inbox import (
    Came,
    Decide,
    Gone,
    Inbox,
    Install,
    Interrupted,
    Item,
    OrderFailed,
    Select,
    Stop,
    Stopping,
    event_of_error,
)
from edge_app.agent.install.order_check import LATE, OrderCheck
from edge_app.agent.install.prepare_phase import PreparePhase
from edge_app.agent.install.shadow_phase import ShadowPhase
from edge_app.agent.install.slot_order import SlotContext, SlotOrder
from edge_app.agent.install.state_reports import StateReporter
from edge_app.agent.install.switch_phase import SwitchPhase
from edge_app.agent.install.transitions import Event, State
from edge_app.config.model import SlotConfig
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import THE_AGENT, PeerMessage, Requester
from edge_app.store.bundle_store import Store

_log = logging.getLogger(__name__)

RETRY_S = 10.0
"""How often a commit or roll-back that a full disk prevented is tried again."""


@dataclass(frozen=True, slots=True)
class FlowTimes:
    """How long the slot's thread waits, in seconds.

    Attributes:
        inspection_s: for the inspection process to be there.
        prepare_s: for it to load a bundle and judge its golden set.
    """

    inspection_s: float
    prepare_s: float


class SlotFlow:
    """Installs and changes over, one order at a time.

    Args:
        slot: its name.
        rules: how a bundle is accepted in this slot.
        store, checks: see there.
        send: sends a message to the inspection process; False when it is not connected.
        reporter: reports states.
        keep: releases kept beside the needed ones.
    """

    def __init__(
        self,
        slot: str,
        rules: SlotConfig,
        store: Store,
        checks: Checks,
        send: Callable[[PeerMessage], bool],
        reporter: StateReporter,
        times: FlowTimes,
        keep: int,
    ) -> None:
        self.slot = slot
        self.inbox = Inbox()
        self._rules, self._store, self._checks = rules, store, checks
        self._reporter, self._times, self._keep = reporter, times, keep
        self._context = SlotContext(slot, rules, store, send, reporter, self.inbox)
        check = OrderCheck(self._context, checks)
        self._preparing = PreparePhase(self._context, times.prepare_s, check)
        self._comparing = ShadowPhase(self._context, check)
        self._switching = SwitchPhase(self._context, self._preparing, check)
        self._thread = threading.Thread(target=self._run, name=f"slot-{slot}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.inbox.put(Stop())

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Tell whether the slot's thread is alive; a single step may take minutes."""
        return self._thread.is_alive()

    def _run(self) -> None:
        item: Item | None = None
        while True:
            try:
                item = self.inbox.next_idle(RETRY_S)
                self._take_up(item)
            except Stopping:
                return
            except Exception as error:  # the thread must outlive any one order
                _log.exception("slot %s: an order failed unexpectedly", self.slot)
                self._tell_unforeseen(item, error)

    def _tell_unforeseen(self, item: Item | None, error: Exception) -> None:
        """End the order with an answer or a report; one whose switch has begun is resumed later."""
        words = f"failed unexpectedly: {error!r}; see the agent's journal"
        if isinstance(item, Select):
            item.answer(False, f"slot {self.slot}: the changeover {words}")
        elif isinstance(item, Install) and self._store.intent(self.slot) is None:
            self._reporter.report("refused", words)

    def _take_up(self, item: Item | None) -> None:
        if item is None or isinstance(item, Install | Select):
            self._finish_what_was_left()
        if isinstance(item, Came):
            self._greet()
        elif isinstance(item, Gone):
            self._note_gone(item)
        elif isinstance(item, Install):
            self._install(item)
        elif isinstance(item, Select):
            self._select(item)
        elif isinstance(item, Decide):
            self.inbox.put_off(item, State.IDLE)

    # -- the inspection process comes and goes --------------------------------------------------

    def _greet(self) -> None:
        """Resume what was unfinished; else make sure that the slot's bundle is active."""
        intent = self._store.intent(self.slot)
        if intent is not None:
            self._switching.resume(intent)
            return
        wanted, active = self._store.active(self.slot), self.inbox.active
        if wanted is not None and wanted != active:
            _log.warning(
                "slot %s: %s is active, but %s is the slot's bundle", self.slot, active, wanted
            )
            self._switching.restore(wanted)
        others = [s for s in self._store.installed(self.slot).values() if s not in (wanted, active)]
        for sha256 in others[: self._rules.standby_models]:
            candidate = candidate_of(self._store, sha256)
            SlotOrder(self._context, "standby", candidate).advance(Event.STANDBY)

    def _finish_what_was_left(self) -> bool:
        """Resume an unfinished order: after a full disk, or after a restart of the agent that gets
        an order before inspection has reconnected. Another order must not overwrite its record."""
        intent = self._store.intent(self.slot)
        if intent is None or not self.inbox.is_inspection_there:
            return False
        self._switching.resume(intent)
        return True

    def _note_gone(self, gone: Gone) -> None:
        intent = self._store.intent(self.slot)
        if intent is not None and not gone.is_planned:
            self._switching.crashed(intent)

    # -- installing -----------------------------------------------------------------------------

    def _install(self, job: Install) -> None:
        claimed = claimed_sha256(job.file)
        self._reporter.begin(claimed, asked_by=job.asked_by)
        self._store.hold(self.slot, claimed)
        order = SlotOrder(self._context, "candidate", by=job.by)
        try:
            if not self._try(order, job):
                return
            accepted_by = self._have_it_accepted(order, job)
        except Stopping:
            raise
        except (EdgeError, OSError) as error:
            self._refuse(order, error)
            return
        self._switching.carry_out(order, accepted_by)
        self._prune()

    def _try(self, order: SlotOrder, job: Install) -> bool:
        """Make the file a tried release; False when it is in use already."""
        order.advance(Event.INSTALL)
        order.found = found = verify_file(self._store, self._checks, job.file)
        if order.by == THE_AGENT:  # nobody is known to have asked but who signed it
            order.by = Requester(kind="key", name=found.key_id[:64], via="mqtt")
        self._reporter.about(found.sha256, found.product, found.serial)
        self._store.hold(self.slot, found.sha256)
        if found.sha256 == self._store.active(self.slot):
            order.advance(Event.IN_USE, "already in use")
            return False
        order.advance(Event.VERIFIED)
        order.candidate = try_out(self._store, self._checks, found)
        order.advance(Event.TRIED)
        return True

    def _have_it_accepted(self, order: SlotOrder, job: Install) -> Event:
        """Have it prepared and compared on the line; return the event by which it is accepted.

        Raises:
            EdgeError: it failed there, disagreed too much, or was turned down.
        """
        if not self.inbox.until_inspection(self._times.inspection_s, order.state):
            raise OrderFailed(
                Event.NO_ANSWER,
                f"edge-app run is not there (waited {self._times.inspection_s:g} s, "
                "agent.inspection_wait_s); start it, then install again",
            )
        if self._finish_what_was_left() and order.candidate is not None:
            candidate = order.candidate
            about = (candidate.sha256, candidate.product, candidate.serial)
            self._reporter.begin(*about, asked_by=job.asked_by)
        self._preparing.prepare(order, Event.INSPECTION_READY)
        order.advance(Event.GOLDEN)
        if self._rules.shadow_parts and self.inbox.active is not None:
            return self._comparing.compare(order)
        return Event.NOTHING_TO_COMPARE

    def _refuse(self, order: SlotOrder, error: Exception) -> None:
        words = str(error)
        if isinstance(error, OSError):
            words = f"the store cannot be written: {error.strerror or error}. Free some space."
        move = order.advance(event_of_error(error), words)
        if isinstance(error, Interrupted):
            self.inbox.enqueue(error.by, move.queue)
        self._prune()

    def _prune(self) -> None:
        self._store.hold(self.slot, None)
        gone = self._store.prune(self._keep)
        if gone:
            _log.info("slot %s: %d old bundles removed", self.slot, len(gone))

    # -- changing over --------------------------------------------------------------------------

    def _select(self, job: Select) -> None:
        started_s = time.monotonic()
        order = SlotOrder(self._context, "changeover", by=job.by)
        order.advance(Event.SELECT)
        try:
            if not self._prepare_changeover(order, job):
                job.answer(True, f"slot {self.slot} judges {job.product} already")
                return
        except Stopping:
            raise
        except (EdgeError, OSError) as error:
            order.advance(event_of_error(error))
            job.answer(False, f"slot {self.slot} stays as it is: {error}")
            return
        failure = self._switching.carry_out(order, Event.GOLDEN)
        took_ms = (time.monotonic() - started_s) * 1e3
        job.answer(
            not failure, failure or f"slot {self.slot} judges {job.product} ({took_ms:.0f} ms)"
        )

    def _prepare_changeover(self, order: SlotOrder, job: Select) -> bool:
        """Have the product's bundle prepared; False when it judges already.

        Raises:
            EdgeError: the order is late, the product is not installed, or its bundle cannot be
                prepared.
        """
        if job.is_late():
            raise EdgeError(LATE)
        candidate = installed_candidate(self._store, self.slot, job.product)
        if candidate.sha256 == self._store.active(self.slot):
            order.advance(Event.IN_USE)
            return False
        if not self.inbox.until_inspection(self._times.inspection_s, order.state):
            why = "edge-app run is not there; start it, then select again"
            raise OrderFailed(Event.NO_ANSWER, why)
        self._finish_what_was_left()
        self._reporter.begin(candidate.sha256, candidate.product, candidate.serial)
        order.candidate = candidate
        self._preparing.prepare(order, Event.INSPECTION_READY)
        return True
