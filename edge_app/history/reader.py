"""Reads the history: pages of parts, counts, scores. Every question is one short transaction.

Parts come newest first: as they were recorded, or by their time where a time is asked for. A cursor
is the `id` of the last one seen, so a page costs the same wherever it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edge_app.errors import HistoryError
from edge_app.history.part_filter import PartFilter, storable_ns
from edge_app.history.reviews import (
    ReviewFigures,
    attach_reviews,
    latest_decisions,
    order_of,
    review_figures,
)
from edge_app.history.rows import BINS_PER_LIMIT, HOUR_NS, NO_SCORE
from edge_app.history.schema import open_for_reading
from edge_app.history.times import list_of, time_text, timed

PAGE = 500
"""Most parts of one question."""

LOOK_EVERY = 5_000
"""SQLite's steps between two looks at the clock: a millisecond at most."""

_PARTS = (
    "SELECT parts.id, cameras.name AS camera, cameras.slot, part_id, number, trigger_id,"
    " source_name, captured_ns, recorded_ns, state, reason, score, is_suspect, threshold,"
    " threshold_id, product, serial, bundle_sha256, precision, views, latency_ms, corners, defects,"
    " alarm_id, evidence_url, evidence_sha256, is_final, kept_for,"
    " (SELECT name FROM golden_parts WHERE part = parts.id) AS golden FROM parts"
    " JOIN cameras ON cameras.id = parts.camera JOIN limits ON limits.id = limit_id"
    " LEFT JOIN models ON models.id = parts.model"
)


