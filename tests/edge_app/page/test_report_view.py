"""The report in a browser: chosen, shown as it is printed, and passed on by its address."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from people_pages import PeoplePage, people_page
from support.chromium import Browser, browser
from support.history_parts import CRACK, START_NS, verdict
from view_browser import fits, open_url, seen, size, text

from edge_app.audit.log import AuditLog
from edge_app.audit.schema import AUDIT_FILE
from edge_app.history.entries import GapEntry, PartEntry
from edge_app.history.rows import RowWriter
from edge_app.history.schema import open_for_writing
from edge_app.page.api.catalogue import Place
from edge_app.page.views import VIEWS
from edge_app.report.period import zone_of
from edge_app.shifts import Shifts

pytestmark = pytest.mark.needs("chromium")

HOUR_NS = 3600 * 10**9
START = datetime.fromtimestamp(START_NS // 10**9, zone_of(None)).replace(hour=0, minute=0, second=0)
DAY = f"{START:%Y-%m-%d}"
SHEET = "document.querySelector('#sheet').contentDocument"
IS_SHOWN = f"!document.querySelector('#sheet').hidden && !!{SHEET}?.querySelector('h1')"


def fill(page: PeoplePage) -> None:
    """Record a day of two cameras: 960 parts, stops, a pause, an overload."""
    begin_ns = round(START.timestamp()) * 10**9
    entries: list[PartEntry | GapEntry] = []
    kinds = ("scratch", "scratch", "scratch", "dent", "crack")
    for number in range(960):
        name = "NG" if number % 41 == 7 else "NOT_INSPECTED" if number % 160 == 11 else "OK"
        score = {"NG": 3.1, "NOT_INSPECTED": None, "OK": 0.6 + (number % 17) / 20}[name]
        part = verdict(number, name, score, camera=("belt-1", "belt-2")[number % 2])
        defects = (replace(CRACK, kind=kinds[number % 5]),) if name == "NG" else ()
        entries.append(
            PartEntry(
                replace(
                    part,
                    captured_at_ns=begin_ns + 6 * HOUR_NS + number * 60 * 10**9,
                    reason="overload" if name == "NOT_INSPECTED" else "",
                    defects=defects,
                )
            )
        )
    at = begin_ns + 9 * HOUR_NS
    entries += [
        GapEntry("belt-1", "gap", "overload", at, 1200, 1211, 12, at - 40 * 10**9),
        GapEntry(None, "down", "restart", at + HOUR_NS, from_ns=at + HOUR_NS // 3),
        GapEntry("belt-2", "down", "paused", at + 3 * HOUR_NS, from_ns=at + 2 * HOUR_NS),
    ]
    connection = open_for_writing(page.history)
    connection.execute("BEGIN")
    RowWriter({"belt-1": "main", "belt-2": "main"}).write(connection, entries)
    connection.execute("COMMIT")
    connection.close()
    log = AuditLog(page.history.with_name(AUDIT_FILE))
    log.start()
    log.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeoplePage]:
    folder = tmp_path_factory.mktemp("report") / "page"
    with people_page(folder, place=Place("graz", "line-1", "press-17")) as served:
        fill(served)
        served.shows_a_part()
        yield served


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser("chromium", tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def sheet(view: Browser) -> str:
    """Return what the report says."""
    found: str = view.run(f"{SHEET}.documentElement.textContent")
    return found


def choose(view: Browser, **fields: str) -> None:
    for name, value in fields.items():
        view.run(
            f"(f => {{ f.value = {json.dumps(value)}; f.dispatchEvent(new Event('change')); }})"
            f"(document.querySelector('#{name.replace('_', '-')}'))"
        )


def made(view: Browser) -> None:
    """Ask for the report and wait for it."""
    view.run("document.querySelector('#sheet').contentDocument?.documentElement?.remove()")
    view.run("document.querySelector('#make').click()")
    view.wait_for("!document.querySelector('#make').disabled")
    view.wait_for(IS_SHOWN)


def test_a_day_is_shown_as_it_is_printed(page: PeoplePage, view: Browser) -> None:
    """Styled, whole in its height, without a fault on every size; what is printed is the sheet."""
    open_url(view, f"{page.url}/report?day={DAY}")
    view.wait_for(IS_SHOWN)
    view.wait_for(f"innerHeight < {SHEET}.documentElement.getBoundingClientRect().height")
    words = sheet(view)
    assert "955 parts inspected" in words
    assert "graz/line-1/press-17" in words
    assert "Downtime" in words
    assert "1 h 00 min" in words
    assert view.run(f"getComputedStyle({SHEET}.querySelector('.tiles')).display") == "grid"
    assert view.run(
        "document.querySelector('#sheet').clientHeight >="
        f" {SHEET}.documentElement.getBoundingClientRect().height"
    ), "the page scrolls, not a window in it"
    assert view.run(f"{SHEET}.documentElement.scrollWidth <= document.body.clientWidth")
    view.run("document.querySelector('#sheet').contentWindow.print = () => { window.printed = 1; }")
    view.run("document.querySelector('#print').click()")
    assert view.run("window.printed") == 1
    name = view.run("document.querySelector('#save').download")
    assert name == f"report_{DAY}.html"
    seen(view, "report")


def test_shift_week_and_camera_are_chosen_and_stand_in_the_address(
    page: PeoplePage, view: Browser
) -> None:
    """The week of a day is the ISO week; an address that is passed on shows the same."""
    open_url(view, f"{page.url}/report")
    view.wait_for("document.querySelectorAll('#camera option').length === 3")
    assert not view.run("document.querySelector('#hint').hidden")
    choose(view, kind="shift", day=DAY, shift="06:00-14:00", camera="belt-2")
    made(view)
    assert f"{DAY} 06:00-14:00" in sheet(view)
    assert "of them suspect" in sheet(view)
    assert "belt-2" in sheet(view)
    assert view.run("location.search") == f"?day={DAY}&shift=06%3A00-14%3A00&camera=belt-2"
    year, week, _ = START.isocalendar()
    choose(view, kind="week", week_day=DAY, camera="")
    made(view)
    assert f"{year}-W{week:02d}" in sheet(view)
    open_url(view, page.url + view.run("location.pathname + location.search"))
    view.wait_for(IS_SHOWN)
    assert f"{year}-W{week:02d}" in sheet(view)
    assert view.run("document.querySelector('#kind').value") == "week"
    assert view.run("faults") == []


def test_the_plants_shifts_are_offered(tmp_path: Path, page: PeoplePage, view: Browser) -> None:
    """As `[page] shifts` has them; an address of before they were changed shows its own hours."""
    with people_page(tmp_path / "other", shifts=Shifts.of(["06:30", "18:30"])) as other:
        fill(other)
        open_url(view, f"{other.url}/report?day={DAY}&shift=06:00-14:00")
        view.wait_for(IS_SHOWN)
        options = view.run("[...document.querySelectorAll('#shift option')].map(o => o.text)")
        assert options == ["06:30 – 18:30", "18:30 – 06:30", "06:00 – 14:00"]
        assert view.run("document.querySelector('#shift').value") == "06:00-14:00"
        choose(view, shift="06:30-18:30")
        made(view)
        assert f"{DAY} 06:30-18:30" in sheet(view)
        assert view.run("faults") == []


def test_weeks_are_those_of_the_calendar(page: PeoplePage, view: Browser) -> None:
    """At the turn of years: the same as Python's for each day, asked for by the page itself."""
    open_url(view, f"{page.url}/report")
    view.wait_for("document.querySelectorAll('#camera option').length === 3")
    for day in ("2026-12-31", "2027-01-01", "2027-01-03", "2027-01-04", "2024-12-30", "2020-12-31"):
        year, week, _ = datetime.fromisoformat(day).isocalendar()
        choose(view, kind="week", week_day=day)
        made(view)
        assert f"week={year}-W{week:02d}" in view.run("location.search")
        assert f"{year}-W{week:02d}" in sheet(view)


