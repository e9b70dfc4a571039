"""A walk through the page with Playwright, on a desk, a tablet and a phone, on one running line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.needs import require

require("Playwright")

from page_walker import chromium, fits, picture, touch, until, window
from playwright.sync_api import Browser, Page, expect
from support.shown_line import PASSWORD, ShownLine, shown_line, triggered, waiting
from view_browser import SIZES_WH

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]

ALARMS = 30
MINUTE_S = 60.0
TABLETS = 8


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownLine]:
    """A line with a bad part every few seconds."""
    with shown_line(tmp_path_factory.mktemp("walk"), {"belt": triggered(1.0, 44, 0.4)}) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def engineer(line: ShownLine) -> httpx.Client:
    return line.client("engineer", "eva")


def judged(line: ShownLine) -> int:
    """Return how many parts were judged."""
    with httpx.Client(base_url=line.url, timeout=20, trust_env=False) as client:
        (belt,) = client.get("/api/state").json()["cameras"]
    return int(belt["figures"]["parts"])


def pair(page: Page, code: str) -> None:
    """Let a screen in by a code; the browser reads without a login afterwards."""
    page.goto("/login")
    touch(page.locator("#pair-part > summary"))
    page.locator("#pair-form [name=code]").fill(code)
    touch(page.locator("#pair-form button"))
    page.wait_for_url("**/")


def log_in(page: Page, name: str) -> None:
    touch(page.locator("#who"))
    page.locator("#login-form [name=name]").fill(name)
    page.locator("#login-form [name=password]").fill(PASSWORD)
    touch(page.locator("#login-form button"))
    expect(page.locator("#who")).to_contain_text(name)


def an_alarm_latches(page: Page, line: ShownLine) -> None:
    """It stands with its picture, also once good parts have passed; settled, the next one does."""
    expect(page.locator("#word")).to_have_text("TAKE OUT")
    expect(page.locator(".evidence-svg image")).to_be_visible()
    which = page.locator("#which").inner_text()
    before = judged(line)
    until(page, lambda: judged(line) >= before + 3)
    expect(page.locator("#which")).to_have_text(which)
    box = page.locator("#taken-out").bounding_box()
    assert box is not None
    assert box["height"] >= 44
    touch(page.locator("#taken-out"))
    expect(page.locator("#settled")).to_contain_text("taken out")
    expect(page.locator("#which")).not_to_have_text(which)


def to_view(page: Page, path: str) -> None:
    """Go by the head's menu, as a person does."""
    if page.locator("#menu-button").is_visible():
        touch(page.locator("#menu-button"))
    touch(page.locator(f"#views a[href='{path}']"))
    page.wait_for_url(f"**{path}")


def filter_and_open(page: Page) -> None:
    """Bad parts only; the first that has a picture is opened."""
    if page.locator("#filter-toggle").is_visible():
        touch(page.locator("#filter-toggle"))
    page.locator("#verdict").select_option("NG")
    page.wait_for_url("**verdict=NG**")
    page.locator("#kept").select_option("any")
    page.wait_for_url("**kept=any**")
    expect(page.locator(".card").first).to_have_attribute("data-verdict", "NG")
    assert page.locator(".card:not([data-verdict=NG])").count() == 0
    touch(page.locator(".card").first)
    expect(page.locator("#verdict-word")).to_have_text("NG")


def switch_layers(page: Page) -> None:
    expect(page.locator("#picture image").first).to_be_visible()
    expect(page.locator("#picture .defect")).not_to_have_count(0)
    touch(page.locator("#layer-outline"))
    expect(page.locator("#picture polygon")).to_have_count(0)
    touch(page.locator("#layer-outline"))
    touch(page.locator("#layer-frame"))
    expect(page.locator("#layer-frame")).to_have_attribute("aria-pressed", "true")
    touch(page.locator("#layer-map"))
    expect(page.locator("#picture .map")).to_have_count(1)


def mark(page: Page, engineer: httpx.Client) -> int:
    """Mark the part with a note, and return its id; the device has it under the person's name."""
    number = int(page.evaluate("new URLSearchParams(location.search).get('id')"))
    note = f"walked at {page.evaluate('innerWidth')}"
    page.locator("#note").fill(note)
    touch(page.locator("[data-mark=false_alarm]"))
    until(page, lambda: note in engineer.get(f"/api/v1/parts/{number}").text)
    said = engineer.get(f"/api/v1/parts/{number}").json()["decisions"][-1]
    assert (said["mark"], said["author"]) == ("false_alarm", "eva")
    return number