class HistoryReader:
    """Answers questions about one device's history; opens the file for each.

    Args:
        path: the history's file.
        limit_s: a question that takes longer is given up with a HistoryError; None: none is.
        shows_names: who marked a part is named; else a pseudonym stands for each.
    """

    def __init__(self, path: Path, limit_s: float | None = None, shows_names: bool = False) -> None:
        self._path = path
        self._limit_s = limit_s
        self._shows_names = shows_names

    def parts(
        self, wanted: PartFilter, before: int | None = None, count: int = PAGE
    ) -> list[dict[str, Any]]:
        """Return up to `count` parts, the newest first, of those older than the cursor `before`.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        query, values = wanted.ids(before, min(count, PAGE))
        with self._opened() as connection:
            ids = [int(row[0]) for row in connection.execute(query, values)]
            return self._parts_of(connection, ids)

    def part(self, number: int) -> dict[str, Any] | None:
        """Return the part with that `id`, None if there is none, or no longer.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        with self._opened() as connection:
            found = self._parts_of(connection, [number])
        return found[0] if found else None

    def newest(self, part_id: str) -> int | None:
        """Return the `id` of the newest part of a name that has left; None: there is none.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        query = "SELECT max(id) FROM parts WHERE part_id = ? AND is_final"
        with self._opened() as connection:
            found = connection.execute(query, (part_id,)).fetchone()[0]
        return None if found is None else int(found)

    def waiting(
        self, camera: str | None = None, count: int = PAGE
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many bad parts wait to be taken out, and up to `count`, the oldest first.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        where = "settled_ns IS NULL" + (
            "" if camera is None else " AND camera = (SELECT id FROM cameras WHERE name = ?)"
        )
        values = [] if camera is None else [camera]
        with self._opened() as connection:
            total = connection.execute(f"SELECT count(*) FROM take_out WHERE {where}", values)
            waiting = int(total.fetchone()[0])
            query = f"SELECT part FROM take_out WHERE {where} ORDER BY part LIMIT ?"
            rows = connection.execute(query, [*values, min(count, PAGE)]).fetchall()
            return waiting, self._parts_of(connection, [int(row[0]) for row in rows])

    def decisions(
        self, before: int | None = None, count: int = PAGE, acceptance: str = ""
    ) -> list[dict[str, Any]]:
        """Return what people said of parts, the latest first, of those older than the cursor.

        Args:
            acceptance: accepted or declined by an engineer; open: holds, without a word of one; ""
                for all.

        Returns:
            a decision each, as in a part, with `part`, `part_id`, `number` and `camera`.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        with self._opened() as connection:
            return latest_decisions(
                connection, before, min(count, PAGE), self._shows_names, acceptance
            )

    def decision_order(self, decision: int) -> str:
        """Return the id of the order that a decision came with; "" where there is none.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        with self._opened() as connection:
            return order_of(connection, decision)

    def reviews(self, from_ns: int, to_ns: int, camera: str | None = None) -> ReviewFigures:
        """Return what people said of the parts that were captured in [from_ns, to_ns).

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        with self._opened() as connection:
            return review_figures(connection, from_ns, to_ns, camera, self._shows_names)

    def golden_checks(
        self, from_ns: int, to_ns: int, camera: str | None = None, count: int = PAGE
    ) -> list[dict[str, Any]]:
        """Return what became of golden parts in [from_ns, to_ns), the latest first.

        Returns:
            a check each: `name`, `camera`, `at`, `due_at`, `outcome`, `part_id`, `state`, `score`,
            `classes`, `expected_class`.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        query = (
            "SELECT name, camera, at_ns, due_ns, outcome, part_id, state, score, classes,"
            " expected_class FROM golden_checks WHERE at_ns >= ? AND at_ns < ?"
            f"{' AND camera = ?' if camera is not None else ''}"
            " ORDER BY at_ns DESC, id DESC LIMIT ?"
        )
        values = [storable_ns(from_ns), storable_ns(to_ns), *([camera] if camera else [])]
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(query, [*values, min(count, PAGE)])]
        for row in rows:
            row["classes"] = list_of(row["classes"])
            row["at"] = time_text(int(row.pop("at_ns")))
        return [timed(row, "due_ns") for row in rows]

    def deleted_reviews(self) -> list[dict[str, Any]]:
        """Return what people said of parts that the retention has deleted, counted."""
        query = (
            "SELECT name AS camera, what, count FROM deleted_reviews"
            " JOIN cameras ON cameras.id = camera ORDER BY name, what"
        )
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def _parts_of(self, connection: sqlite3.Connection, ids: list[int]) -> list[dict[str, Any]]:
        """Return parts in the order of their ids, with what people said of them."""
        marks = ", ".join("?" * len(ids))
        connection.row_factory = sqlite3.Row
        found = connection.execute(f"{_PARTS} WHERE parts.id IN ({marks})", ids).fetchall()
        rows = {int(row["id"]): part_of(row) for row in found}
        attach_reviews(connection, rows, self._shows_names)
        return [rows[number] for number in ids if number in rows]

    def every_part(self, wanted: PartFilter) -> Iterator[dict[str, Any]]:
        """Return all parts, the newest first, a page at a time: memory stays flat."""
        before: int | None = None
        while page := self.parts(wanted, before):
            yield from page
            before = int(page[-1]["id"])

    def pictures(self) -> Iterator[tuple[str, str, str, int]]:
        """Return (part id, address, sha256, ns since the epoch when the part was recorded) of every
        picture that a part names, the newest first, a page at a time."""
        query = (
            "SELECT id, part_id, evidence_url, evidence_sha256, recorded_ns FROM parts INDEXED BY"
            " parts_kept WHERE kept_for IS NOT NULL AND id < ? ORDER BY id DESC LIMIT ?"
        )
        before = 2**63 - 1
        while True:
            with self._opened() as connection:
                page = connection.execute(query, (before, PAGE)).fetchall()
            for _, part_id, url, sha256, recorded_ns in page:
                yield str(part_id), str(url), str(sha256), int(recorded_ns)
            if not page:
                return
            before = int(page[-1][0])

    def gaps(self, count: int = PAGE) -> list[dict[str, Any]]:
        """Return the latest gaps and losses, the newest first."""
        query = (
            "SELECT gaps.id, cameras.name AS camera, kind, first_number, last_number, count,"
            " reason, from_ns, to_ns FROM gaps LEFT JOIN cameras ON cameras.id = gaps.camera"
            " ORDER BY gaps.id DESC LIMIT ?"
        )
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(query, (count,)).fetchall()
        return [timed(dict(row), "from_ns", "to_ns") for row in rows]

    def deleted(self) -> list[dict[str, Any]]:
        """Return what the retention deleted, counted."""
        query = (
            "SELECT cameras.name AS name, deleted.* FROM deleted"
            " JOIN cameras ON cameras.id = camera ORDER BY deleted.id"
        )
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(query)]
        for row in rows:
            row["camera"] = row.pop("name")
        return [timed(row, "from_ns", "to_ns") for row in rows]

    def counts(self, from_ns: int, to_ns: int, camera: str | None = None) -> list[dict[str, Any]]:
        """Return parts per hour and state; the first and the last hour count whole.

        Returns:
            one dict an hour and camera: `hour` (UTC), `camera`, `ok`, `suspect` (of those OK),
            `ng`, `not_inspected`.
        """
        query = (
            "SELECT hour, cameras.name AS camera, sum((state = 'OK') * count) AS ok,"
            " sum((state = 'OK' AND is_suspect) * count) AS suspect,"
            " sum((state = 'NG') * count) AS ng,"
            " sum((state = 'NOT_INSPECTED') * count) AS not_inspected FROM hours"
            " JOIN cameras ON cameras.id = hours.camera WHERE hour BETWEEN ? AND ?"
            f"{' AND cameras.name = ?' if camera is not None else ''}"
            " GROUP BY hour, cameras.name ORDER BY hour, cameras.name"
        )
        values = (*_hours(from_ns, to_ns), *([] if camera is None else [camera]))
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(query, values)]
        for row in rows:
            row["hour"] = time_text(int(row["hour"]) * HOUR_NS)
        return rows

    def counts_between(
        self, from_ns: int, to_ns: int, camera: str | None = None
    ) -> list[dict[str, Any]]:
        """Return parts by state from one moment up to another, of less than some hours.

        Of parts that still have a row, where `counts` knows of deleted ones too.

        Returns:
            one dict a camera: `camera`, `ok`, `suspect` (of those OK), `ng`, `not_inspected`.
        """
        query = (
            "SELECT cameras.name AS camera, sum(state = 'OK') AS ok,"
            " sum(state = 'OK' AND is_suspect) AS suspect, sum(state = 'NG') AS ng,"
            " sum(state = 'NOT_INSPECTED') AS not_inspected FROM parts"
            " JOIN cameras ON cameras.id = parts.camera WHERE captured_ns >= ? AND captured_ns < ?"
            f"{' AND cameras.name = ?' if camera is not None else ''} GROUP BY cameras.name"
        )
        values = (from_ns, to_ns, *([] if camera is None else [camera]))
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def histogram(
        self, from_ns: int, to_ns: int, camera: str | None = None
    ) -> list[tuple[float, int]]:
        """Return (score as a share of the limit, parts) in steps of a twentieth of the limit.

        The share is the step's lower end; the last step holds all from there on. Parts without a
        score, or with a limit that is not above 0, are left out.
        """
        query = (
            "SELECT bin, sum(count) FROM hours JOIN cameras ON cameras.id = hours.camera"
            " WHERE hour BETWEEN ? AND ? AND bin <> ?"
            f"{' AND cameras.name = ?' if camera is not None else ''} GROUP BY bin ORDER BY bin"
        )
        values = (*_hours(from_ns, to_ns), NO_SCORE, *([] if camera is None else [camera]))
        with self._opened() as connection:
            found = connection.execute(query, values).fetchall()
        return [(number / BINS_PER_LIMIT, int(count)) for number, count in found]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one question, which ends in time."""
        with closing(open_for_reading(self._path)) as connection:
            if self._limit_s is None:
                yield connection
                return
            until_s = time.monotonic() + self._limit_s
            connection.set_progress_handler(lambda: time.monotonic() > until_s, LOOK_EVERY)
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if time.monotonic() <= until_s:
                    raise HistoryError(f"history {self._path} cannot be read: {error}") from error
                raise HistoryError(
                    f"The history did not answer within {self._limit_s:g} s: ask for less, or for "
                    "a shorter time."
                ) from error


def part_of(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row as people and programs read it."""
    part = dict(row)
    part["corners"], part["defects"] = list_of(part["corners"]), list_of(part["defects"])
    part["is_suspect"], part["is_final"] = bool(part["is_suspect"]), bool(part["is_final"])
    return timed(part, "captured_ns", "recorded_ns")


def _hours(from_ns: int, to_ns: int) -> tuple[int, int]:
    return from_ns // HOUR_NS, max(from_ns, to_ns - 1) // HOUR_NS
