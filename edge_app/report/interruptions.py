"""When nothing was inspected, or parts passed unseen: single stretches, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.history.schema import open_for_reading
from edge_app.history.times import timed
from edge_app.report.period import Period

MAX_STRETCHES = 100
"""Interruptions listed one by one; the sums are of all."""

PAUSED = "paused"
_COLUMNS = (
    "id", "camera", "kind", "first_number", "last_number", "count", "reason", "from_ns", "to_ns",
)  # fmt: skip
_QUERY = (
    "SELECT gaps.id, cameras.name, kind, first_number, last_number, count, reason, from_ns, to_ns"
    " FROM gaps LEFT JOIN cameras ON cameras.id = gaps.camera"
    " WHERE to_ns >= ? AND coalesce(from_ns, to_ns) < ? ORDER BY gaps.id DESC"
)


@dataclass(frozen=True, slots=True)
class PauseSpan:
    """A camera's pause, ns since the epoch."""

    camera: str
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Downtime:
    """Interruptions of one kind and one camera, added up within a period.

    Attributes:
        kind: down, paused, gap, loss.
        camera: "": all of them.
        length_ns: of those whose begin is known, none counted twice.
        unknown: how many have no known begin.
        parts: that were lost; 0 where parts have no number.
    """

    kind: str
    camera: str
    times: int
    length_ns: int
    unknown: int
    parts: int


@dataclass(frozen=True, slots=True)
class Interruptions:
    """What interrupted inspection in a period.

    Attributes:
        sums: by kind and camera; not running first, then pauses, then lost parts.
        listed: gaps of the history, the newest first, at most MAX_STRETCHES.
        count: how many gaps there are.
    """

    sums: tuple[Downtime, ...] = ()
    listed: tuple[dict[str, Any], ...] = ()
    count: int = 0

    @property
    def lost(self) -> int:
        """Numbered parts without a verdict."""
        return sum(one.parts for one in self.sums)


def interruptions_of(
    path: Path, period: Period, camera: str | None, pauses: Sequence[PauseSpan]
) -> Interruptions:
    """Return what interrupted inspection.

    Args:
        path: the history's.
        pauses: of the audit; those of cameras without part numbers stand in the history too.

    Raises:
        HistoryError: there is no history, or it cannot be read.
    """
    spans: dict[tuple[str, str], _Spans] = {}
    for pause in pauses:
        if camera in (None, pause.camera):
            found = spans.setdefault((PAUSED, pause.camera), _Spans())
            found.add(pause.begin_ns, pause.end_ns, period)
    listed: list[dict[str, Any]] = []
    count = 0
    for gap in _gaps(path, period, camera):
        count += 1
        kind = PAUSED if gap["reason"] == PAUSED else str(gap["kind"])
        found = spans.setdefault((kind, gap["camera"] or ""), _Spans())
        found.add(gap["from_ns"], gap["to_ns"], period)
        found.parts += int(gap["count"] or 0) if kind != "down" else 0
        if len(listed) < MAX_STRETCHES:
            listed.append(timed(gap, "from_ns", "to_ns"))
    sums = (one.sum(kind, name) for (kind, name), one in spans.items())
    order = ("down", PAUSED, "gap", "loss")
    known = [one for one in sums if one.times]
    known.sort(key=lambda one: (order.index(one.kind) if one.kind in order else 9, one.camera))
    return Interruptions(tuple(known), tuple(listed), count)


class _Spans:
    """Stretches of time of one kind, cut to a period."""

    def __init__(self) -> None:
        self.parts = self.unknown = 0
        self._known: list[tuple[int, int]] = []

    def add(self, begin_ns: int | None, end_ns: int, period: Period) -> None:
        if begin_ns is None:
            self.unknown += 1
            return
        begin_ns, end_ns = max(begin_ns, period.from_ns), min(end_ns, period.to_ns)
        if begin_ns <= end_ns:
            self._known.append((begin_ns, end_ns))

    def sum(self, kind: str, camera: str) -> Downtime:
        """Return their sum; those that overlap are one."""
        joined = list(_joined(sorted(self._known)))
        length_ns = sum(end - begin for begin, end in joined)
        return Downtime(
            kind, camera, len(joined) + self.unknown, length_ns, self.unknown, self.parts
        )


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the union of stretches that are sorted by their begin."""
    last: tuple[int, int] | None = None
    for begin, end in spans:
        if last is None or begin > last[1]:
            if last is not None:
                yield last
            last = (begin, end)
        else:
            last = (last[0], max(last[1], end))
    if last is not None:
        yield last


def _gaps(path: Path, period: Period, camera: str | None) -> Iterator[dict[str, Any]]:
    with closing(open_for_reading(path)) as connection:
        for row in connection.execute(_QUERY, (period.from_ns, period.to_ns)):
            gap = dict(zip(_COLUMNS, row, strict=True))
            if camera is None or gap["camera"] in (None, camera):
                yield gap
