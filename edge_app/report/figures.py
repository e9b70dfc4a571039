"""What a report says, from the history: short questions, one transaction each."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_app.audit.schema import AUDIT_FILE
from edge_app.binomial import exact_interval
from edge_app.history.part_filter import PartFilter, storable_ns
from edge_app.history.reader import HistoryReader
from edge_app.history.reviews import ReviewFigures
from edge_app.history.rows import HOUR_NS
from edge_app.history.schema import NO_GOLDEN, open_for_reading
from edge_app.report.audited import Audited, audited
from edge_app.report.interruptions import Interruptions, PauseSpan, interruptions_of
from edge_app.report.period import Period

MAX_LISTED = 40
"""Bad parts listed in a report; the export has all."""

HOUR_S = 3600
DAY_NS = 24 * HOUR_NS
SCAN_NS = 6 * HOUR_NS
"""So much is looked through in one transaction: 65,000 parts at three a second."""

EXACT_UP_TO = 2_000
"""Bad parts; of more the exact interval would take seconds and be Wilson's to all digits shown."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Parts by verdict; `suspect` ones are among the OK."""

    ok: int = 0
    suspect: int = 0
    ng: int = 0
    not_inspected: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.ok + other.ok,
            self.suspect + other.suspect,
            self.ng + other.ng,
            self.not_inspected + other.not_inspected,
        )

    @property
    def inspected(self) -> int:
        """Parts that got a verdict on themselves."""
        return self.ok + self.ng

    @property
    def parts(self) -> int:
        """All parts."""
        return self.inspected + self.not_inspected

    @property
    def ng_share(self) -> float | None:
        """Bad ones of those inspected; None where there are none."""
        return self.ng / self.inspected if self.inspected else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that share."""
        return interval_of(self.ng, self.inspected)


def interval_of(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate."""
    if hits > EXACT_UP_TO and count - hits > EXACT_UP_TO:
        return wilson(hits, count)
    return exact_interval(hits, count)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a rate, for large counts."""
    z2, rate = 1.959964**2, hits / count
    middle = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = (
        1.959964 * (rate * (1 - rate) / count + z2 / (4 * count * count)) ** 0.5 / (1 + z2 / count)
    )
    return middle - half, middle + half


@dataclass(frozen=True, slots=True)
class Judge:
    """A model and a limit that judged in the period."""

    product: str
    serial: int
    precision: str
    threshold: float
    threshold_id: str
    parts: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a report shows.

    Attributes:
        slices: (begin, counts) by hour, or by day of a long period; none is left out.
        by_camera: of the period.
        before: of the equally long time in front of it.
        classes: defect class → bad parts that show it.
        reasons: why parts were not inspected → how many.
        histogram: (score as a share of the limit, parts), see `HistoryReader.histogram`.
        judges: models and limits, in the order of their first part.
        interruptions: when nothing was inspected, what was lost or may have been missed.
        listed: bad parts, newest first, at most MAX_LISTED.
        reviews: what people said of the period's parts.
        audit: changes of limits in the period, and the audit's head.
        golden: what became of golden parts, the latest first; see `HistoryReader.golden_checks`.
        has_all_parts: False where parts of the period have been deleted for their age: classes,
            reasons and lists are of those that are left, the counts of all.
    """

    total: Counts
    before: Counts
    slices: tuple[tuple[datetime, Counts], ...]
    by_camera: dict[str, Counts]
    classes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    histogram: tuple[tuple[float, int], ...] = ()
    judges: tuple[Judge, ...] = ()
    interruptions: Interruptions = field(default_factory=Interruptions)
    listed: tuple[dict[str, Any], ...] = ()
    has_all_parts: bool = True
    reviews: ReviewFigures = field(default_factory=ReviewFigures)
    audit: Audited = field(default_factory=Audited)
    golden: tuple[dict[str, Any], ...] = ()


