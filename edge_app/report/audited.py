"""What a report says from the audit: changes of limits, pauses, and the end of the chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_app.audit.reader import every_record
from edge_app.audit.records import Head
from edge_app.errors import AuditError
from edge_app.history.times import time_text
from edge_app.mqtt.timestamps import epoch_ns
from edge_app.report.interruptions import PauseSpan
from edge_app.report.period import Period

LIMIT_EVENTS = ("limit", "limit_undone")
PAUSE_BEGINS, PAUSE_ENDS = "pause", ("resumed", "pause_ended")


@dataclass(frozen=True, slots=True)
class LimitChange:
    """One change of a slot's limit.

    Attributes:
        old, new: the limits; None where it is not recorded.
        is_undone: the change before was taken back.
    """

    at: str
    slot: str
    old: float | None
    new: float | None
    by: str
    why: str
    is_undone: bool


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit says.

    Attributes:
        changes: of limits within the period, the oldest first.
        pauses: of all times, one for each camera and pause.
        head: HASH:COUNT when the report was made; "" without an audit.
        trouble: why nothing is known; "" if all is well.
    """

    changes: tuple[LimitChange, ...] = ()
    pauses: tuple[PauseSpan, ...] = ()
    head: str = ""
    trouble: str = ""


def audited(path: Path, period: Period) -> Audited:
    """Return what the audit says of a period. An audit that cannot be read is said, not raised."""
    changes: list[LimitChange] = []
    pauses = _Pauses()
    head = Head()
    if not path.is_file():
        return Audited()
    try:
        for record in every_record(path):
            head = Head(str(record["hash"]), int(record["seq"]))
            if record["event"] in LIMIT_EVENTS and _is_in(record["at"], period):
                changes.append(_change(record))
            pauses.take(record)
    except AuditError as error:
        return Audited(tuple(changes), pauses.spans(), "", str(error))
    return Audited(tuple(changes), pauses.spans(), str(head) if head.count else "")


class _Pauses:
    """Follows pauses through the audit's records, the oldest first."""

    def __init__(self) -> None:
        self._ended: list[PauseSpan] = []
        self._running: dict[str, PauseSpan] = {}

    def take(self, record: dict[str, Any]) -> None:
        event, new = record["event"], record.get("new")
        if not isinstance(new, dict) or event not in (PAUSE_BEGINS, *PAUSE_ENDS):
            return
        try:
            at_ns = epoch_ns(record["at"])
            if event == PAUSE_BEGINS:
                self._begin(new["pauses"], at_ns)
            else:
                self._end(new["cameras"], at_ns)
        except (KeyError, TypeError, ValueError):
            return  # of a later release, or no pause that could be shown

    def spans(self) -> tuple[PauseSpan, ...]:
        """Return all; one that still runs ends when it is meant to."""
        return (*self._ended, *self._running.values())

    def _begin(self, pauses: list[dict[str, Any]], at_ns: int) -> None:
        for pause in pauses:
            camera, began_ns = str(pause["camera"]), int(pause["began_ns"])
            before = self._running.pop(camera, None)
            if before is not None and before.begin_ns != began_ns:
                self._ended.append(replace(before, end_ns=min(before.end_ns, at_ns)))
            self._running[camera] = PauseSpan(camera, began_ns, int(pause["until_ns"]))

    def _end(self, cameras: list[str], at_ns: int) -> None:
        for camera in cameras:
            running = self._running.pop(str(camera), None)
            if running is not None:
                self._ended.append(replace(running, end_ns=at_ns))


def _is_in(at: str, period: Period) -> bool:
    try:
        return period.from_ns <= epoch_ns(at) < period.to_ns
    except ValueError:
        return False


def _change(record: dict[str, Any]) -> LimitChange:
    return LimitChange(
        at=time_text(epoch_ns(record["at"])),
        slot=str(record.get("subject", "")),
        old=_limit(record.get("old")),
        new=_limit(record.get("new")),
        by=str(record["author"]["name"]),
        why=str(record.get("why", "")),
        is_undone=record["event"] == "limit_undone",
    )


def _limit(value: Any) -> float | None:
    found = value.get("score_threshold") if isinstance(value, dict) else None
    return float(found) if isinstance(found, int | float) else None
