"""A report's figures, words and times; and the command that writes it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.app_config import edge_app, write_config
from support.history_parts import CRACK, START_NS, verdict
from support.review_rig import ReviewRig, author

from edge_app.audit.records import AuditEntry
from edge_app.errors import ConfigError
from edge_app.history.entries import GapEntry, PartEntry
from edge_app.history.rows import RowWriter
from edge_app.history.schema import HISTORY_FILE, open_for_writing
from edge_app.report.figures import Counts, figures_of, interval_of, wilson
from edge_app.report.html import report_html
from edge_app.report.period import between, day_of, moment, shift_of, week_of, zone_of
from edge_app.report.words import LANGUAGES, REASONS

VIENNA = ZoneInfo("Europe/Vienna")
DAY = datetime.fromtimestamp(START_NS // 10**9, timezone.utc).date()
HOUR_NS = 3600 * 10**9
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 parts over five hours of DAY (UTC): 10 bad, 5 not inspected, 4 suspect; and a gap."""
    folder = tmp_path_factory.mktemp("report")
    noon_ns = round(datetime(DAY.year, DAY.month, DAY.day, 6, tzinfo=timezone.utc).timestamp())
    entries: list[PartEntry | GapEntry] = []
    for number in range(300):
        is_bad, is_lost = number % 30 == 7, number % 60 == 11
        name = "NG" if is_bad else "NOT_INSPECTED" if is_lost else "OK"
        part = verdict(number, name, None if is_lost else 5.0 if is_bad else 1.2)
        part = replace(
            part,
            captured_at_ns=noon_ns * 10**9 + number * 60 * 10**9,
            reason="overload" if is_lost else "",
            is_suspect=number in (0, 1, 2, 3),
            defects=(replace(CRACK, kind=EVIL),) if number == 7 else part.defects,
        )
        entries.append(PartEntry(part))
    at = (noon_ns + 9000) * 10**9
    entries.append(GapEntry("c", "gap", "overload", at, 900, 902, 3, at - 10**9))
    entries.append(GapEntry(None, "down", "restart", at, from_ns=at - 60 * 10**9))
    connection = open_for_writing(folder / HISTORY_FILE)
    connection.execute("BEGIN")
    RowWriter({"c": "main"}).write(connection, entries)
    connection.execute("COMMIT")
    connection.close()
    return folder


def test_the_figures_of_a_day(state: Path) -> None:
    """Every part is counted once, each hour is there, and so is why parts have no verdict."""
    found = figures_of(state / HISTORY_FILE, day_of(DAY, timezone.utc))
    assert found.total == Counts(ok=285, suspect=4, ng=10, not_inspected=5)
    assert len(found.slices) == 24
    assert sum((count for _, count in found.slices), Counts()) == found.total
    assert [at.hour for at, count in found.slices if count.parts] == [6, 7, 8, 9, 10]
    assert dict(found.reasons) == {"overload": 5}
    assert dict(found.classes) == {"crack": 9, EVIL: 1}
    assert [gap["kind"] for gap in found.interruptions.listed] == ["down", "gap"]
    sums = [(o.kind, o.camera, o.times, o.length_ns, o.parts) for o in found.interruptions.sums]
    assert sums == [("down", "", 1, 60 * 10**9, 0), ("gap", "c", 1, 10**9, 3)]
    assert [j.parts for j in found.judges] == [300]
    assert len(found.listed) == 10
    assert found.has_all_parts


def test_a_shift_counts_its_own_hours_only(state: Path) -> None:
    period = shift_of(DAY, "07:00-09:00", timezone.utc)
    found = figures_of(state / HISTORY_FILE, period)
    assert found.total.parts == 120
    assert found.before.parts == 60
    assert figures_of(state / HISTORY_FILE, period, "nobody").total.parts == 0


def test_a_week_has_seven_days(state: Path) -> None:
    year, week, _ = DAY.isocalendar()
    period = week_of(f"{year}-W{week}", VIENNA)
    found = figures_of(state / HISTORY_FILE, period)
    assert (len(found.slices), found.total.parts) == (7, 300)


