"""The comparison on live parts: inspection counts, rule or person decides."""

from __future__ import annotations

from collections.abc import Callable

from edge_app.agent.install.candidate import Candidate
from edge_app.agent.install.inbox import (
    Decide,
    Gone,
    Inbox,
    InspectionGone,
    Install,
    Interrupted,
    Select,
)
from edge_app.agent.install.state_reports import StateReporter
from edge_app.config.model import SlotConfig
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import Failed, Line, Shadow, StartShadow

POLL_S = 0.5


class Comparing:
    """Has a prepared candidate judge beside the model in use. Used by the slot's thread.

    Args:
        order: says a line to the inspection process.
        others: see `SlotFlow`.
    """

    def __init__(
        self,
        slot: str,
        rules: SlotConfig,
        order: Callable[[Line], bool],
        reporter: StateReporter,
        inbox: Inbox,
    ) -> None:
        self._slot, self._rules = slot, rules
        self._order, self._reporter, self._inbox = order, reporter, inbox

    def compare(self, candidate: Candidate) -> None:
        """Let it judge beside the model in use until rule or person has decided.

        Raises:
            EdgeError: it is turned down; the message says why.
        """
        self._reporter.report("shadow", "comparing on live parts", percent=0.0)
        self._order(
            StartShadow(
                slot=self._slot,
                sha256=candidate.sha256,
                parts=self._rules.shadow_parts,
                max_min=self._rules.shadow_max_min,
            )
        )
        final: Shadow | None = None
        while True:
            item = self._inbox.waiting(Select, Install) or self._inbox.next_busy(POLL_S)
            if isinstance(item, Decide):
                self._decide(item)
                if item.promote:
                    return
            elif isinstance(item, Select | Install):
                what = "a changeover" if isinstance(item, Select) else "a newer installation"
                raise Interrupted(item, f"given up for {what} that came during the comparison")
            elif isinstance(item, Gone):
                raise InspectionGone(item.is_planned)
            elif isinstance(item, Failed) and item.sha256 == candidate.sha256:
                raise EdgeError(item.reason)
            elif isinstance(item, Shadow) and item.sha256 == candidate.sha256 and final is None:
                self._reporter.disagreement = item.disagreement
                final = item if item.is_final else None
                if self._may_pass(item):
                    return

    def _decide(self, item: Decide) -> None:
        if not item.promote:
            item.answer(True, "the candidate is turned down")
            raise EdgeError("turned down by hand after the comparison")
        item.answer(True, "the candidate is promoted")

    def _may_pass(self, item: Shadow) -> bool:
        """Tell whether the rule lets it in; report how far the comparison is.

        Raises:
            EdgeError: the rule turns it down.
        """
        counts = item.disagreement
        differing = counts.only_candidate_ng + counts.only_current_ng + item.errors
        words = (
            f"{differing} of {counts.parts} parts judged differently ({counts.only_candidate_ng} "
            f"only the new one calls bad, {counts.only_current_ng} only the one in use, "
            f"{item.errors} the new one could not judge)"
        )
        percent = min(100.0, 100.0 * counts.parts / self._rules.shadow_parts)
        if not item.is_final:
            self._reporter.report("shadow", words, percent=percent)
            return False
        if self._rules.promote == "hand":
            words += "; waits for `edge-app slots promote`"
            self._reporter.report("shadow", words, percent=100.0)
            return False
        if differing > self._rules.max_disagreement * counts.parts:
            raise EdgeError(f"{words}; at most {self._rules.max_disagreement:.1%} may differ")
        self._reporter.report("shadow", words, percent=100.0)
        return True
