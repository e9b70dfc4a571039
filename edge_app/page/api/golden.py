"""Golden parts for the API: announced by a person, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from edge_app.history.times import time_text
from edge_app.ipc.order_schema import OrderAnswer, ShowGolden
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.giving import OrderGiver
from edge_app.page.api.models import Done, Moment, ShortName, moment_ns
from edge_app.page.api.operation import Answered, Call, Model, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

DAY_NS = 86_400 * 10**9
MOST_DAYS = 366


class GoldenQuery(Model):
    """Which checks."""

    begin: Moment | None = Field(None, alias="from", description="default: 31 days before `to`")
    end: Moment | None = Field(None, alias="to", description="default: now")
    camera: ShortName | None = None


class GoldenCheckRow(Answered):
    """What became of a golden part."""

    name: str
    camera: str
    at: str
    due_at: str | None = Field(description="null: it was not due when it was shown")
    outcome: Literal["passed", "missed", "wrong_class", "not_shown"]
    part_id: str = Field(description='the part that was taken for it; "": none')
    state: Literal["OK", "NG", "NOT_INSPECTED"] | None
    score: float | None
    classes: list[str] = Field(description="of its defects")
    expected_class: str = Field(description='"": any NG is right')


class GoldenChecks(Answered):
    """Checks, the latest first; 500 at most."""

    checks: list[GoldenCheckRow]


class GoldenAnswers:
    """Answers what became of golden parts, and announces them to inspection.

    Args:
        asked: what people may read of inspection's history.
        giver: gives orders to inspection.
        now_ns: wall clock.
    """

    def __init__(
        self, asked: AskedHistory, giver: OrderGiver, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._asked, self._giver, self._now_ns = asked, giver, now_ns

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/golden-checks", Need.VIEWER,
                      "What became of golden parts, the latest first.", self.checks, "history",
                      GoldenChecks, GoldenQuery),
            Operation("POST", "/golden-parts/{name}/shown", Need.OPERATOR,
                      "Take the next part of its camera for a golden part.", self.show, "orders",
                      Done),
        ]  # fmt: skip

    def checks(self, call: Call) -> dict[str, Any]:
        """Return the checks of a time."""
        query: GoldenQuery = call.query
        end = self._now_ns() + 1 if query.end is None else moment_ns(query.end)
        begin = end - 31 * DAY_NS if query.begin is None else moment_ns(query.begin)
        if not 0 <= end - begin <= MOST_DAYS * DAY_NS:
            raise ProblemError(
                400,
                f"From {time_text(begin)} to {time_text(end)}: expected 0 to {MOST_DAYS} days.",
            )
        return {"checks": self._asked.reader(call.caller).golden_checks(begin, end, query.camera)}

    def show(self, call: Call) -> OrderAnswer:
        """Announce a golden part to inspection."""
        name = str(call.path["name"])
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise ProblemError(404, "There is no such golden part.")
        return self._giver.give(ShowGolden(**self._giver.signed(call), name=name))
