"""The comparison on live parts: inspection counts, rule or person decides."""

from __future__ import annotations

from edge_app.agent.install.inbox import (
    Decide,
    Gone,
    InspectionGone,
    Install,
    Interrupted,
    OrderFailed,
    Select,
)
from edge_app.agent.install.order_check import OrderCheck
from edge_app.agent.install.slot_order import SlotContext, SlotOrder
from edge_app.agent.install.transitions import Event, Queue
from edge_app.ipc.protocol import Failed, Shadow
from edge_app.mqtt.deploy_messages import Disagreement

POLL_S = 0.5


class ShadowPhase:
    """Has a prepared candidate judge beside the model in use. Used by the slot's thread."""

    def __init__(self, context: SlotContext, check: OrderCheck) -> None:
        self._rules, self._reporter, self._inbox = context.rules, context.reporter, context.inbox
        self._check = check

    def compare(self, order: SlotOrder) -> Event:
        """Let it judge beside the model in use until rule or person has decided for it.

        Returns:
            The event by which it is switched to: PASSED or PROMOTE.

        Raises:
            OrderFailed: it is turned down; the message says why.
        """
        order.advance(Event.COMPARE, "comparing on live parts", percent=0.0)
        same: list[Install] = []
        try:
            return self._until_decided(order, same)
        finally:
            for item in same:
                self._inbox.enqueue(item, Queue.LATER)

    def _until_decided(self, order: SlotOrder, same: list[Install]) -> Event:
        """As `compare`; installations of the very bundle that is compared are put into `same`."""
        final: Shadow | None = None
        while True:
            item = self._inbox.waiting(Select, Install) or self._inbox.next_busy(POLL_S)
            if isinstance(item, Decide):
                return self._decide(item, order)
            if isinstance(item, Select) and self._check.may_change_over(item, order):
                words = "given up for a changeover that came during the comparison"
                raise Interrupted(item, words)
            if isinstance(item, Install):
                self._take_install(item, order, same)
            if isinstance(item, Gone):
                raise InspectionGone(item.is_planned)
            if isinstance(item, Failed) and item.sha256 == order.sha256:
                raise OrderFailed(Event.FAILED, item.reason)
            if isinstance(item, Shadow) and item.sha256 == order.sha256 and final is None:
                self._reporter.disagreement = item.disagreement
                final = item if item.is_final else None
                if self._may_pass(order, item):
                    return Event.PASSED

    def _take_install(self, item: Install, order: SlotOrder, same: list[Install]) -> None:
        """Raise `Interrupted` for an installation that is possible and of another bundle."""
        checked = self._check.may_install(item, order)
        if checked is None:
            return
        if self._check.is_same(checked, order):
            same.append(checked)
            return
        words = "given up for a newer installation that came during the comparison"
        raise Interrupted(checked, words)

    def _decide(self, item: Decide, order: SlotOrder) -> Event:
        if not item.promote:
            item.answer(True, "the candidate is turned down")
            why = "turned down by hand after the comparison"
            raise OrderFailed(Event.REJECT, why, item.by)
        item.answer(True, "the candidate is promoted")
        order.by = item.by
        return Event.PROMOTE

    def _advice(self, counts: Disagreement) -> str:
        """Return the rule that was not met, and what a person can do who wants the difference."""
        where = f" in {counts.report_url}" if counts.report_url else ""
        return (
            f"at most {self._rules.max_disagreement:.1%} may differ. Look at these parts{where}. "
            "If the new bundle shall judge them differently, as one taught by marks, set "
            'promote = "hand" in the slot\'s table and send it again: then a person decides'
        )

    def _may_pass(self, order: SlotOrder, item: Shadow) -> bool:
        """Tell whether the rule lets it in; report how far the comparison is.

        Raises:
            OrderFailed: the rule turns it down.
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
            order.advance(Event.COUNTED, words, percent)
            return False
        if self._rules.promote == "hand":
            words += "; waits for `edge-app slots promote`"
            order.advance(Event.COUNTED, words, percent=100.0)
            return False
        if differing > self._rules.max_disagreement * counts.parts:
            raise OrderFailed(Event.DISAGREES, f"{words}; {self._advice(counts)}")
        order.advance(Event.COUNTED, words, percent=100.0)
        return True
