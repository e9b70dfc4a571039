"""A bundle is made ready in the inspection process: engines, graphs, golden set."""

from __future__ import annotations

from edge_app.agent.install.inbox import Install, Interrupted, Select
from edge_app.agent.install.order_check import OrderCheck
from edge_app.agent.install.slot_order import SlotContext, SlotOrder
from edge_app.agent.install.transitions import Event, State
from edge_app.ipc.protocol import Building, Golden, Loaded


class PreparePhase:
    """Has a bundle prepared. Used by the slot's thread.

    Args:
        timeout_s: for inspection to load it, and again for its golden set; while engines are built
            the time counts from the last message about them.
    """

    def __init__(self, context: SlotContext, timeout_s: float, check: OrderCheck) -> None:
        self._inbox, self._timeout_s, self._check = context.inbox, timeout_s, check

    def prepare(self, order: SlotOrder, begun_by: Event) -> None:
        """Have the order's bundle prepared and wait until it is; the caller takes GOLDEN.

        Raises:
            OrderFailed: it could not be prepared, or did not come out as expected.
            Interrupted: a changeover was asked for; it does not wait for engines.
        """
        order.advance(begun_by)
        while not self._is_loaded(order):
            changeover = self._inbox.waiting(Select) if order.state is State.BUILDING else None
            assert not isinstance(changeover, Install)
            if changeover is not None and self._check.may_change_over(changeover, order):
                words = "given up for a changeover that came while its engines were built"
                raise Interrupted(changeover, words)
        self._inbox.answer(order.sha256, Golden, timeout_s=self._timeout_s, state=order.state)

    def _is_loaded(self, order: SlotOrder) -> bool:
        """Wait for the next message about its engines and graphs; tell whether all is loaded."""
        news = self._inbox.answer(
            order.sha256, Building, Loaded, timeout_s=self._timeout_s, state=order.state
        )
        if not isinstance(news, Building):
            order.advance(Event.LOADED, "on this device's engines")
            return True
        if order.accepts(Event.BUILDING):
            order.advance(Event.BUILDING, percent=news.percent)
        return False
