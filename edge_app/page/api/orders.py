"""Limits, pauses and the audit for the API: what inspection is asked to do, and who asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_app.audit.reader import latest
from edge_app.errors import AuditError
from edge_app.ipc.order_schema import (
    Author,
    GoodPartsBasis,
    NoteHead,
    OrderAnswer,
    Pause,
    Resume,
    SetLimit,
    ShowLimits,
    UndoLimit,
)
from edge_app.page.api import models as m
from edge_app.page.api.giving import OrderGiver
from edge_app.page.api.operation import Call, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need, sees_names
from edge_app.page.source import LineSource

REVIEWS = ("decision", "settled", "accepted", "declined")
"""Events whose authors are named to operators and engineers only."""

PAGE_ITSELF = Author(kind="machine", name="page")
"""Who asks for limits and head: nothing is changed by it."""


class OrderAnswers:
    """Gives orders in the name of whoever calls.

    Args:
        giver: gives orders to inspection.
        source: what inspection last said.
        audit: inspection's audit; None: it keeps none.
    """

    def __init__(self, giver: OrderGiver, source: LineSource, audit: Path | None) -> None:
        self._giver, self._source, self._audit = giver, source, audit

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
        order = ShowLimits(author=PAGE_ITSELF, order_id=self._giver.order_id())
        found = [state.model_dump() for state in self._giver.give(order).limits]
        return {"limits": [{"bundle_sha256": one.pop("sha256"), **one} for one in found]}

    def set_limit(self, call: Call) -> OrderAnswer:
        """Change a slot's thresholds."""
        body: m.LimitChange = call.body
        given = (body.score_threshold, body.suspect_threshold, body.map_threshold)
        if all(value is None for value in given):
            raise ProblemError(400, "In the body: expected at least one threshold, got none.")
        return self._giver.give(
            SetLimit(
                **self._giver.signed(call),
                slot=_slot(call),
                score_threshold=body.score_threshold,
                suspect_threshold=body.suspect_threshold,
                map_threshold=body.map_threshold,
                for_sha256=body.for_sha256,
                why=body.why,
                guaranteed=None
                if body.guaranteed is None
                else GoodPartsBasis.model_validate(body.guaranteed.model_dump()),
            )
        )

    def undo_limit(self, call: Call) -> OrderAnswer:
        """Take the last change of a slot's thresholds back."""
        return self._giver.give(
            UndoLimit(**self._giver.signed(call), slot=_slot(call), why=call.body.why)
        )

    def pause(self, call: Call) -> OrderAnswer:
        """Stop inspecting for a while."""
        body: m.PauseStart = call.body
        return self._giver.give(
            Pause(
                **self._giver.signed(call), camera=body.camera, minutes=body.minutes, why=body.why
            )
        )

    def resume(self, call: Call) -> OrderAnswer:
        """Inspect again."""
        body: m.PauseEnd = call.body
        return self._giver.give(
            Resume(**self._giver.signed(call), camera=body.camera, why=body.why)
        )

    def head(self, _call: Call) -> dict[str, Any]:
        """Return the audit's head."""
        order = NoteHead(author=PAGE_ITSELF, order_id=self._giver.order_id())
        return {"audit_head": self._giver.give(order).audit_head}

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
        if not sees_names(call.caller):
            found = [_masked(record) for record in found]
        return {"records": found, "next": last}


def _masked(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record in which a pseudonym stands for who marked a part."""
    if record["event"] not in REVIEWS:
        return record
    new = record.get("new")
    name = str(new.get("pseudonym", "")) if isinstance(new, dict) else ""
    return {**record, "author": {**record["author"], "name": name or "a reviewer"}}


def _slot(call: Call) -> str:
    slot = str(call.path["slot"])
    if len(slot) > 64 or not slot.isprintable():
        raise ProblemError(404, "There is no such slot.")
    return slot
