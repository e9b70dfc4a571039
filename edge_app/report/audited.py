"""What a report says from the audit: changes of limits, and the end of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.audit.reader import every_record
from edge_app.audit.records import Head
from edge_app.errors import AuditError
from edge_app.history.times import time_text
from edge_app.mqtt.timestamps import epoch_ns
from edge_app.report.period import Period

LIMIT_EVENTS = ("limit", "limit_undone")


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
        head: HASH:COUNT when the report was made; "" without an audit.
        trouble: why nothing is known; "" if all is well.
    """

    changes: tuple[LimitChange, ...] = ()
    head: str = ""
    trouble: str = ""


def audited(path: Path, period: Period) -> Audited:
    """Return what the audit says of a period. An audit that cannot be read is said, not raised."""
    changes: list[LimitChange] = []
    head = Head()
    if not path.is_file():
        return Audited()
    try:
        for record in every_record(path):
            head = Head(str(record["hash"]), int(record["seq"]))
            if record["event"] in LIMIT_EVENTS and _is_in(record["at"], period):
                changes.append(_change(record))
    except AuditError as error:
        return Audited(tuple(changes), "", str(error))
    return Audited(tuple(changes), str(head) if head.count else "")


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
