"""The report over real HTTP: which time, whose parts, and what it may do in a browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from people_pages import PeoplePage, at_once, people_page
from support.history_parts import START_NS

from edge_app.page.api import report
from edge_app.page.security_headers import allowing_style
from edge_app.report.figures import figures_of
from edge_app.report.html import STYLE
from edge_app.report.period import day_of, zone_of

ZONE = zone_of(None)
DAY = datetime.fromtimestamp(START_NS // 10**9 + 3, ZONE).date()
ADDRESS = "/api/v1/report"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PeoplePage]:
    with people_page(tmp_path / "page") as served:
        served.remembers(25)
        yield served


def test_a_day_is_answered_as_html(page: PeoplePage) -> None:
    """25 parts, one of them bad; the zone stands in it, in the language that is asked for."""
    answer = page.client().get(ADDRESS, params={"day": f"{DAY}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = re.sub(r"<[^>]*>", " ", answer.text)
    assert "25 parts inspected, 1 bad" in text
    assert f"times in {day_of(DAY, ZONE).begin:%Z %z}" in text
    assert "Downtime" in text
    korean = page.client().get(ADDRESS, params={"day": f"{DAY}", "language": "ko"})
    assert "정지 시간" in korean.text


def test_shift_week_and_span_are_those_of_the_device(page: PeoplePage) -> None:
    """The same parts by each of them; a shift without the parts has none."""
    start = datetime.fromtimestamp(START_NS // 10**9, ZONE)
    year, week, _ = DAY.isocalendar()
    begin, end = start.hour, start.hour + 1
    for asked in (
        {"week": f"{year}-W{week:02d}"},
        {"day": f"{DAY}", "shift": f"{begin:02d}:00-{end % 24:02d}:00"},
        {"from": f"{DAY}", "to": f"{DAY}T23:59"},
        {"from": start.astimezone(timezone.utc).isoformat(), "camera": "c",
         "to": datetime.fromtimestamp(START_NS // 10**9 + 60, timezone.utc).isoformat()},
    ):  # fmt: skip
        answer = page.client().get(ADDRESS, params=asked)
        assert answer.status_code == 200, answer.text
        assert "25 parts inspected" in answer.text, asked
    other = {"day": f"{DAY}", "shift": f"{(begin + 2) % 24:02d}:00-{(begin + 3) % 24:02d}:00"}
    assert "No part was inspected" in page.client().get(ADDRESS, params=other).text


def test_without_a_time_it_is_of_yesterday(page: PeoplePage) -> None:
    answer = page.client().get(ADDRESS)
    assert answer.status_code == 200
    assert "No part was inspected" in answer.text


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"day": "soon"}, "A day such as"), ({"day": "9999-12-31"}, "between 1970 and 2200"),
        ({"week": "2026-W60"}, "a week such as"), ({"week": "2026-W48", "shift": "06:00-14:00"},
        "A shift is of a day"), ({"day": "2026-11-30", "week": "2026-W48"}, "one of day, week"),
        ({"to": "2026-11-30"}, "To goes with from"), ({"day": "2026-11-30", "shift": "6"},
        "a shift such as"), ({"from": "2026-01-01", "to": "2026-02-02"}, "31 days at most"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "before it begins"),
        ({"from": "x" * 41}, "from"), ({"language": "tlh"}, "language"), ({"zone": "UTC"}, "zone"),
        ({"from": "2026-01-01T00:00+99:00"}, "a date or time"), ({"day": ""}, "day"),
    ],
)  # fmt: skip
def test_a_wrong_time_is_told_what_is_wrong(
    page: PeoplePage, asked: dict[str, str], says: str
) -> None:
    """400 in a sentence."""
    answer = page.client().get(ADDRESS, params=asked)
    assert answer.status_code == 400, answer.text
    assert says.lower() in answer.json()["detail"].lower()


def test_thirty_one_days_are_answered(page: PeoplePage) -> None:
    asked = {"from": "2026-10-01", "to": "2026-11-01"}
    assert page.client().get(ADDRESS, params=asked).status_code == 200


def test_a_camera_that_is_not_recorded_is_said(page: PeoplePage) -> None:
    answer = page.client().get(ADDRESS, params={"day": f"{DAY}", "camera": "<x>"})
    assert (answer.status_code, "those of: c" in answer.json()["detail"]) == (404, True)


def test_without_a_history_it_is_said(tmp_path: Path) -> None:
    """503 in words."""
    with people_page(tmp_path / "page") as served:
        answer = served.client().get(ADDRESS)
        assert answer.status_code == 503
        assert "has not recorded any part" in answer.json()["detail"]


def test_it_runs_nothing_and_has_one_style(page: PeoplePage) -> None:
    """Its policy knows the style by its hash; the view, in which it is shown, knows the same."""
    answer = page.client().get(ADDRESS, params={"day": f"{DAY}"})
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style == STYLE
    assert "style=" not in answer.text
    policy = answer.headers["content-security-policy"]
    (source,) = re.findall(r"'sha256-[^']+'", policy)
    assert policy == (
        f"default-src 'none'; style-src {source}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
    assert answer.headers["cache-control"] == "no-store"
    view = page.client().get("/report").headers["content-security-policy"]
    assert view == allowing_style(STYLE)["Content-Security-Policy"]
    assert f"style-src 'self' {source};" in view
    assert "script-src 'self';" in view
    assert source not in page.client().get("/").headers["content-security-policy"]


def test_one_is_made_at_a_time_one_waits_and_others_are_told(
    page: PeoplePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with when to come back; the page answers everything else meanwhile."""
    is_open = threading.Event()
    most, now = [0], [0]
    made = figures_of

    def slow(*args: object, **more: object) -> object:
        now[0] += 1
        most[0] = max(most[0], now[0])
        is_open.wait(20)
        now[0] -= 1
        return made(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(report, "figures_of", slow)
    clients = [page.client() for _ in range(5)]
    found: list[int] = []

    def ask(number: int) -> None:
        answer = clients[number].get(ADDRESS)
        found.append(answer.status_code)
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            assert "Try again shortly" in answer.json()["detail"]
        if len(found) == 3:
            assert page.client().get("/api/v1/counts").status_code == 200
            is_open.set()

    at_once(5, ask)
    assert found == [503, 503, 503, 200, 200]
    assert most == [1]


def test_who_marked_parts_is_not_named(page: PeoplePage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks: a report is printed and handed on."""
    asked: list[object] = []
    made = figures_of

    def noted(*args: object, **more: object) -> object:
        asked.append(more.get("shows_names", args[3] if len(args) > 3 else False))
        return made(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(report, "figures_of", noted)
    for client in (page.client(), page.engineer()):
        assert client.get(ADDRESS).status_code == 200
    assert asked == [False, False]
