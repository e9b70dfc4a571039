"""Scores of past parts around a limit: counted in bins, and which parts lie nearest to it.

A long time is read newest first, in slices that are a short transaction each: what was read is
answered, with a cursor to go on from.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_app.errors import HistoryError
from edge_app.history.part_filter import storable_ns
from edge_app.history.reader import LOOK_EVERY
from edge_app.history.schema import NO_GOLDEN, open_for_reading

SLICE_ROWS = 100_000
"""A twelfth of a second on a desktop's CPU."""
SLICE_LIMIT_S = 1.0
ENOUGH_S = 0.6
"""After this no further slice is begun."""
NEAREST = 48
"""Parts named on each side of the limit."""
EDGE_ROWS = 1000
"""Parts at either end of the time among which the first and last row are looked for: they are
recorded nearly in the order of their times."""

Verdict = Literal["ok", "suspect", "ng", "not_inspected"]
VERDICTS: tuple[Verdict, ...] = ("ok", "suspect", "ng", "not_inspected")

_BIN = (
    "CASE WHEN score IS NULL THEN :none WHEN score >= :limit THEN"
    " min(:last, CAST(min(:span, (score - :limit) / :width) AS INT)) ELSE max(:first, min(-1,"
    " CAST(:span - min(:span, (:limit - score) / :width) AS INT) - :span)) END"
)
_VERDICT = "CASE state WHEN 'OK' THEN is_suspect WHEN 'NG' THEN 2 ELSE 3 END"
_THESE = (
    f" FROM parts WHERE id BETWEEN :low_id AND :high_id AND is_final AND {NO_GOLDEN}"
    " AND +captured_ns >= :from_ns AND +captured_ns < :to_ns"
)
_MODEL = (
    " AND +model IN"
    " (SELECT id FROM models WHERE bundle_sha256 = :sha256 AND precision = :precision)"
)
_CAMERA = " AND +camera = (SELECT id FROM cameras WHERE name = :camera)"
_NO_SCORE = -1_000_000
_SPAN = 100_000
"""Bins between the limit and the farthest score that is told from others."""


@dataclass(frozen=True, slots=True)
class ScoreQuestion:
    """Which parts, and how their scores are counted.

    Attributes:
        from_ns, to_ns: captured in [from_ns, to_ns), ns since the epoch.
        sha256, precision: judged by this bundle; another one's scores mean something else.
        camera: None: every camera.
        limit: bins lie on both sides of it: bin 0 is [limit, limit + width).
        width: of a bin, in score, above 0.
        below, above: bins on either side; the outermost two hold all that lies beyond.
    """

    from_ns: int
    to_ns: int
    sha256: str
    precision: str
    camera: str | None
    limit: float
    width: float
    below: int
    above: int

    def values(self) -> dict[str, Any]:
        """Return the values of the queries' names."""
        return {
            "from_ns": storable_ns(self.from_ns), "to_ns": storable_ns(self.to_ns),
            "sha256": self.sha256, "precision": self.precision, "camera": self.camera,
            "limit": self.limit, "width": self.width, "first": -self.below,
            "last": self.above - 1, "none": _NO_SCORE, "span": _SPAN,
        }  # fmt: skip


@dataclass(slots=True)
class ScoreCounts:
    """What was counted.

    Attributes:
        bins: (bin, verdict as it was given) → parts.
        unscored: parts without a score, by verdict: no limit changes them.
        others: parts of other bundles.
        above, below: {id, part_id, camera, score, state, is_suspect, has_picture} of the parts
            nearest to the limit, the nearest first.
        next: cursor of the rest; None: all was read.
    """

    bins: Counter[tuple[int, Verdict]] = field(default_factory=Counter)
    unscored: Counter[Verdict] = field(default_factory=Counter)
    others: int = 0
    above: list[dict[str, Any]] = field(default_factory=list)
    below: list[dict[str, Any]] = field(default_factory=list)
    next: int | None = None

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        """Count (bin, verdict's number, parts, …); another bundle's have no number."""
        for number, verdict, count, *_ in rows:
            if verdict is None:
                self.others += count
            elif number == _NO_SCORE:
                self.unscored[VERDICTS[verdict]] += count
            else:
                self.bins[number, VERDICTS[verdict]] += count

    def has_nearer(self, lowest: float, highest: float, is_above: bool) -> bool:
        """Tell whether one of the scores between these two may be nearer to the limit than the
        farthest of those that are known on that side."""
        known = self.above if is_above else self.below
        if len(known) < NEAREST:
            return True
        farthest = float(known[-1]["score"])
        return lowest < farthest if is_above else highest > farthest

    def near(self, rows: list[dict[str, Any]], limit: float) -> None:
        """Take in parts that may be nearer than those known."""
        above = [*self.above, *(row for row in rows if row["score"] >= limit)]
        below = [*self.below, *(row for row in rows if row["score"] < limit)]
        self.above = sorted(above, key=lambda row: row["score"])[:NEAREST]
        self.below = sorted(below, key=lambda row: -row["score"])[:NEAREST]