def test_days_on_which_the_clock_changes() -> None:
    """23 and 25 hours; a report of such a day has so many slices."""
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        period = day_of(day, VIENNA)
        assert (period.to_ns - period.from_ns) / HOUR_NS == hours
    assert shift_of(date(2026, 11, 30), "22:00-06:00", VIENNA).end.day == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_says_all_and_runs_nothing(state: Path, language: str) -> None:
    """No script, nothing fetched, what others named is text, and no key is left unfilled."""
    period = day_of(DAY, VIENNA)
    found = figures_of(state / HISTORY_FILE, period)
    page = report_html(found, period, "a/b/<c>", datetime.now(VIENNA), language)
    assert EVIL not in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(", page)
    assert not re.search(r"\{[a-z_]+\}", page)
    assert "3.39 %" in page
    assert "&lt;c&gt;" in page


def test_the_lead_says_whether_it_has_changed(state: Path) -> None:
    period = day_of(DAY, timezone.utc)
    found = figures_of(state / HISTORY_FILE, period)
    words = LANGUAGES["en"]
    for ok, ng, key in ((2000, 4, "higher"), (100, 60, "lower"), (285, 9, "same")):
        page = report_html(replace(found, before=Counts(ok=ok, ng=ng)), period, "d", period.end)
        assert words[key] in page
    assert "Nothing was inspected in the 24 hours before" in report_html(
        replace(found, before=Counts()), period, "d", period.end
    )


def test_nothing_recorded_is_said(state: Path) -> None:
    period = day_of(DAY - timedelta(days=30), VIENNA)
    found = figures_of(state / HISTORY_FILE, period)
    page = report_html(found, period, "d", period.end)
    assert "No part was inspected in this time." in page


def test_every_language_has_every_word() -> None:
    """With the same places to fill in."""
    english = LANGUAGES["en"]
    for words in LANGUAGES.values():
        assert words.keys() == english.keys()
        for key, text in words.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key]))
    assert REASONS["en"].keys() == REASONS["ko"].keys()


