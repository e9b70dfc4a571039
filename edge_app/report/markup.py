"""Pieces of the report's HTML: everything that is shown is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from edge_app.report.period import Period


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Return a table, its last columns numbers."""
    first = len(heads) - numbers
    kinds = ["", "", *[" class=say"] * (first - 2)][:first] + [" class=n"] * numbers
    top = "".join(f"<th{k}>{escaped(head)}</th>" for k, head in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{k}>{escaped(cell)}</td>" for k, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<div class=wide><table><thead><tr>{top}</tr></thead>{body}</table></div>"


def section(title: str, inner: str, note: str = "") -> str:
    said = paragraph("note", note) if note else ""
    return f"<section><h2>{escaped(title)}</h2>{said}{inner}</section>"


def paragraph(kind: str, text: str) -> str:
    return f'<p class="{kind}">{escaped(text)}</p>'


def clock(text: str, period: Period) -> str:
    """Return a time of the history in the period's zone; what is no time stays as it is."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    return f"{moment.astimezone(period.begin.tzinfo):%m-%d\N{NO-BREAK SPACE}%H:%M:%S}"


def percent(share: float) -> str:
    value = 100 * share
    return f"{value:.3f} %" if 0 < value < 0.1 else f"{value:.2f} %"


def escaped(text: Any) -> str:
    return escape(str(text))
