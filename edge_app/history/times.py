"""Values of rows as people and programs read them. No IO."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any


def time_text(ns: int) -> str:
    """Return RFC 3339, UTC, in milliseconds; a time that no calendar has is given in ns."""
    try:
        moment = datetime.fromtimestamp(ns // 10**9, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9 // 10**6:03d}Z"


def timed(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give times of ns as texts, under names that end in `_at`."""
    for name in names:
        ns = row.pop(name)
        row[f"{name.removesuffix('_ns')}_at"] = None if ns is None else time_text(int(ns))
    return row


def list_of(text: str | None) -> list[Any]:
    """Return a column's list; an empty one where the row is damaged."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        return []
    return found if isinstance(found, list) else []
