"""A guaranteed limit for the API: proposed from parts that were judged, never set by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edge_app.history.times import time_text
from edge_app.page.api.models import Moment, moment_ns
from edge_app.page.api.operation import Answered, Call, Model, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need
from edge_app.replay.guaranteed_limit import LimitQuestion, propose

DAY_NS = 86_400 * 10**9
MOST_DAYS = 31


class GuaranteedQuery(Model):
    """Which parts carry it."""

    source: Literal["days", "random"] = Field(
        "days", description="all parts of the time, or those drawn at random that people looked at"
    )
    begin: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    rate: Literal["0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05"] = Field(
        "0.005", description="share of good parts that may be alarmed"
    )


class GuaranteedLimit(Answered):
    """The lowest limit below the present one that these parts carry."""

    limit: float | None = Field(description="null: none; see `problem`")
    present: float
    bundle_sha256: str
    source: Literal["days", "random"]
    from_ns: int
    to_ns: int
    rate: float
    confidence: float
    parts: int = Field(description="n: those that count as good; 100,000 at most, the newest")
    rank: int = Field(description="k: the limit lies just above the k-th largest score; 0: none")
    rate_bound: float | None
    needed: int = Field(description="parts that would carry the rate")
    problem: Literal["", "too_few", "not_reviewed", "not_lower"]
    excluded_bad: int = Field(description="left out: people called them bad, or took them out")
    unreviewed: int = Field(
        description="NG, counted as good: nobody has said what they are. Of random ones: not "
        "looked at, so that nothing is guaranteed"
    )
    alarmed_before: int = Field(description="of the n, at the present limit")
    alarmed_after: int
    bad_before: int = Field(description="of those left out, at the present limit")
    bad_after: int


class GuaranteedAnswers:
    """Proposes limits.

    Args:
        history: inspection's history; None: it keeps none.
        limits: what each slot judges with now, as `GET /limits` answers it.
    """

    def __init__(self, history: Path | None, limits: Callable[[Call], dict[str, Any]]) -> None:
        self._history, self._limits = history, limits

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/limits/{slot}/guaranteed", Need.VIEWER,
                      "The lowest limit that parts of past days guarantee; nothing is changed.",
                      self.proposal, "history", GuaranteedLimit, GuaranteedQuery),
        ]  # fmt: skip

    def proposal(self, call: Call) -> dict[str, Any]:
        """Return the proposal."""
        if self._history is None:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        query: GuaranteedQuery = call.query
        begin, end = moment_ns(query.begin), moment_ns(query.end)
        if not 0 < end - begin <= MOST_DAYS * DAY_NS or begin < 0:
            raise ProblemError(
                400,
                f"From {time_text(begin)} to {time_text(end)}: expected up to {MOST_DAYS} days.",
            )
        slot = str(call.path["slot"])
        found = [one for one in self._limits(call)["limits"] if one["slot"] == slot]
        if not found:
            raise ProblemError(404, "No such slot has a bundle.")
        present = found[0]["score_threshold"]
        asked = LimitQuestion(
            query.source, begin, end, found[0]["bundle_sha256"], found[0]["precision"], present,
            float(query.rate),
        )  # fmt: skip
        return {
            **asdict(propose(self._history, asked)),
            "present": present,
            "bundle_sha256": asked.sha256,
            "from_ns": begin,
            "to_ns": end,
        }
