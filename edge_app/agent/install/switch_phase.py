"""The part of an order that must survive a power cut anywhere: switch, watch, commit or take back.

The record is on disk before SWITCH, the link moves after SWITCHED; whatever is cut off, the record
says what to load and how to go on (`resume`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from edge_app.agent.install.candidate import Candidate, candidate_of
from edge_app.agent.install.inbox import (
    Came,
    Decide,
    Gone,
    Inbox,
    InspectionGone,
    Install,
    Select,
    Stopping,
)
from edge_app.agent.install.state_reports import StateReporter
from edge_app.config.model import SlotConfig
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import (
    MAX_REASON_CHARS,
    Commit,
    Line,
    Probation,
    Rollback,
    RolledBack,
    StartProbation,
    Switch,
    Switched,
)
from edge_app.store.bundle_store import Store
from edge_app.store.intent import MAX_CRASHES, Intent, IntentKind

_log = logging.getLogger(__name__)

SWITCH_S = 20.0
"""A switch is done within one turn of the inspection thread; `EXCHANGE_S` there is half of this."""

POLL_S = 0.5


class TakenBack(EdgeError):
    """The new bundle is not to stay; the message says why."""


class Switching:
    """Carries one slot over to another bundle. Used by the slot's thread.

    Args:
        prepare: has a bundle made ready in the inspection process.
        others: see `SlotFlow`.
    """

    def __init__(
        self,
        slot: str,
        rules: SlotConfig,
        store: Store,
        order: Callable[[Line], bool],
        reporter: StateReporter,
        inbox: Inbox,
        prepare: Callable[[Candidate, str], None],
    ) -> None:
        self._slot, self._rules, self._store = slot, rules, store
        self._order, self._reporter, self._inbox, self._prepare = order, reporter, inbox, prepare
        self._left_over: str | None = None

    def install(self, candidate: Candidate) -> None:
        """Switch to a prepared bundle and watch it; ends committed, rolled back or refused."""
        self._carry_out(self._intent(candidate, "install"))

    def select(self, candidate: Candidate) -> str:
        """Switch to a prepared, installed bundle; return why it failed, "" when it judges."""
        return self._carry_out(self._intent(candidate, "select"))

    def resume(self, intent: Intent) -> None:
        """Go on where the agent or the inspection process was cut off."""
        found = candidate_of(self._store, intent.new_sha256)
        self._reporter.begin(intent.new_sha256, found.product or None, found.serial)
        active = self._inbox.active
        try:
            if intent.phase == "committing":
                self._commit(intent)
            elif intent.phase == "rolling_back":
                self._take_back(intent, intent.reason)
            elif active != intent.new_sha256:
                why = intent.reason or "edge-app run does not judge with it after a restart"
                self._take_back(intent, why)
            else:
                self._watch(self._switched(intent))
        except Stopping:
            raise
        except EdgeError as why:
            self._take_back(self._store.intent(self._slot) or intent, str(why))
        except OSError as error:
            self._stumble(intent, error)

    def count_crash(self, intent: Intent) -> Intent:
        """Note an end of the inspection process without a goodbye while nothing is committed."""
        if intent.phase not in ("switching", "probation"):
            return intent
        crashes = intent.crashes + 1
        _log.warning(
            "slot %s: crash %d of %d with the new bundle", self._slot, crashes, MAX_CRASHES
        )
        changes: dict[str, object] = {"crashes": crashes}
        if crashes >= MAX_CRASHES:
            reason = f"edge-app run ended {crashes} times without a goodbye since the switch"
            changes |= {"phase": "rolling_back", "reason": reason}
        return self._note(intent.model_copy(update=changes))

    def restore(self, sha256: str) -> bool:
        """Have the slot's own bundle judge again; False when that is not possible now."""
        try:
            self._prepare(candidate_of(self._store, sha256), "restore")
            self._order(Switch(slot=self._slot, sha256=sha256))
            self._inbox.answer(sha256, Switched, timeout_s=SWITCH_S)
        except Stopping:
            raise
        except EdgeError as error:
            _log.error("slot %s: %s cannot be brought back: %s", self._slot, sha256[:12], error)
            return False
        self._order(Commit(slot=self._slot, sha256=sha256))
        self._inbox.active = sha256
        return True

    # -- forward --------------------------------------------------------------------------------

    def _intent(self, candidate: Candidate, kind: IntentKind) -> Intent:
        return Intent(
            slot=self._slot,
            kind=kind,
            phase="switching",
            old_sha256=self._store.active(self._slot),
            new_sha256=candidate.sha256,
        )

    def _carry_out(self, intent: Intent) -> str:
        self._reporter.report("switching")
        try:
            self._note(intent)
        except OSError as error:
            reason = f"the store cannot be written: {error.strerror}. Free some space."
            with suppress(OSError):  # the record may be there, its folder not synced
                self._store.clear_intent(self._slot)
            self._order(self._rollback_order(intent, reason))
            self._reporter.report("refused", reason)
            return reason
        try:
            switched = self._switch(intent)
            self._watch(self._switched(switched))
        except Stopping:
            raise
        except OSError as error:
            return self._stumble(intent, error)
        except EdgeError as error:
            return self._take_back(self._store.intent(self._slot) or intent, str(error))
        return ""

    def _switch(self, intent: Intent) -> Intent:
        """Have inspection switch between two parts; a restart in between comes to the same."""
        self._order(Switch(slot=self._slot, sha256=intent.new_sha256))
        try:
            news = self._inbox.answer(intent.new_sha256, Switched, timeout_s=SWITCH_S)
        except InspectionGone as gone:
            return self._until_it_judges(intent if gone.is_planned else self.count_crash(intent))
        assert isinstance(news, Switched)
        self._inbox.active = intent.new_sha256
        return intent.model_copy(update={"baseline": news.baseline})

    def _until_it_judges(self, intent: Intent) -> Intent:
        """Wait for the inspection process to start again: it loads what the record says.

        Raises:
            TakenBack: it crashed too often, or does not judge with the new bundle.
        """
        while not self._inbox.is_inspection_there:
            if intent.phase == "rolling_back":
                raise TakenBack(intent.reason)
            item = self._inbox.next_busy(POLL_S)
            if isinstance(item, Gone) and not item.is_planned:
                intent = self.count_crash(intent)
            elif isinstance(item, Install | Select):
                self._inbox.postpone(item)
            elif isinstance(item, Decide):
                item.answer(False, "nothing waits for a decision in this slot")
        if self._inbox.active != intent.new_sha256:
            raise TakenBack("edge-app run does not judge with it after a restart")
        return intent

    def _switched(self, intent: Intent) -> Intent:
        """Move the link: the new bundle judges."""
        self._store.set_active(self._slot, intent.new_sha256)
        if intent.phase == "switching":
            intent = self._note(intent.model_copy(update={"phase": "probation"}))
        return intent

    def _watch(self, intent: Intent) -> None:
        """Commit at once where nothing is to be compared, else after the probation.

        Raises:
            TakenBack: it did worse, crashed, or somebody wants another product.
        """
        has_predecessor = intent.old_sha256 is not None or intent.baseline is not None
        if intent.kind == "install" and has_predecessor and self._rules.probation_parts:
            self._reporter.report("probation", percent=0.0)
            intent = self._probation(intent)
        self._commit(intent)

    def _probation(self, intent: Intent) -> Intent:
        self._start_probation(intent)
        while True:
            item = self._inbox.waiting(Select) or self._inbox.next_busy(POLL_S)
            if isinstance(item, Gone):
                intent = intent if item.is_planned else self.count_crash(intent)
                intent = self._until_it_judges(intent)
                self._start_probation(intent)
            elif isinstance(item, Came):
                if item.active != intent.new_sha256:
                    raise TakenBack("edge-app run does not judge with it any more")
                self._start_probation(intent)
            elif isinstance(item, Probation) and item.sha256 == intent.new_sha256:
                if item.state == "passed":
                    return intent
                if item.state == "failed":
                    raise TakenBack(item.reason)
                percent = min(100.0, 100.0 * item.figures.parts / self._rules.probation_parts)
                self._reporter.report_progress("probation", percent)
            elif isinstance(item, Select):
                self._inbox.postpone_first(item)
                raise TakenBack("a changeover came before its probation was over")
            elif isinstance(item, Install):
                self._inbox.postpone(item)
            elif isinstance(item, Decide):
                if not item.promote:
                    item.answer(True, "the new bundle is taken back")
                    raise TakenBack("taken back by hand during its probation")
                item.answer(True, "the new bundle is committed")
                return intent

    def _start_probation(self, intent: Intent) -> None:
        self._order(
            StartProbation(
                slot=self._slot,
                sha256=intent.new_sha256,
                parts=self._rules.probation_parts,
                max_min=self._rules.probation_max_min,
                max_latency_ratio=self._rules.max_latency_ratio,
                baseline=intent.baseline,
            )
        )

    def _commit(self, intent: Intent) -> None:
        """Make it stay: from the first step on, a cut is gone on with and not gone back from."""
        intent = self._note(intent.model_copy(update={"phase": "committing"}))
        found = candidate_of(self._store, intent.new_sha256)
        if found.product:
            self._store.raise_high_water(found.product, found.serial)  # first: it may refuse
            self._store.set_installed(self._slot, found.product, intent.new_sha256)
            self._store.set_previous(self._slot, self._store.before(self._slot).get(found.product))
        self._store.set_active(self._slot, intent.new_sha256)
        self._store.clear_intent(self._slot)
        self._order(Commit(slot=self._slot, sha256=intent.new_sha256))
        self._reporter.report("committed")

    def _stumble(self, intent: Intent, error: OSError) -> str:
        """Go back from a disk that is full, or, once a commit has begun, wait for room."""
        reason = f"the store cannot be written: {error.strerror}"
        stored = self._store.intent(self._slot) or intent
        if stored.phase != "committing":
            return self._take_back(stored, reason)
        self._reporter.report_once(
            "probation", f"passed, but {reason}; committed once there is room"
        )
        return ""

    # -- back -----------------------------------------------------------------------------------

    def _take_back(self, intent: Intent, reason: str) -> str:
        """Return to the old bundle, on disk and on the line; return the reason."""
        try:
            intent = self._note(
                intent.model_copy(update={"phase": "rolling_back", "reason": reason})
            )
        except OSError as error:
            _log.error("slot %s: %s", self._slot, error)  # the record still names both bundles
        if self._inbox.is_inspection_there and self._inbox.active != intent.old_sha256:
            self._go_back_on_the_line(intent, reason)
        is_told = self._left_over == intent.new_sha256
        self._left_over = None
        try:
            self._store.set_active(self._slot, intent.old_sha256)
            self._store.clear_intent(self._slot)
        except OSError as error:
            reason += f"; the store's record stays until it can be written ({error.strerror})"
            self._left_over = intent.new_sha256
        if not is_told:
            self._reporter.report("rolled_back", reason)
        return reason

    def _go_back_on_the_line(self, intent: Intent, reason: str) -> None:
        """Have the old model judge again; without the inspection process its next start does."""
        self._order(self._rollback_order(intent, reason))
        try:
            news = self._inbox.answer(intent.new_sha256, RolledBack, timeout_s=SWITCH_S)
        except InspectionGone:
            return
        except Stopping:
            raise
        except EdgeError as error:
            _log.info("slot %s: %s; it is loaded again", self._slot, error)
            if intent.old_sha256 is not None:
                self.restore(intent.old_sha256)
            return
        assert isinstance(news, RolledBack)
        self._inbox.active = news.active

    def _rollback_order(self, intent: Intent, reason: str) -> Rollback:
        return Rollback(
            slot=self._slot,
            sha256=intent.new_sha256,
            back_to=intent.old_sha256,
            reason=reason[:MAX_REASON_CHARS],
        )

    def _note(self, intent: Intent) -> Intent:
        self._store.set_intent(intent)
        return intent
