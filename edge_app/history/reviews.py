"""What people said of parts, as it is read: with each part, as a list, and in figures."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_app.history.part_filter import storable_ns
from edge_app.history.review_rows import ACCEPTED
from edge_app.history.times import list_of, timed

MARKS = ("right", "false_alarm", "missed", "unsure")
_DECISION = (
    "SELECT decisions.id, decisions.part, decided_ns, mark, class, region, note, author_name,"
    " pseudonym, author_role AS role, is_current, accepted_ns, accepted_by, accepted_pseudonym,"
    " acceptance"
)
OPEN = "open"
"""Of a mark: it holds, and no engineer has said anything of it."""


@dataclass(frozen=True, slots=True)
class ReviewFigures:
    """What people said of the parts of some time.

    Attributes:
        parts: parts of which somebody said something.
        marks: mark → parts that are so marked now; one of several people counts in each.
        false_alarms: bad parts that everybody who could tell calls false alarms.
        right_alarms: bad parts whose verdict everybody who could tell calls right.
        disputed: parts of which two people say different things.
        reviewers: who → parts that they marked.
        taken_out, good, gone, waiting: bad parts by what became of them.
    """

    parts: int = 0
    marks: Counter[str] = field(default_factory=Counter)
    false_alarms: int = 0
    right_alarms: int = 0
    disputed: int = 0
    reviewers: Counter[str] = field(default_factory=Counter)
    taken_out: int = 0
    good: int = 0
    gone: int = 0
    waiting: int = 0


def attach_reviews(
    connection: sqlite3.Connection, parts: Mapping[int, dict[str, Any]], shows_names: bool
) -> None:
    """Give parts their `decisions`, the oldest first, and their `take_out`.

    Args:
        parts: id → part; changed.
        shows_names: else pseudonyms stand for people.
    """
    for part in parts.values():
        part["decisions"], part["take_out"] = [], None
    marks = ", ".join("?" * len(parts))
    query = f"{_DECISION} FROM decisions WHERE part IN ({marks}) ORDER BY id"
    for row in connection.execute(query, list(parts)):
        found = decision_of(row, shows_names)
        parts[found.pop("part")]["decisions"].append(found)
    query = f"SELECT * FROM take_out WHERE part IN ({marks})"
    for row in connection.execute(query, list(parts)):
        parts[row["part"]]["take_out"] = take_out_of(row, shows_names)


def decision_of(row: sqlite3.Row, shows_names: bool) -> dict[str, Any]:
    """Return a decision as people and programs read it."""
    found = dict(row)
    name, pseudonym = found.pop("author_name"), found.pop("pseudonym")
    found["author"] = name if shows_names else pseudonym
    by, by_pseudonym = found.pop("accepted_by"), found.pop("accepted_pseudonym")
    found["accepted_by"] = by if shows_names else by_pseudonym
    if found["acceptance"] != ACCEPTED:
        found["accepted_ns"] = None
    found["region"] = list_of(found["region"]) or None
    found["is_current"] = bool(found["is_current"])
    timed(found, "decided_ns", "accepted_ns")
    found["at"] = found.pop("decided_at")
    return found


def take_out_of(row: sqlite3.Row, shows_names: bool) -> dict[str, Any]:
    """Return a bad part's place in the queue as people and programs read it."""
    found = {
        "since_ns": row["since_ns"],
        "settled_ns": row["settled_ns"],
        "outcome": row["outcome"],
        "settled_by": row["settled_by"] if shows_names else row["pseudonym"],
    }
    timed(found, "since_ns", "settled_ns")
    found["since"] = found.pop("since_at")
    return found


def latest_decisions(
    connection: sqlite3.Connection,
    before: int | None,
    count: int,
    shows_names: bool,
    acceptance: str = "",
) -> list[dict[str, Any]]:
    """Return decisions with their parts, the latest first; see `HistoryReader.decisions`."""
    connection.row_factory = sqlite3.Row
    where, values = "", []
    if acceptance == OPEN:
        where = " AND acceptance IS NULL AND is_current"
    elif acceptance:
        where, values = " AND acceptance = ?", [acceptance]
    query = (
        f"{_DECISION}, decisions.part_id, parts.number, decisions.state, cameras.name AS camera"
        " FROM decisions JOIN parts ON parts.id = part"
        " JOIN cameras ON cameras.id = decisions.camera"
        f" WHERE decisions.id < ?{where} ORDER BY decisions.id DESC LIMIT ?"
    )
    rows = connection.execute(query, (2**62 if before is None else before, *values, count))
    return [decision_of(row, shows_names) for row in rows]


def order_of(connection: sqlite3.Connection, decision: int) -> str:
    """Return the id of the order that a decision came with; "" where there is none."""
    query = "SELECT order_id FROM decisions WHERE id = ?"
    row = connection.execute(query, (decision,)).fetchone()
    return "" if row is None else str(row[0])


def review_figures(
    connection: sqlite3.Connection,
    from_ns: int,
    to_ns: int,
    camera: str | None,
    shows_names: bool,
) -> ReviewFigures:
    """Return figures; see `HistoryReader.reviews`."""
    where = "captured_ns >= ? AND captured_ns < ?"
    values: list[object] = [storable_ns(from_ns), storable_ns(to_ns)]
    if camera is not None:
        where += " AND camera = (SELECT id FROM cameras WHERE name = ?)"
        values.append(camera)
    who = "author_name" if shows_names else "pseudonym"
    query = f"SELECT part, state, mark, {who} FROM decisions WHERE is_current AND {where}"
    rows = connection.execute(query, values).fetchall()
    query = f"SELECT outcome, count(*) FROM take_out WHERE {where} GROUP BY outcome"
    outcomes = dict(connection.execute(query, values).fetchall())
    return _figures(rows, outcomes)


def _figures(
    rows: Iterable[tuple[int, str, str, str]], outcomes: Mapping[str | None, int]
) -> ReviewFigures:
    said: dict[int, set[str]] = {}
    states: dict[int, str] = {}
    reviewers: Counter[str] = Counter()
    for part, state, mark, who in rows:
        said.setdefault(part, set()).add(mark)
        states[part] = state
        reviewers[who] += 1
    sure = {part: marks - {"unsure"} for part, marks in said.items()}
    bad = [sure[part] for part, state in states.items() if state == "NG"]
    return ReviewFigures(
        parts=len(said),
        marks=Counter(mark for marks in said.values() for mark in marks),
        false_alarms=bad.count({"false_alarm"}),
        right_alarms=bad.count({"right"}),
        disputed=sum(len(marks) > 1 for marks in sure.values()),
        reviewers=reviewers,
        taken_out=outcomes.get("taken_out", 0),
        good=outcomes.get("good", 0),
        gone=outcomes.get("gone", 0),
        waiting=outcomes.get(None, 0),
    )
