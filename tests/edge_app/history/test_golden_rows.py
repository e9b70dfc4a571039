"""Golden parts in the history and the report: rows that say so, and are in no figure."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.history_parts import START_NS, alarm, verdict

from edge_app.history.entries import Entry, GoldenEntry, PartEntry
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.review_rows import delete_reviews_to
from edge_app.history.rows import RowWriter, close_open_parts
from edge_app.history.schema import HISTORY_FILE, open_for_writing
from edge_app.mqtt.messages import alert_from_event
from edge_app.mqtt.topics import DeviceName
from edge_app.records import GoldenCheck, VerdictState
from edge_app.report.figures import Counts, figures_of
from edge_app.report.html import report_html
from edge_app.report.period import day_of
from edge_app.report.words import LANGUAGES
from edge_app.runtime.waiting_alarms import alarm_of

DAY = datetime.fromtimestamp(START_NS / 1e9, timezone.utc).date()
GOLDEN = replace(verdict(3, "NG", 9.0), golden="scratch-7")
CHECK = GoldenCheck(
    "scratch-7", "c", "missed", START_NS, START_NS - 10**9, "c-3", VerdictState.OK, 1.0
)
NOT_SHOWN = replace(CHECK, outcome="not_shown", part_id="", state=None, score=None)


def write(folder: Path, *entries: Entry) -> Path:
    path = folder / HISTORY_FILE
    with closing(open_for_writing(path)) as connection:
        connection.execute("BEGIN")
        RowWriter({"c": "main"}).write(connection, entries)
        connection.execute("COMMIT")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """One good, one bad and one golden part, and two checks, one of them told twice."""
    parts = (PartEntry(verdict(1)), PartEntry(verdict(2, "NG", 3.0)), PartEntry(GOLDEN))
    checks = (GoldenEntry(CHECK, "a"), GoldenEntry(CHECK, "a"), GoldenEntry(NOT_SHOWN, "b"))
    return write(tmp_path, *parts, *checks)


def test_the_report_counts_no_golden_part_and_lists_its_checks(path: Path) -> None:
    """Not among counts, classes, scores, models' parts or bad parts, in each language."""
    period = day_of(DAY, timezone.utc)
    found = figures_of(path, period)
    assert found.total == Counts(ok=1, ng=1)
    assert dict(found.classes) == {"crack": 1}
    assert sum(n for _, n in found.histogram) == sum(j.parts for j in found.judges) == 2
    assert [part["part_id"] for part in found.listed] == ["c-2"]
    assert found.has_all_parts
    assert sorted(check["outcome"] for check in found.golden) == ["missed", "not_shown"]
    for language, words in LANGUAGES.items():
        html = report_html(found, period, "a/b/c", datetime.now(timezone.utc), language)
        assert words["golden_checks"] in html
        assert words["golden_not_shown"] in html
        assert words["golden_missed"] in html
    without = report_html(
        replace(found, golden=()), period, "a/b/c", datetime.now(timezone.utc), "en"
    )
    assert LANGUAGES["en"]["golden_checks"] not in without


def test_a_golden_part_that_a_kill_left_open_stays_one(tmp_path: Path) -> None:
    """Its alarm has its row, the process ends, the next one makes it final: it is not counted."""
    path = write(tmp_path, PartEntry(GOLDEN, "alarm-1", is_final=False))
    with closing(open_for_writing(path)) as connection:
        assert close_open_parts(connection, START_NS) == 1
        assert connection.execute("SELECT count(*) FROM hours").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM take_out").fetchone() == (0,)
    (part,) = HistoryReader(path).parts(PartFilter())
    assert (part["golden"], part["is_final"]) == ("scratch-7", True)


def test_a_waiting_alert_knows_the_golden_part() -> None:
    """What the next start takes in from the outbox is marked as it was; a check's alarm is none."""
    who, uuid = DeviceName("a", "b", "c"), "01890a5d-ac96-774b-bcce-b302099a8057"
    told = alert_from_event(alarm(GOLDEN), who, message_id=uuid, clock_synchronised=True)
    entry = alarm_of(told.model_dump_json())
    assert entry is not None
    assert entry.verdict.golden == "scratch-7"
    event = replace(alarm(GOLDEN), golden=CHECK)
    told = alert_from_event(event, who, message_id=uuid, clock_synchronised=True)
    assert told.golden_check is not None
    assert alarm_of(told.model_dump_json()) is None


def test_an_older_file_has_none(path: Path) -> None:
    """Read before anything has opened it for writing; afterwards it takes golden parts."""
    with closing(sqlite3.connect(path)) as connection:
        for table in ("golden_parts", "golden_checks"):
            connection.execute(f"DROP TABLE {table}")
        connection.commit()
    reader = HistoryReader(path)
    assert {part["golden"] for part in reader.parts(PartFilter())} == {None}
    assert reader.golden_checks(0, 2**62) == []
    assert reader.parts(PartFilter(golden=True)) == []
    write(path.parent, GoldenEntry(CHECK, "c"))
    assert [check["name"] for check in reader.golden_checks(0, 2**62)] == ["scratch-7"]


def test_checks_outlive_their_parts(path: Path) -> None:
    """The retention takes the mark with its row; what became of the golden part stays."""
    with closing(open_for_writing(path)) as connection:
        delete_reviews_to(connection, 3)
        assert connection.execute("SELECT count(*) FROM golden_parts").fetchone() == (0,)
    assert len(HistoryReader(path).golden_checks(0, 2**62)) == 2
