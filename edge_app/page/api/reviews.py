"""What people say of parts, bad parts that wait, and what is kept of a part beside its frame."""

from __future__ import annotations

from typing import Any

from starlette.responses import FileResponse, Response

from edge_app.alerts.sidecar import read_sidecar
from edge_app.ipc.order_schema import MAX_ID, AcceptMark, MarkPart, OrderAnswer, SettlePart
from edge_app.page.api import models as m
from edge_app.page.api import part_models as pm
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.giving import OrderGiver
from edge_app.page.api.operation import Call, Operation
from edge_app.page.part_evidence import PartEvidence
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

NO_CROP = "No crop of this part is kept on the device, or no longer."
NO_SIDECAR = "Nothing is kept beside this part's row, or no longer."
NO_MAP = "No map of this part is kept on the device."


class ReviewAnswers:
    """Answers what people said, and gives inspection their orders.

    Args:
        asked: what people may read of inspection's history.
        giver: gives orders to inspection.
        evidence: what is kept of parts.
        bad_parts: latch or list; see `[page] bad_parts`.
    """

    def __init__(
        self, asked: AskedHistory, giver: OrderGiver, evidence: PartEvidence, bad_parts: str
    ) -> None:
        self._asked, self._giver, self._evidence = asked, giver, evidence
        self._bad_parts = bad_parts

    def operations(self) -> list[Operation]:
        """Return the operations."""
        viewer, operator = Need.VIEWER, Need.OPERATOR
        return [
            Operation("POST", "/parts/{id:int}/decisions", operator,
                      "Say whether a part's verdict is right.", self.mark, "orders", m.Done,
                      body=pm.NewDecision),
            Operation("GET", "/decisions", viewer, "What people said of parts, the latest first.",
                      self.decisions, "history", pm.DecisionsPage, pm.DecisionsQuery),
            Operation("POST", "/decisions/{id:int}/acceptance", Need.ENGINEER,
                      "Accept a person's mark, so that it may be learnt from, or decline it.",
                      self.accept, "orders", m.Done, body=pm.NewAcceptance),
            Operation("GET", "/take-out", viewer, "Bad parts that wait to be taken out.",
                      self.take_out, "history", pm.TakeOut, pm.TakeOutQuery),
            Operation("POST", "/take-out/{id:int}", operator, "Say what became of a bad part.",
                      self.settle, "orders", m.Done, body=pm.Settlement),
            Operation("GET", "/parts/{id:int}/crop.jpg", viewer,
                      "What the inspector saw of a part, upright.", self.crop, "history",
                      media_type="image/jpeg"),
            Operation("GET", "/parts/{id:int}/map.png", viewer,
                      "The part's map over its crop, where one is kept.", self.map, "history",
                      media_type="image/png"),
            Operation("GET", "/parts/{id:int}/sidecar", viewer,
                      "What is kept beside a part's picture: outlines, crop, why it is kept.",
                      self.sidecar, "history"),
        ]  # fmt: skip

    def mark(self, call: Call) -> OrderAnswer:
        """Give what a person says of a part to inspection."""
        body: pm.NewDecision = call.body
        return self._giver.give(
            MarkPart(
                **self._giver.signed(call),
                part=_number(call),
                part_id=body.part_id,
                mark=body.mark,
                defect_class=body.defect_class,
                region=body.region,
                note=body.note,
            )
        )

    def settle(self, call: Call) -> OrderAnswer:
        """Give what became of a bad part to inspection."""
        body: pm.Settlement = call.body
        return self._giver.give(
            SettlePart(
                **self._giver.signed(call),
                part=_number(call),
                part_id=body.part_id,
                outcome=body.outcome,
            )
        )

    def accept(self, call: Call) -> OrderAnswer:
        """Give what an engineer says of a mark to inspection."""
        body: pm.NewAcceptance = call.body
        return self._giver.give(
            AcceptMark(
                **self._giver.signed(call),
                part=body.part,
                part_id=body.part_id,
                decision=_number(call, "No such mark is recorded, or no longer."),
                accepted=body.accepted,
                note=body.note,
            )
        )

    def decisions(self, call: Call) -> dict[str, Any]:
        """Return a page of decisions."""
        query: pm.DecisionsQuery = call.query
        count = int(query.limit)
        before = None if query.cursor is None else int(query.cursor)
        found = self._asked.reader(call.caller).decisions(before, count, query.acceptance or "")
        last = str(found[-1]["id"]) if len(found) == count else None
        return {"decisions": found, "next": last}

    def take_out(self, call: Call) -> dict[str, Any]:
        """Return the bad parts that wait, the oldest first."""
        query: pm.TakeOutQuery = call.query
        waiting, parts = self._asked.reader(call.caller).waiting(query.camera, int(query.limit))
        shown = [self._asked.shown(part) for part in parts]
        return {"mode": self._bad_parts, "waiting": waiting, "parts": shown}

    def crop(self, call: Call) -> Response:
        """Return a part's crop."""
        path = self._asked.file(call, self._evidence.crop, NO_CROP)
        return FileResponse(path, media_type="image/jpeg")

    def map(self, call: Call) -> Response:
        """Return a part's map."""
        path = self._asked.file(call, self._evidence.map, NO_MAP)
        return FileResponse(path, media_type="image/png")

    def sidecar(self, call: Call) -> dict[str, Any]:
        """Return a part's sidecar."""
        found = read_sidecar(self._asked.file(call, self._evidence.sidecar, NO_SIDECAR))
        if found is None:
            raise ProblemError(404, "What is kept beside this part's picture is damaged.")
        return found


def _number(call: Call, missing: str = "No such part is recorded, or no longer.") -> int:
    number = int(call.path["id"])
    if not 1 <= number <= MAX_ID:
        raise ProblemError(404, missing)
    return number