def print_part(page: Page, number: int) -> None:
    """On paper the ground is white, and what only works on a screen is not there."""
    page.goto(f"/part?id={number}")
    expect(page.locator("#facts")).to_contain_text("calibrated")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    for css in (".views", "button", ".marking"):
        assert not page.locator(css).first.is_visible(), css
    printed = page.pdf()
    assert printed.startswith(b"%PDF-")
    picture(page, f"print_{page.evaluate('innerWidth')}")
    page.emulate_media(media="screen")


def change_limit(page: Page, engineer: httpx.Client) -> None:
    """With a reason the limit is another one; taken back it is the old one."""
    (old,) = engineer.get("/api/v1/limits").json()["limits"]
    expect(page.locator("#apply")).to_be_disabled()
    slider = page.locator("#slider")
    expect(page.locator("#chart .bar").first).to_be_visible()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    page.locator("#why").fill("light scratches are accepted")
    touch(page.locator("#apply"))
    expect(page.locator("#outcome")).to_contain_text("Audit record")
    (new,) = engineer.get("/api/v1/limits").json()["limits"]
    assert new["score_threshold"] > old["score_threshold"]
    expect(page.locator("#judging")).to_contain_text(new["threshold_id"])
    page.locator("#why").fill("too many were missed")
    touch(page.locator("#undo"))
    until(page, lambda: engineer.get("/api/v1/limits").json()["limits"] == [old])
    record = engineer.get("/api/v1/audit?limit=1").json()["records"][0]
    assert (record["author"]["name"], record["why"]) == ("eva", "too many were missed")


@pytest.mark.parametrize("device", SIZES_WH)
def test_a_shift_on_every_device(
    device: str, line: ShownLine, browser: Browser, engineer: httpx.Client
) -> None:
    """Paired, logged in, an alarm, a part with its layers, a mark, paper, a limit and its undo."""
    made = engineer.post("/api/v1/pairing", json={"name": f"screen-{device}"})
    assert made.is_success, made.text
    with window(browser, device, line.url) as page:
        pair(page, made.json()["code"])
        log_in(page, "eva")
        an_alarm_latches(page, line)
        assert fits(page)
        to_view(page, "/parts")
        filter_and_open(page)
        switch_layers(page)
        assert fits(page)
        print_part(page, mark(page, engineer))
        to_view(page, "/limit")
        change_limit(page, engineer)
        assert fits(page)


def queue_of(page: Page) -> int:
    """Return how many bad parts the page says are waiting."""
    found: int = page.evaluate(
        "Number(document.querySelector('#when').textContent.match(/ of (\\d+) waiting/)?.[1]"
        " ?? (document.body.dataset.now === 'NG' ? 1 : 0))"
    )
    return found


def test_a_slow_tablet_misses_no_alarm(tmp_path: Path, browser: Browser) -> None:
    """Its CPU throttled six times, as of five years ago: more than thirty alarms in a minute, and
    the queue that it shows has each of them; nothing of the page's own has failed."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(1.5, 44, 0.5)}) as line,
        window(browser, "tablet", line.url) as page,
    ):
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
        page.goto("/")
        with httpx.Client(base_url=line.url, timeout=20, trust_env=False) as client:
            until(page, lambda: waiting(client)["waiting"] >= ALARMS, MINUTE_S * 2)
            _stop_parts(line)
            until(page, lambda: queue_of(page) == waiting(client)["waiting"] >= ALARMS)
            assert waiting(client)["waiting"] == bad_parts(client)


def bad_parts(client: httpx.Client) -> int:
    """Return how many bad parts the history has."""
    return len(client.get("/api/v1/parts?state=NG&limit=500").json()["parts"])


def _stop_parts(line: ShownLine) -> None:
    eva = line.client("engineer", "eva")
    body = {"minutes": 60, "why": "the alarms are counted"}
    assert eva.post("/api/v1/pause", json=body).is_success


def test_eight_tablets_show_the_same_queue(line: ShownLine, browser: Browser) -> None:
    """All eight show the bad part that waits, with its picture; a part that one takes out is gone
    on every one."""
    operator = line.client("operator")
    with window(browser, "tablet", line.url, operator) as first:
        pages = [first, *(first.context.new_page() for _ in range(TABLETS - 1))]
        for page in pages:
            page.goto(line.url + "/")
        for page in pages:
            expect(page.locator("#word")).to_have_text("TAKE OUT")
            expect(page.locator(".evidence-svg image")).to_be_visible()
        which = first.locator("#which").inner_text()
        touch(first.locator("#taken-out"))
        for page in pages:
            expect(page.locator("#which")).not_to_have_text(which)
