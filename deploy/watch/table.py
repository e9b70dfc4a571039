"""One alert as one line of a plain terminal."""

from __future__ import annotations

from datetime import datetime, tzinfo

from edge_app.host.plain_text import one_line
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.timestamps import epoch_ns

COLUMNS = (
    ("TIME", 12),
    ("DEVICE", 12),
    ("CAMERA", 8),
    ("PART", 22),
    ("EVENT", 6),
    ("VERDICT", 13),
    ("KIND", 12),
    ("SCORE/LIMIT", 13),
    ("WHERE", 0),
)
MAX_CELL_CHARS = 120
"""Of one cell: names have at most 64, what is longer is not this product's."""
RED, YELLOW, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"


def header() -> str:
    """Return the column titles."""
    return _line([title for title, _ in COLUMNS])


def row(alert: Alert, zone: tzinfo | None = None, with_colour: bool = False) -> str:
    """Return one alert as one line; times in `zone` (None: the terminal's own)."""
    text = _line(
        [
            _clock(alert, zone),
            alert.device,
            alert.camera,
            alert.part_id or "-",
            alert.event,
            alert.verdict or "-",
            _kind(alert),
            _score(alert),
            _where(alert) + ("  (replayed)" if alert.replayed else ""),
        ]
    )
    if not with_colour:
        return text
    return f"{YELLOW if alert.event in ('gap', 'end') else RED}{text}{PLAIN}"


def _line(cells: list[str]) -> str:
    padded = (
        f"{one_line(cell, MAX_CELL_CHARS):<{width}}"
        for cell, (_, width) in zip(cells, COLUMNS, strict=True)
    )
    return " ".join(padded).rstrip()


def _clock(alert: Alert, zone: tzinfo | None) -> str:
    at_ns = epoch_ns(alert.captured_at or alert.published_at)
    try:
        stamp = datetime.fromtimestamp(at_ns // 1_000_000_000, tz=zone).astimezone(zone)
    except (ValueError, OverflowError, OSError):  # the year 1 or 9999, in another time zone
        return "?"
    return f"{stamp:%H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}"


def _kind(alert: Alert) -> str:
    if alert.gap is not None:
        return alert.gap.reason
    if not alert.defects:
        return alert.reason or "-"
    return max(alert.defects, key=lambda d: d.peak or 0.0).kind


def _score(alert: Alert) -> str:
    if alert.threshold is None:
        return "-"
    score = "?" if alert.score is None else f"{alert.score:.4g}"
    return f"{score}/{alert.threshold:.4g}"


def _where(alert: Alert) -> str:
    if alert.gap is not None:
        return _gap(alert)
    if not alert.defects:
        return "-"
    worst = max(alert.defects, key=lambda d: d.peak or 0.0)
    x0, y0, x1, y1 = worst.box_xyxy
    more = f" +{len(alert.defects) - 1} more" if len(alert.defects) > 1 else ""
    weak = " (weak)" if worst.weak_localisation else ""
    return f"x {x0:.0f}..{x1:.0f} y {y0:.0f}..{y1:.0f} px{weak}{more}"


def _gap(alert: Alert) -> str:
    gap = alert.gap
    if gap is None:
        return "-"
    if gap.first_number is None:
        return f"{gap.count} counted only"
    return f"{gap.count} parts, numbers {gap.first_number}..{gap.last_number}"