def figures_of(
    path: Path,
    period: Period,
    camera: str | None = None,
    shows_names: bool = False,
    now_ns: int | None = None,
) -> Figures:
    """Return what the history says of a period.

    Counts are kept by whole hours (UTC): a period that begins or ends within one counts it whole.

    Args:
        path: the history's; the audit lies beside it.
        shows_names: who marked parts is named; else a pseudonym stands for each.
        now_ns: wall clock: so long a running pause has lasted.

    Raises:
        HistoryError: there is no history, or it cannot be read.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    reader = HistoryReader(path, shows_names=shows_names)
    begin, end = period.from_ns, period.to_ns
    hours = reader.counts(begin, end, camera)
    before = reader.counts(period.before.from_ns, period.before.to_ns, camera)
    by_camera: dict[str, Counts] = {}
    for row in hours:
        by_camera[row["camera"]] = by_camera.get(row["camera"], Counts()) + _counts(row)
    total = sum(by_camera.values(), Counts())
    told = audited(path.with_name(AUDIT_FILE), period)
    bad = PartFilter(camera=camera, states=("NG",), from_ns=begin, to_ns=end, golden=False)
    with closing(open_for_reading(path)) as connection:
        classes = _classes(connection, period, camera)
    with closing(open_for_reading(path)) as connection:
        reasons = _reasons(connection, period, camera)
    known = _known(path, period, camera)
    return Figures(
        total,
        sum((_counts(row) for row in before), Counts()),
        _slices(hours, period),
        by_camera,
        classes,
        reasons,
        tuple(reader.histogram(begin, end, camera)),
        _judges(path, period, camera),
        interruptions_of(path, period, camera, _until(told.pauses, now_ns)),
        tuple(reader.parts(bad, count=MAX_LISTED)),
        known >= total.parts,
        reader.reviews(begin, end, camera),
        told,
        tuple(reader.golden_checks(begin, end, camera)),
    )


def _counts(row: dict[str, Any]) -> Counts:
    return Counts(*(int(row[name] or 0) for name in ("ok", "suspect", "ng", "not_inspected")))


def _slices(hours: list[dict[str, Any]], period: Period) -> tuple[tuple[datetime, Counts], ...]:
    """Return the counts of every hour, or day, of the period; empty ones too.

    Hours begin with UTC's, as they are counted: in zones of half an hour at half past.
    """
    found: dict[datetime, Counts] = {}
    at = period.begin.timestamp() // HOUR_S * HOUR_S
    while at < period.end.timestamp():
        found[_slice_of(at, period)] = Counts()
        at += HOUR_S
    for row in hours:
        key = _slice_of(_seconds(row["hour"]) or 0.0, period)
        found[key] = found.get(key, Counts()) + _counts(row)
    return tuple(sorted(found.items()))


def _slice_of(at_s: float, period: Period) -> datetime:
    """Return the begin of the hour, or of the day of a long period, in the period's zone."""
    moment = datetime.fromtimestamp(at_s, period.begin.tzinfo)
    return moment.replace(hour=0, minute=0, fold=0) if period.is_long else moment


def _where(begin_ns: int, end_ns: int, camera: str | None) -> tuple[str, list[object]]:
    values: list[object] = [storable_ns(begin_ns), storable_ns(end_ns)]
    text = f"captured_ns >= ? AND captured_ns < ? AND {NO_GOLDEN}"
    if camera is not None:
        text += " AND parts.camera = (SELECT id FROM cameras WHERE name = ?)"
        values.append(camera)
    return text, values


def _classes(connection: sqlite3.Connection, period: Period, camera: str | None) -> Counter[str]:
    where, values = _where(period.from_ns, period.to_ns, camera)
    query = (
        "SELECT class, count(*) FROM parts INDEXED BY parts_not_ok JOIN part_classes"
        f" ON part = parts.id WHERE state = 'NG' AND state <> 'OK' AND {where} GROUP BY class"
    )
    return Counter({str(name): int(n) for name, n in connection.execute(query, values)})


def _reasons(connection: sqlite3.Connection, period: Period, camera: str | None) -> Counter[str]:
    where, values = _where(period.from_ns, period.to_ns, camera)
    query = (
        "SELECT reason, count(*) FROM parts INDEXED BY parts_not_ok"
        f" WHERE state = 'NOT_INSPECTED' AND state <> 'OK' AND {where} GROUP BY reason"
    )
    return Counter({str(name): int(n) for name, n in connection.execute(query, values)})


def _judges(path: Path, period: Period, camera: str | None) -> tuple[Judge, ...]:
    """Return models and limits, from a few hours at a time: each question stays short."""
    found: dict[tuple[Any, ...], Judge] = {}
    for begin in range(period.from_ns, period.to_ns, SCAN_NS):
        where, values = _where(begin, min(begin + SCAN_NS, period.to_ns), camera)
        query = (
            "SELECT product, serial, precision, threshold, threshold_id, n, first, last FROM"
            " (SELECT model, limit_id, count(*) AS n, min(captured_ns) AS first,"
            f" max(captured_ns) AS last FROM parts WHERE {where} GROUP BY model, limit_id)"
            " JOIN models ON models.id = model JOIN limits ON limits.id = limit_id"
        )
        with closing(open_for_reading(path)) as connection:
            rows = connection.execute(query, values).fetchall()
        for row in rows:
            one = Judge(*row)
            was = found.get(row[:5])
            found[row[:5]] = one if was is None else replace(
                was,
                parts=was.parts + one.parts,
                first_ns=min(was.first_ns, one.first_ns),
                last_ns=max(was.last_ns, one.last_ns),
            )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda judge: judge.first_ns))


def _known(path: Path, period: Period, camera: str | None) -> int:
    """Return how many parts of the period's whole hours are there by themselves."""
    begin = period.from_ns // HOUR_NS * HOUR_NS
    end = -(-period.to_ns // HOUR_NS) * HOUR_NS
    known = 0
    for at in range(begin, end, DAY_NS):
        where, values = _where(at, min(at + DAY_NS, end), camera)
        with closing(open_for_reading(path)) as connection:
            query = f"SELECT count(*) FROM parts WHERE {where}"
            known += int(connection.execute(query, values).fetchone()[0])
    return known


def _until(pauses: tuple[PauseSpan, ...], now_ns: int) -> tuple[PauseSpan, ...]:
    begun = (pause for pause in pauses if pause.begin_ns <= now_ns)
    return tuple(replace(pause, end_ns=min(pause.end_ns, now_ns)) for pause in begun)


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None  # a time that no calendar has
