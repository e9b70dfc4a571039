"""Limits, pauses and the audit for the API: what inspection is asked to do, and who asks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_app.accounts.directory import Actor
from edge_app.audit.reader import latest
from edge_app.errors import AuditError
from edge_app.ipc.orders import (
    ANSWER_S,
    AnyOrder,
    Author,
    NoteHead,
    OrderAnswer,
    OrderClient,
    Pause,
    Resume,
    SetLimit,
    ShowLimits,
    UndoLimit,
)
from edge_app.mqtt.timestamps import uuid7
from edge_app.page.api import models as m
from edge_app.page.api.operation import Call, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need
from edge_app.page.source import LineSource

PAGE_ITSELF = Author(kind="machine", name="page")
"""Who asks for limits and head: nothing is changed by it."""


class OrderAnswers:
    """Gives orders in the name of whoever calls.

    Args:
        orders: to inspection; None: it takes none.
        source: what inspection last said.
        audit: inspection's audit; None: it keeps none.
        now_ns: wall clock.
    """

    def __init__(
        self,
        orders: OrderClient | None,
        source: LineSource,
        audit: Path | None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._orders, self._source, self._now_ns = orders, source, now_ns
        self._audit = audit

    def operations(self) -> list[Operation]:
        """Return the operations."""
        viewer, operator, engineer = Need.VIEWER, Need.OPERATOR, Need.ENGINEER
        return [
            Operation("GET", "/state", viewer, "What the page shows of the line.", self.state,
                      "state", m.State),
            Operation("GET", "/health", viewer,
                      "How the device is, subject by subject, in words.", self.health,
                      "state", m.DeviceHealth),
            Operation("GET", "/limits", viewer, "What each slot judges with now.", self.limits,
                      "orders", m.AllLimits),
            Operation("POST", "/limits/{slot}", engineer,
                      "Judge a slot's parts with other thresholds, from the next part on.",
                      self.set_limit, "orders", m.Done, body=m.LimitChange),
            Operation("POST", "/limits/{slot}/undo", engineer,
                      "Return to the thresholds before the last change.", self.undo_limit,
                      "orders", m.Done, body=m.Reason),
            Operation("POST", "/pause", operator,
                      "Inspect nothing for so many minutes: parts are NOT_INSPECTED.", self.pause,
                      "orders", m.Done, body=m.PauseStart),
            Operation("POST", "/resume", operator, "Inspect again.", self.resume, "orders", m.Done,
                      body=m.PauseEnd),
            Operation("GET", "/audit", viewer, "The audit's records, the newest first.", self.audit,
                      "history", m.AuditPage, m.AuditQuery),
            Operation("GET", "/audit/head", viewer, "The end of the audit's chain.", self.head,
                      "orders", m.AuditHead),
        ]  # fmt: skip

    def state(self, _call: Call) -> dict[str, Any]:
        """Return what inspection last said."""
        return self._source.state()

    def health(self, _call: Call) -> dict[str, Any]:
        """Return every subject of the device's health."""
        return {"subjects": self._source.health()}

    def limits(self, _call: Call) -> dict[str, Any]:
        """Return every slot's thresholds, as inspection says."""
        order = ShowLimits(author=PAGE_ITSELF, order_id=self._order_id())
        found = [state.model_dump() for state in self._give(order).limits]
        return {"limits": [{"bundle_sha256": one.pop("sha256"), **one} for one in found]}

    def set_limit(self, call: Call) -> OrderAnswer:
        """Change a slot's thresholds."""
        body: m.LimitChange = call.body
        given = (body.score_threshold, body.suspect_threshold, body.map_threshold)
        if all(value is None for value in given):
            raise ProblemError(400, "In the body: expected at least one threshold, got none.")
        return self._give(
            SetLimit(
                **self._signed(call),
                slot=_slot(call),
                score_threshold=body.score_threshold,
                suspect_threshold=body.suspect_threshold,
                map_threshold=body.map_threshold,
                for_sha256=body.for_sha256,
                why=body.why,
            )
        )

    def undo_limit(self, call: Call) -> OrderAnswer:
        """Take the last change of a slot's thresholds back."""
        return self._give(UndoLimit(**self._signed(call), slot=_slot(call), why=call.body.why))

    def pause(self, call: Call) -> OrderAnswer:
        """Stop inspecting for a while."""
        body: m.PauseStart = call.body
        return self._give(
            Pause(**self._signed(call), camera=body.camera, minutes=body.minutes, why=body.why)
        )

    def resume(self, call: Call) -> OrderAnswer:
        """Inspect again."""
        body: m.PauseEnd = call.body
        return self._give(Resume(**self._signed(call), camera=body.camera, why=body.why))

    def head(self, _call: Call) -> dict[str, Any]:
        """Return the audit's head."""
        order = NoteHead(author=PAGE_ITSELF, order_id=self._order_id())
        return {"audit_head": self._give(order).audit_head}

    def audit(self, call: Call) -> dict[str, Any]:
        """Return a page of records."""
        query: m.AuditQuery = call.query
        if self._audit is None or not self._audit.is_file():
            raise ProblemError(503, "There is no audit yet: inspection has not begun one.")
        count = int(query.limit)
        before = None if query.cursor is None else int(query.cursor)
        try:
            found = latest(self._audit, count, before)
        except AuditError as error:
            raise ProblemError(503, str(error)) from error
        last = str(found[-1]["seq"]) if len(found) == count else None
        return {"records": found, "next": last}

    def _give(self, order: AnyOrder) -> OrderAnswer:
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

    def _signed(self, call: Call) -> dict[str, Any]:
        return {"author": author_of(call.caller.actor), "order_id": self._order_id()}

    def _order_id(self) -> str:
        return uuid7(self._now_ns(), secrets.randbits)


def author_of(actor: Actor) -> Author:
    """Return who acts as an order names them."""
    return Author(kind=actor.kind, name=actor.name, role=actor.role and actor.role.value)


def _slot(call: Call) -> str:
    slot = str(call.path["slot"])
    if len(slot) > 64 or not slot.isprintable():
        raise ProblemError(404, "There is no such slot.")
    return slot