def test_it_follows_the_pages_language(page: PeoplePage, view: Browser) -> None:
    open_url(view, f"{page.url}/report?day={DAY}&lang=ko")
    view.wait_for(IS_SHOWN)
    assert "검사 보고서" in sheet(view)
    assert text(view, "#print") == "인쇄"
    assert view.run(f"{SHEET}.documentElement.lang") == "ko"
    seen(view, "report_ko")


def test_what_the_device_refuses_is_told_in_its_words(page: PeoplePage, view: Browser) -> None:
    """The report that was there stays."""
    open_url(view, f"{page.url}/report?day={DAY}")
    view.wait_for(IS_SHOWN)
    moved = page.history.rename(page.history.with_suffix(".away"))
    try:
        view.run("document.querySelector('#make').click()")
        view.wait_for("document.querySelector('#trouble').dataset.level === 'bad'")
        assert "has not recorded any part" in text(view, "#trouble")
        assert "955 parts" in sheet(view)
    finally:
        moved.rename(page.history)


def test_scripts_in_a_report_do_not_run(page: PeoplePage, view: Browser) -> None:
    """Even if one came into it: the frame has none, and the policy forbids it twice."""
    open_url(view, f"{page.url}/report?day={DAY}")
    view.wait_for(IS_SHOWN)
    view.run(
        "document.querySelector('#sheet').srcdoc = '<script>parent.ran = 1</scr' +"
        ' \'ipt><img src=x onerror="parent.ran = 2"><p id=end style="color:red">end</p>\''
    )
    view.wait_for(f"!!{SHEET}?.querySelector('#end')")
    assert view.run("window.ran") is None
    assert view.run(f"getComputedStyle({SHEET}.querySelector('#end')).color") == "rgb(0, 0, 0)"


def test_the_printed_report_is_a4_and_complete(page: PeoplePage, view: Browser) -> None:
    """Printed alone, as the button does: more than one page, none of them the page's own head."""
    open_url(view, f"{page.url}/report?day={DAY}")
    view.wait_for(IS_SHOWN)
    held = view.run(f"{SHEET}.documentElement.outerHTML")
    view.call("Page.setDocumentContent", frameId=_frame(view), html=held)
    data = base64.b64decode(view.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert data.startswith(b"%PDF")
    assert data.count(b"/MediaBox [0 0 594") + data.count(b"/MediaBox [0 0 595") >= 2


def _frame(view: Browser) -> str:
    found: str = view.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
    return found


@pytest.mark.parametrize("width", [1280, 1366, 1440, 1600, 1920])
def test_the_head_stays_in_one_row(page: PeoplePage, view: Browser, width: int) -> None:
    """Device, product, state, every way and the login beside each other, in both languages."""
    for lang in ("en", "ko"):
        open_url(view, f"{page.url}/report?lang={lang}")
        view.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        view.wait_for(f"document.querySelectorAll('#views a').length === {_in_head()}")
        view.run(
            "document.querySelector('#place').textContent = 'line-1 · press-17';"
            "document.querySelector('#product').textContent = 'demo-tapered';"
            "document.querySelector('#state-chip .text').textContent = 'Not inspecting';"
            "document.querySelector('#who').textContent = 'eva.engineer, engineer'"
        )
        assert fits(view)
        height = view.run("document.querySelector('#top').getBoundingClientRect().height")
        assert height < 80, f"{lang}: the head has {height} px"
    size(view, "desktop")


def _in_head() -> int:
    return sum(one.is_in_head for one in VIEWS)
