"""A guaranteed limit from parts that the line has judged: the share of good parts that it alarms is
below a rate with 95 % confidence.

The bound holds for parts that were taken for no reason of their score: all of some days, or those
that were drawn at random. The limit lies just above the k-th largest of n scores, k being the most
that the exact bound allows: the rule of `edge-calibrate thresholds`.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_app.binomial import CONFIDENCE, rate_bound
from edge_app.errors import HistoryError
from edge_app.history.part_filter import storable_ns
from edge_app.history.review_rows import TAKEN_OUT
from edge_app.history.schema import NO_GOLDEN, open_for_reading
from edge_app.records import F64Array
from edge_app.replay.kept_parts import mark_of

Source = Literal["days", "random"]
"""days: every part of the time. random: those that were drawn at random and looked at."""

Problem = Literal["", "too_few", "not_reviewed", "not_lower"]

MOST_PARTS = 100_000
"""The newest of the time; so many carry a rate of 0.003 %, and are read in a second."""

STEPS = 5_000
LIMIT_S = 5.0

_ROWS = (
    "SELECT id, score, state, (SELECT outcome FROM take_out WHERE part = parts.id) FROM parts"
    f" WHERE captured_ns >= ? AND captured_ns < ? AND is_final AND {NO_GOLDEN}"
    " AND +model IN (SELECT id FROM models WHERE bundle_sha256 = ? AND precision = ?)"
    " AND state <> 'NOT_INSPECTED' AND score IS NOT NULL AND abs(score) < 9e307"
)
_RANDOM = " AND instr(',' || kept_for || ',', ',random,')"
_NEWEST = f" ORDER BY captured_ns DESC LIMIT {MOST_PARTS}"
_SAID = (
    "SELECT part, mark, acceptance FROM decisions WHERE is_current AND captured_ns >= ?"
    " AND captured_ns < ?"
)


@dataclass(frozen=True, slots=True)
class GoodParts:
    """Scores of parts that count as good.

    Attributes:
        scores: (n,) of those.
        bad: (m,) of those that people called bad, or took out: left out.
        unreviewed: of `scores`, how many were NG and nobody has said what they are; of random ones,
            how many nobody has looked at.
    """

    scores: F64Array
    bad: F64Array
    unreviewed: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A limit and what it rests on.

    Attributes:
        limit: `score >= limit` is NG; None: there is none to propose, `problem` says why.
        rate: the share of good parts that may be alarmed.
        parts: n. rank: k.
        rate_bound: of the limit, with CONFIDENCE; at most `rate`.
        needed: parts that would carry the rate.
        excluded_bad, unreviewed: see `GoodParts`.
        alarmed_before, alarmed_after: of the n, at the present limit and at this one.
        bad_before, bad_after: the same of those that people called bad.
    """

    source: Source
    limit: float | None
    rate: float
    parts: int
    rank: int
    rate_bound: float | None
    needed: int
    problem: Problem
    excluded_bad: int
    unreviewed: int
    alarmed_before: int
    alarmed_after: int
    bad_before: int
    bad_after: int
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True)
class LimitQuestion:
    """Which parts carry the limit.

    Attributes:
        from_ns, to_ns: captured in [from_ns, to_ns), ns since the epoch.
        present: the limit in force.
        rate: 0 to 1, both excluded.
    """

    source: Source
    from_ns: int
    to_ns: int
    sha256: str
    precision: str
    present: float
    rate: float


def propose(history: Path, asked: LimitQuestion) -> Proposal:
    """Return the lowest limit that the parts carry.

    Raises:
        HistoryError: there is no history, it cannot be read, or takes too long.
    """
    return proposal_of(good_parts(history, asked), asked)


def proposal_of(good: GoodParts, asked: LimitQuestion) -> Proposal:
    """Return the lowest limit that scores carry. No IO.

    A limit that is not below the present one is not proposed: NG parts that nobody has looked at
    count as good, so that defects among them could raise it.
    """
    count = len(good.scores)
    rank = guaranteed_rank(count, asked.rate)
    limit: float | None = None
    problem: Problem = ""
    if asked.source == "random" and good.unreviewed:
        problem = "not_reviewed"
    elif rank == 0:
        problem = "too_few"
    else:
        kth = np.partition(good.scores, count - rank)[count - rank]
        limit = float(np.nextafter(kth, np.inf))
        if limit >= asked.present:
            limit, problem = None, "not_lower"
    after = asked.present if limit is None else limit
    return Proposal(
        source=asked.source,
        limit=limit,
        rate=asked.rate,
        parts=count,
        rank=rank,
        rate_bound=rate_bound(rank - 1, count) if rank else None,
        needed=math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-asked.rate)),
        problem=problem,
        excluded_bad=len(good.bad),
        unreviewed=good.unreviewed,
        alarmed_before=int(np.count_nonzero(good.scores >= asked.present)),
        alarmed_after=int(np.count_nonzero(good.scores >= after)),
        bad_before=int(np.count_nonzero(good.bad >= asked.present)),
        bad_after=int(np.count_nonzero(good.bad >= after)),
    )


def guaranteed_rank(count: int, rate: float) -> int:
    """Return the largest k of which the k-th largest of n scores guarantees a rate; 0: none does.

    k - 1 of the n lie above such a limit.
    """
    low, high = 0, min(count, int(rate * count) + 1)  # the bound is never below k - 1 of n
    while low < high:  # and grows with k
        middle = (low + high + 1) // 2
        if rate_bound(middle - 1, count) <= rate:
            low = middle
        else:
            high = middle - 1
    return low


def good_parts(history: Path, asked: LimitQuestion) -> GoodParts:
    """Return the scores that count, in one read transaction.

    Raises:
        HistoryError: see `propose`.
    """
    span = [storable_ns(asked.from_ns), storable_ns(asked.to_ns)]
    query = _ROWS + (_RANDOM if asked.source == "random" else "") + _NEWEST
    with closing(open_for_reading(history)) as connection:
        said = _said(connection, span)
        rows = _limited(connection, query, [*span, asked.sha256, asked.precision])
    good, bad, unreviewed = [], [], 0
    for number, score, state, outcome in rows:
        mark = mark_of(str(state), said.get(int(number), ()))
        if mark == "defect" or (mark == "" and outcome == TAKEN_OUT):
            bad.append(float(score))
            continue
        good.append(float(score))
        is_open = asked.source == "random" or state == "NG"
        unreviewed += is_open and mark != "good"
    return GoodParts(np.array(good, np.float64), np.array(bad, np.float64), unreviewed)


def _said(connection: sqlite3.Connection, span: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for part, mark, acceptance in connection.execute(_SAID, span):
        found[int(part)].append({"mark": mark, "acceptance": acceptance})
    return found


def _limited(
    connection: sqlite3.Connection, query: str, values: Iterable[object]
) -> list[tuple[Any, ...]]:
    until_s = time.monotonic() + LIMIT_S
    connection.set_progress_handler(lambda: time.monotonic() > until_s, STEPS)
    try:
        return connection.execute(query, tuple(values)).fetchall()
    except sqlite3.OperationalError as error:
        is_slow = time.monotonic() > until_s
        why = f"did not answer within {LIMIT_S:g} s: ask for fewer days"
        raise HistoryError(
            f"The history {why if is_slow else f'cannot be read: {error}'}."
        ) from error
