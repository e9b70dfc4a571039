"""Gives inspection orders in the name of whoever calls."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from edge_app.accounts.directory import Actor
from edge_app.ipc.order_client import ANSWER_S, OrderClient
from edge_app.ipc.order_schema import AnyOrder, Author, OrderAnswer
from edge_app.mqtt.timestamps import uuid7
from edge_app.page.api.operation import Call
from edge_app.page.problem import ProblemError


class OrderGiver:
    """Gives orders.

    Args:
        orders: to inspection; None: it takes none.
        now_ns: wall clock.
    """

    def __init__(
        self, orders: OrderClient | None, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._orders, self._now_ns = orders, now_ns

    def give(self, order: AnyOrder) -> OrderAnswer:
        """Return inspection's answer.

        Raises:
            ConfigError, OrderError: it is not there, or did not answer.
            ProblemError: it refused; its own words.
        """
        if self._orders is None:
            raise ProblemError(503, "Inspection takes no orders from this page.")
        answer = self._orders.send(order, ANSWER_S)
        if not answer.is_done:
            raise ProblemError(409, answer.text)
        return answer

    def signed(self, call: Call) -> dict[str, Any]:
        """Return what an order says of its author, with an id of its own."""
        return {"author": author_of(call.caller.actor), "order_id": self.order_id()}

    def order_id(self) -> str:
        """Return a new order's id."""
        return uuid7(self._now_ns(), secrets.randbits)


def author_of(actor: Actor) -> Author:
    """Return who acts as an order names them."""
    return Author(kind=actor.kind, name=actor.name, role=actor.role and actor.role.value)
