"""One slot's way from a file to a bundle in use. A thread of its own; reads top-down.

verifying → self_check → (prepare, golden set) → shadow → switching → probation → committed
     └───────────┴───────────────┴─────────────────┴→ refused  └──────────┴→ rolled_back
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.agent.install.candidate import (
    Candidate,
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
    InspectionGone,
    Install,
    Interrupted,
    Item,
    Select,
    Stop,
    Stopping,
)
from edge_app.agent.install.shadow_phase import Comparing
from edge_app.agent.install.state_reports import StateReporter
from edge_app.agent.install.switch_phase import Switching
from edge_app.config.model import SlotConfig
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import (
    Building,
    Golden,
    Line,
    Loaded,
    Prepare,
    Rollback,
)
from edge_app.store.bundle_store import Store

_log = logging.getLogger(__name__)

RETRY_S = 10.0
"""How often an end that a full disk prevented is tried again."""


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
        rules: how a bundle earns its place here.
        store, checks: see there.
        order: says a line to the inspection process; False when it is not there.
        reporter: reports states.
        keep: releases kept beside the needed ones.
    """

    def __init__(
        self,
        slot: str,
        rules: SlotConfig,
        store: Store,
        checks: Checks,
        order: Callable[[Line], bool],
        reporter: StateReporter,
        times: FlowTimes,
        keep: int,
    ) -> None:
        self.slot = slot
        self.inbox = Inbox()
        self._rules, self._store, self._checks = rules, store, checks
        self._order, self._reporter, self._times, self._keep = order, reporter, times, keep
        self._comparing = Comparing(slot, rules, order, reporter, self.inbox)
        self._switching = Switching(slot, rules, store, order, reporter, self.inbox, self._prepare)
        self._thread = threading.Thread(target=self._run, name=f"slot-{slot}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.inbox.put(Stop())

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Tell whether the slot's thread is there; a step of minutes is no reason for concern."""
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
        """Leave no order without its end; one whose switch has begun is gone on with later."""
        words = f"failed unexpectedly: {error!r}; the agent's journal has more"
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
            item.answer(False, "nothing waits for a decision in this slot")

    # -- the inspection process comes and goes --------------------------------------------------

    def _greet(self) -> None:
        """Go on with what was unfinished; else see that the slot's bundle judges."""
        intent = self._store.intent(self.slot)
        if intent is not None:
            self._switching.resume(intent)
            return
        wanted, active = self._store.active(self.slot), self.inbox.active
        if wanted is not None and wanted != active:
            _log.warning(
                "slot %s: %s judges, but %s is the slot's bundle", self.slot, active, wanted
            )
            self._switching.restore(wanted)
        others = [s for s in self._store.installed(self.slot).values() if s not in (wanted, active)]
        for sha256 in others[: self._rules.standby_models]:
            memory_mb = candidate_of(self._store, sha256).memory_mb
            self._order(
                Prepare(slot=self.slot, sha256=sha256, purpose="standby", memory_mb=memory_mb)
            )

    def _finish_what_was_left(self) -> bool:
        """Go on with a record from before: of a full disk, or of an agent that was cut off and has
        an order before inspection is back. Another order must not write over it."""
        intent = self._store.intent(self.slot)
        if intent is None or not self.inbox.is_inspection_there:
            return False
        self._switching.resume(intent)
        return True

    def _note_gone(self, gone: Gone) -> None:
        intent = self._store.intent(self.slot)
        if intent is not None and not gone.is_planned:
            self._switching.count_crash(intent)

    # -- installing -----------------------------------------------------------------------------

    def _install(self, job: Install) -> None:
        job.begun()
        claimed = claimed_sha256(job.file)
        self._reporter.begin(claimed)
        self._store.hold(self.slot, claimed)
        try:
            candidate = self._candidate(job)
            if candidate is None:
                return
            self._earn_its_place(candidate)
        except Stopping:
            raise
        except (EdgeError, OSError) as error:
            self._refuse(error)
            return
        self._switching.install(candidate)
        self._prune()

    def _candidate(self, job: Install) -> Candidate | None:
        """Return the file as a tried release; None when it is in use already."""
        self._reporter.report("verifying")
        found = verify_file(self._store, self._checks, job.file)
        self._reporter.about(found.sha256, found.product, found.serial)
        self._store.hold(self.slot, found.sha256)
        if found.sha256 == self._store.active(self.slot):
            if found.file.parent == self._store.incoming:
                self._store.discard(found.file)
            self._reporter.report("committed", "already in use")
            return None
        self._reporter.report("self_check")
        return try_out(self._store, self._checks, found)

    def _earn_its_place(self, candidate: Candidate) -> None:
        """Have it prepared and compared on the line.

        Raises:
            EdgeError: it failed there, disagreed too much, or was turned down; it waits no more.
        """
        if not self.inbox.until_inspection(self._times.inspection_s):
            raise EdgeError(
                f"edge-app run is not there (waited {self._times.inspection_s:g} s, "
                "agent.inspection_wait_s); start it, then install again"
            )
        if self._finish_what_was_left():
            self._reporter.begin(candidate.sha256, candidate.product, candidate.serial)
        try:
            self._prepare(candidate, "candidate")
            if self._rules.shadow_parts and self.inbox.active is not None:
                self._comparing.compare(candidate)
        except Stopping:
            raise
        except EdgeError as error:
            back_to = self.inbox.active
            self._order(Rollback(slot=self.slot, sha256=candidate.sha256, back_to=back_to))
            if isinstance(error, Interrupted):
                self.inbox.postpone_first(error.by)
            raise

    def _prepare(self, candidate: Candidate, purpose: str) -> None:
        """Have the inspection process load it and judge the golden set.

        Raises:
            EdgeError: it could not, or did not come out as expected.
        """
        order = Prepare.model_validate(
            {
                "slot": self.slot,
                "sha256": candidate.sha256,
                "purpose": purpose,
                "memory_mb": candidate.memory_mb,
            }
        )
        if not self._order(order):
            raise InspectionGone(is_planned=True)
        self._until_loaded(candidate.sha256, may_wait=purpose != "candidate")
        self.inbox.answer(candidate.sha256, Golden, timeout_s=self._times.prepare_s)

    def _until_loaded(self, sha256: str, may_wait: bool) -> None:
        """Wait for its engines, minutes on a Jetson and told in percent, and for its graphs.

        Raises:
            Interrupted: a changeover was asked for meanwhile; it does not wait for a build.
            EdgeError: see `Inbox.answer`; the time counts from the last word about a build.
        """
        is_building = False
        while True:
            news = self.inbox.answer(sha256, Building, Loaded, timeout_s=self._times.prepare_s)
            if not isinstance(news, Building):
                break
            is_building = True
            self._reporter.report_progress("building", news.percent)
            changeover = None if may_wait else self.inbox.waiting(Select)
            if changeover is not None:
                words = "given up for a changeover that came while its engines were built"
                raise Interrupted(changeover, words)
        if is_building:
            self._reporter.report("self_check", "on this device's engines")

    def _refuse(self, error: Exception) -> None:
        words = str(error)
        if isinstance(error, OSError):
            words = f"the store cannot be written: {error.strerror or error}. Free some space."
        self._reporter.report("refused", words)
        self._prune()

    def _prune(self) -> None:
        self._store.hold(self.slot, None)
        gone = self._store.prune(self._keep)
        if gone:
            _log.info("slot %s: %d old bundles removed", self.slot, len(gone))

    # -- changing over --------------------------------------------------------------------------

    def _select(self, job: Select) -> None:
        started_s = time.monotonic()
        if job.is_late():
            why = "the command expired before its turn came; the slot was busy. Send it again."
            job.answer(False, f"slot {self.slot} stays as it is: {why}")
            return
        try:
            candidate = installed_candidate(self._store, self.slot, job.product)
            if candidate.sha256 == self._store.active(self.slot):
                job.answer(True, f"slot {self.slot} judges {job.product} already")
                return
            if not self.inbox.until_inspection(self._times.inspection_s):
                raise EdgeError("edge-app run is not there; start it, then select again")
            self._finish_what_was_left()
            self._reporter.begin(candidate.sha256, candidate.product, candidate.serial)
            self._prepare(candidate, "changeover")
        except Stopping:
            raise
        except (EdgeError, OSError) as error:
            job.answer(False, f"slot {self.slot} stays as it is: {error}")
            return
        failure = self._switching.select(candidate)
        took_ms = (time.monotonic() - started_s) * 1e3
        job.answer(
            not failure, failure or f"slot {self.slot} judges {job.product} ({took_ms:.0f} ms)"
        )