class ScoreReader:
    """Counts scores of one device's history.

    Args:
        path: the history's file.
        clock_s: seconds that only grow.
        slice_rows: rows of one transaction.
    """

    def __init__(
        self,
        path: Path,
        clock_s: Callable[[], float] = time.monotonic,
        slice_rows: int = SLICE_ROWS,
    ) -> None:
        self._path, self._clock_s, self._slice_rows = path, clock_s, slice_rows

    def counts(self, asked: ScoreQuestion, before: int | None = None) -> ScoreCounts:
        """Return what was counted within about `ENOUGH_S`, of parts older than the cursor `before`.

        Raises:
            HistoryError: there is no history, it cannot be read, or is too slow.
        """
        enough_s = self._clock_s() + ENOUGH_S
        found = ScoreCounts()
        first, last = self._in_turn(lambda connection: _ends(connection, asked))
        top = last if before is None else min(last, before - 1)
        while top >= first:
            low = max(first, top - self._slice_rows + 1)
            self._in_turn(lambda c, ids=(low, top): _slice(c, asked, ids, found))  # type: ignore[misc]
            top = low - 1
            if self._clock_s() >= enough_s:
                break
        found.next = top + 1 if top >= first else None
        return found

    def _in_turn(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Return what one short transaction gives."""
        until_s = self._clock_s() + SLICE_LIMIT_S
        with closing(open_for_reading(self._path)) as connection:
            connection.set_progress_handler(lambda: self._clock_s() > until_s, LOOK_EVERY)
            try:
                return work(connection)
            except sqlite3.OperationalError as error:
                is_slow = self._clock_s() > until_s
                text = f"did not answer within {SLICE_LIMIT_S:g} s: ask again, or for less"
                why = text if is_slow else f"cannot be read: {error}"
                raise HistoryError(f"The history {why}.") from error


def _ends(connection: sqlite3.Connection, asked: ScoreQuestion) -> tuple[int, int]:
    """Return the first and the last id of the time; (1, 0) where there is none."""
    query = (
        "SELECT {} FROM (SELECT id FROM parts WHERE captured_ns >= :from_ns AND"
        f" captured_ns < :to_ns ORDER BY captured_ns {{}} LIMIT {EDGE_ROWS})"
    )
    values = asked.values()
    (first,) = connection.execute(query.format("min(id)", "ASC"), values).fetchone()
    (last,) = connection.execute(query.format("max(id)", "DESC"), values).fetchone()
    return (1, 0) if first is None or last is None else (int(first), int(last))


def _slice(
    connection: sqlite3.Connection, asked: ScoreQuestion, ids: tuple[int, int], into: ScoreCounts
) -> None:
    values = {**asked.values(), "low_id": ids[0], "high_id": ids[1]}
    these = _THESE + (_CAMERA if asked.camera is not None else "")
    is_ours = _MODEL.removeprefix(" AND ")
    query = (
        "SELECT key >> 3, nullif(key & 7, 7), n, low, high FROM (SELECT CASE WHEN"
        f" {is_ours} THEN ({_BIN}) * 8 + ({_VERDICT}) ELSE 7 END AS key, count(*) AS n,"
        f" min(score) AS low, max(score) AS high{these} GROUP BY key)"
    )
    counted = connection.execute(query, values).fetchall()
    into.add(counted)
    ours = [row for row in counted if row[1] is not None and row[0] != _NO_SCORE]
    for side, order in ((">=", "ASC"), ("<", "DESC")):
        here = [row for row in ours if (row[0] >= 0) == (side == ">=")]
        if not here or not into.has_nearer(
            min(row[3] for row in here), max(row[4] for row in here), side == ">="
        ):
            continue
        query = (
            "SELECT id, part_id, (SELECT name FROM cameras WHERE cameras.id = camera) AS camera,"
            " score, state, is_suspect, evidence_url IS NOT NULL AS has_picture"
            f"{these}{_MODEL} AND state <> 'NOT_INSPECTED' AND score {side} :limit"
            f" AND abs(score) < 9e307 ORDER BY score {order} LIMIT {NEAREST}"
        )
        cursor = connection.execute(query, values)
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        for row in rows:
            row["is_suspect"], row["has_picture"] = (
                bool(row["is_suspect"]),
                bool(row["has_picture"]),
            )
        into.near(rows, asked.limit)
