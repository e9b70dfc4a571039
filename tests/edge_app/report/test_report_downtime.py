"""How long nothing was inspected: pauses of the audit, what overlaps, what has no known begin."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_app.audit.log import AuditLog
from edge_app.audit.records import AuditEntry
from edge_app.audit.schema import AUDIT_FILE
from edge_app.history.entries import GapEntry
from edge_app.history.rows import RowWriter
from edge_app.history.schema import HISTORY_FILE, open_for_writing
from edge_app.report.figures import figures_of
from edge_app.report.html import report_html
from edge_app.report.interruptions import MAX_STRETCHES
from edge_app.report.period import Period
from edge_app.report.words import LANGUAGES

SHIFT = Period(
    datetime(2026, 11, 30, 6, tzinfo=timezone.utc),
    datetime(2026, 11, 30, 14, tzinfo=timezone.utc),
    "early",
)
MINUTE_NS = 60 * 10**9


def at(minute: float) -> int:
    """Return a minute of the shift, ns since the epoch."""
    return SHIFT.from_ns + round(minute * MINUTE_NS)


def written(folder: Path, gaps: list[GapEntry]) -> Path:
    """Write a history that has these gaps."""
    connection = open_for_writing(folder / HISTORY_FILE)
    connection.execute("BEGIN")
    RowWriter({"a": "main", "b": "main"}).write(connection, gaps)
    connection.execute("COMMIT")
    connection.close()
    return folder / HISTORY_FILE


def pause(event: str, minute: float, new: dict[str, object]) -> AuditEntry:
    return AuditEntry(event, "person", "eva", "engineer", new=new, why="new lamp", at_ns=at(minute))


def begun(camera: str, minute: float, until: float) -> dict[str, object]:
    return {"camera": camera, "began_ns": at(minute), "until_ns": at(until)}


def sums(path: Path, now: float = 480, camera: str | None = None) -> list[tuple[object, ...]]:
    """Return (kind, camera, times, minutes, of unknown begin, parts)."""
    found = figures_of(path, SHIFT, camera, now_ns=at(now)).interruptions.sums
    return [(o.kind, o.camera, o.times, o.length_ns / MINUTE_NS, o.unknown, o.parts) for o in found]


def test_what_overlaps_counts_once_and_is_cut_to_the_time(tmp_path: Path) -> None:
    """A stand-still from before the shift, two that overlap, one that is of another shift."""
    path = written(
        tmp_path,
        [
            GapEntry(None, "down", "restart", at(10), from_ns=at(-50)),
            GapEntry(None, "down", "restart", at(40), from_ns=at(30)),
            GapEntry(None, "down", "restart", at(45), from_ns=at(35)),
            GapEntry(None, "down", "restart", at(-100), from_ns=at(-200)),
            GapEntry("a", "gap", "overload", at(60), 7, 9, 3, at(58)),
            GapEntry("b", "gap", "overload", at(90), 1, 4, 4),
        ],
    )
    assert sums(path) == [
        ("down", "", 2, 25.0, 0, 0), ("gap", "a", 1, 2.0, 0, 3), ("gap", "b", 1, 0.0, 1, 4),
    ]  # fmt: skip
    assert sums(path, camera="a") == [("down", "", 2, 25.0, 0, 0), ("gap", "a", 1, 2.0, 0, 3)]
    assert figures_of(path, SHIFT).interruptions.lost == 7


def test_pauses_come_from_the_audit_and_count_once(tmp_path: Path) -> None:
    """Ended early, by itself, prolonged, and running now; one stands in the history as well."""
    path = written(tmp_path, [GapEntry("a", "down", "paused", at(40), from_ns=at(20))])
    log = AuditLog(tmp_path / AUDIT_FILE)
    log.start()
    for entry in (
        pause("pause", 20, {"pauses": [begun("a", 20, 50), begun("b", 20, 50)]}),
        pause("resumed", 40, {"cameras": ["a"]}),
        pause("pause", 45, {"pauses": [begun("b", 20, 75)]}),
        pause("pause_ended", 75, {"cameras": ["b"]}),
        pause("pause", 100, {"pauses": [begun("a", 100, 200)]}),
        pause("pause", 101, {"pauses": "odd"}),
    ):
        log.record(entry)
    log.close()
    assert sums(path, now=130) == [("paused", "a", 2, 50.0, 0, 0), ("paused", "b", 1, 55.0, 0, 0)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_says_how_long(tmp_path: Path, language: str) -> None:
    """Hours and minutes, the share of the shift, and a pause is not called a stand-still."""
    words = LANGUAGES[language]
    gaps = [
        GapEntry(None, "down", "restart", at(120), from_ns=at(0)),
        GapEntry("a", "down", "paused", at(240), from_ns=at(200)),
    ]
    path = written(tmp_path, gaps)
    page = report_html(figures_of(path, SHIFT), SHIFT, "d", SHIFT.end, language)
    text = re.sub(r"<[^>]*>", " ", page)
    assert words["length_h"].format(h=2, min="00") in text
    assert words["length_min"].format(min=40) in text
    assert "25.00 %" in text
    assert text.count(words["paused"]) == 2
    assert text.count(words["down"]) == 2


def test_many_gaps_are_all_in_the_sum(tmp_path: Path) -> None:
    """Those of a long time ago too, however many came since; the list says what it leaves out."""
    gaps = [GapEntry("a", "gap", "overload", at(1), n, n, 1, at(0)) for n in range(600)]
    later = [GapEntry("a", "gap", "overload", at(900), n, n, 1, at(899)) for n in range(700, 1300)]
    path = written(tmp_path, gaps + later)
    found = figures_of(path, SHIFT).interruptions
    assert (found.lost, found.count, len(found.listed)) == (600, 600, MAX_STRETCHES)
    assert "500 more" in report_html(figures_of(path, SHIFT), SHIFT, "d", SHIFT.end)


def test_a_time_without_interruptions_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    page = report_html(figures_of(path, SHIFT), SHIFT, "d", SHIFT.end)
    assert LANGUAGES["en"]["no_downtime"] in page
    assert LANGUAGES["en"]["no_interruptions"] in page
