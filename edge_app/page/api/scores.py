"""Scores of past parts for the API: what a limit divides, and what lies nearest to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from edge_app.history.score_reader import VERDICTS, ScoreCounts, ScoreQuestion, ScoreReader
from edge_app.history.times import time_text
from edge_app.page.api.models import Moment, ShortName, Whole, moment_ns
from edge_app.page.api.operation import Answered, Call, Model, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

DAY_NS = 86_400 * 10**9
MOST_DAYS = 31
MOST_BINS = 200
MOST_SCORE = 1e9

Number = Annotated[float, Field(ge=-MOST_SCORE, le=MOST_SCORE)]
Bins = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]?|1[0-9]{2}|200)$")]


class ScoresQuery(Model):
    """Whose scores, and how they are counted."""

    begin: Moment | None = Field(None, alias="from", description="default: a day before `to`")
    end: Moment | None = Field(None, alias="to", description="default: now")
    camera: ShortName | None = None
    bundle: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the bundle that judged: each has its own scale"
    )
    precision: ShortName
    limit: Number = Field(description="bins lie on both sides of it")
    width: Annotated[float, Field(gt=0, le=MOST_SCORE)] = Field(description="of a bin, in score")
    below: Bins = Field("80", description="bins below the limit; the first holds all that is lower")
    above: Bins = Field("120", description="bins above it; the last holds all that is higher")
    cursor: Whole | None = Field(None, description="`next` of the answer before")


class ScoreBin(Answered):
    """Parts with a score in [limit + bin × width, limit + (bin + 1) × width)."""

    bin: int
    ok: int = Field(description="judged OK and not suspect, at the time")
    suspect: int
    ng: int


class NearPart(Answered):
    """A part near the limit."""

    id: int
    part_id: str
    camera: str
    score: float
    state: str
    is_suspect: bool
    has_picture: bool


class Unscored(Answered):
    """Parts without a score, which no limit changes."""

    ok: int
    suspect: int
    ng: int
    not_inspected: int


class Scores(Answered):
    """Parts counted by score. Add up the answers of a chain of cursors."""

    bins: list[ScoreBin]
    unscored: Unscored
    other_bundles: int = Field(description="parts of that time that another bundle judged")
    above: list[NearPart] = Field(
        description="at or above the limit, the nearest first; 48 at most"
    )
    below: list[NearPart] = Field(description="below it, the nearest first; 48 at most")
    next: str | None = Field(description="cursor of older parts; null: all were counted")


class ScoreAnswers:
    """Counts scores.

    Args:
        history: inspection's history; None: it keeps none.
        now_ns: wall clock.
    """

    def __init__(self, history: Path | None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._reader = None if history is None else ScoreReader(history)
        self._now_ns = now_ns

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/scores", Need.VIEWER,
                      "Parts counted by score around a limit, and those nearest to it.",
                      self.scores, "history", Scores, ScoresQuery),
        ]  # fmt: skip

    def scores(self, call: Call) -> dict[str, Any]:
        """Return what was counted in about half a second, and a cursor for the rest."""
        if self._reader is None:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        query: ScoresQuery = call.query
        before = None if query.cursor is None else int(query.cursor)
        return _answer(self._reader.counts(self._asked(query), before))

    def _asked(self, query: ScoresQuery) -> ScoreQuestion:
        end = self._now_ns() if query.end is None else moment_ns(query.end)
        begin = end - DAY_NS if query.begin is None else moment_ns(query.begin)
        if not 0 <= end - begin <= MOST_DAYS * DAY_NS:
            raise ProblemError(
                400,
                f"From {time_text(begin)} to {time_text(end)}: expected 0 to {MOST_DAYS} days.",
            )
        return ScoreQuestion(
            begin, end, query.bundle, query.precision, query.camera, query.limit, query.width,
            int(query.below), int(query.above),
        )  # fmt: skip


def _answer(found: ScoreCounts) -> dict[str, Any]:
    numbers = sorted({number for number, _ in found.bins})
    return {
        "bins": [
            {"bin": number, **{v: found.bins[number, v] for v in VERDICTS[:3]}}
            for number in numbers
        ],
        "unscored": {verdict: found.unscored[verdict] for verdict in VERDICTS},
        "other_bundles": found.others,
        "above": found.above,
        "below": found.below,
        "next": None if found.next is None else str(found.next),
    }