def test_many_parts_have_the_same_interval_by_either_formula() -> None:
    exact, quick = Counts(ok=58_000, ng=2_000).interval, wilson(2_000, 60_000)
    assert exact == pytest.approx(quick, rel=0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: week_of("2026-W60", VIENNA), "a week such as 2026-W48"),
        (lambda: week_of("last", VIENNA), "a week such as 2026-W48"),
        (lambda: shift_of(DAY, "6-14", VIENNA), "a shift such as"),
        (lambda: shift_of(DAY, "25:00-06:00", VIENNA), "a shift such as"),
        (lambda: zone_of("Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (lambda: zone_of("../../etc/passwd"), "no time zone"),
        (lambda: moment("soon", VIENNA), "a date or time such as"),
        (lambda: moment("9999-12-31T23:59+00:00", VIENNA), "between 1970 and 2200"),
        (lambda: day_of(date.max, VIENNA), "between 1970 and 2200"),
        (lambda: day_of(date.min, VIENNA), "between 1970 and 2200"),
        (lambda: shift_of(date.max, "22:00-06:00", VIENNA), "between 1970 and 2200"),
        (
            lambda: between(moment("2026-11-30", VIENNA), moment("2026-11-29", VIENNA)),
            "before it begins",
        ),
        (
            lambda: between(moment("2024-11-30", VIENNA), moment("2026-11-29", VIENNA)),
            "370 days at most, got 729",
        ),
    ],
)
def test_times_that_are_none_are_said(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()  # type: ignore[operator]


def test_the_command(state: Path, tmp_path: Path) -> None:
    """It writes the file and a line; a name that is no place for a file is left alone."""
    config = write_config(tmp_path, "sim:round", 1)
    shutil.copytree(state, tmp_path / "state")
    out = tmp_path / "day.html"
    given = ["history", "report", "--config", str(config), "--day", f"{DAY}", "--zone", "UTC"]
    done = edge_app(*given, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "295 parts inspected, 10 bad, 5 not inspected" in done.stdout
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    for wrong, says in (
        (["--out", tmp_path], "is a folder"),
        (["--out", out, "--camera", "nobody"], "no camera is called"),
        (["--out", out, "--to", "2026-11-30"], "--to goes with --from"),
    ):
        refused = edge_app(*given, *map(str, wrong))
        assert refused.returncode == 2
        assert says in refused.stderr
    assert len(list(tmp_path.glob(".*.part"))) == 0


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with ten bad parts of DAY, of which people said something, and an audit."""
    folder = tmp_path_factory.mktemp("reviewed")
    rig = ReviewRig(folder)
    rig.judge([verdict(number, "NG", 3.0) for number in range(1, 11)])
    anna, ben = author("<anna>"), author("ben", "engineer")
    for number in (1, 2, 3):
        rig.give("mark", number, anna, mark="right")
    rig.give("settle", 4, anna, outcome="good")
    rig.give("mark", 5, anna, mark="right")
    rig.give("mark", 5, ben, mark="false_alarm")
    rig.give("settle", 1, ben, outcome="taken_out")
    at = START_NS + 60 * 10**9
    for event, old, new, at_ns in (
        ("limit", 2.0, 2.5, at), ("limit_undone", 2.5, 2.0, at), ("limit", 1.0, 9.0, at - 10**15),
    ):  # fmt: skip
        rig.audit.record(
            AuditEntry(
                event, "person", "eva", "engineer", "main",
                {"score_threshold": old}, {"score_threshold": new}, "a <new> lamp", at_ns=at_ns,
            )
        )  # fmt: skip
    rig.close()
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_says_what_people_said_and_changed(reviewed: Path, language: str) -> None:
    """Marks, the share of false alarms with its interval, pseudonyms, limits, the audit's head."""
    period = day_of(DAY, timezone.utc)
    found = figures_of(reviewed / HISTORY_FILE, period)
    low, high = interval_of(1, 4)
    page = report_html(found, period, "d", period.end, language)
    text = re.sub(r"<[^>]*>", " ", page)
    for figure in ("25.00 %", f"{100 * low:.2f} %", f"{100 * high:.2f} %"):
        assert figure in text
    assert found.audit.head in page
    assert found.audit.head.endswith(":11"), "one that began it, seven orders, three changes"
    assert len(found.audit.changes) == 2, "one is of another time"
    assert "2 → 2.5" in page
    assert "2.5 → 2 (" in page
    assert "a &lt;new&gt; lamp" in page
    assert "anna" not in page
    assert len(re.findall("reviewer-[0-9a-f]{6}", page)) == 2
    assert found.reviews.disputed == 1
    assert found.reviews.waiting == 8


def test_a_report_names_people_where_that_is_switched_on(reviewed: Path) -> None:
    period = day_of(DAY, timezone.utc)
    page = report_html(
        figures_of(reviewed / HISTORY_FILE, period, shows_names=True), period, "d", period.end
    )
    assert "&lt;anna&gt;" in page
    assert "reviewer-" not in page


def test_a_report_without_reviews_or_audit_says_so(state: Path) -> None:
    period = day_of(DAY, timezone.utc)
    page = report_html(figures_of(state / HISTORY_FILE, period), period, "d", period.end)
    for words in ("no_reviews", "no_limit_changes", "no_audit"):
        assert LANGUAGES["en"][words] in page


def test_a_damaged_audit_is_said_and_the_report_made(reviewed: Path, tmp_path: Path) -> None:
    shutil.copytree(reviewed, tmp_path / "state")
    (tmp_path / "state" / "audit.sqlite").write_bytes(b"no database" * 1000)
    period = day_of(DAY, timezone.utc)
    found = figures_of(tmp_path / "state" / HISTORY_FILE, period)
    assert "cannot be read" in report_html(found, period, "d", period.end)
