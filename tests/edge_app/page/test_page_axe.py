"""Every view of the page under axe-core, at the sizes of a desk, a tablet and a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from support.needs import require

require("Playwright")

from axe_playwright_python.sync_playwright import Axe
from page_walker import (
    agent_with_products,
    chromium,
    fits,
    misplaced,
    picture,
    touch,
    until,
    window,
)
from playwright.sync_api import Browser, Page
from support.shown_line import ShownLine, shown_line, triggered, waiting
from view_browser import SIZES_WH

from edge_app.page.changeover import Changeover

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]

CAMERAS = {
    "entry": triggered(1.5, 44, 0.5),
    "left": triggered(0.3, 45, 0.0),
    "right": triggered(0.3, 46, 0.0),
    "exit": "rtsp://127.0.0.1:9/stream",
}
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
"""axe-core's rules of WCAG 2.2, A and AA, targets' size too, and what it recommends beside them."""


@dataclass(frozen=True)
class Seen:
    """A view as one person sees it.

    Attributes:
        role: who looks; "": nobody who is logged in.
        shown: a JavaScript expression that is true once everything stands there.
        is_calm: on the line that has good parts only.
        open: what is opened before.
    """

    path: str
    shown: str
    role: str = ""
    is_calm: bool = False
    open: Callable[[Page], None] | None = None


def has(css: str) -> str:
    return f"!!document.querySelector('{css}')?.checkVisibility()"


def open_details(css: str) -> Callable[[Page], None]:
    def open(page: Page) -> None:
        if page.locator(f"{css}:not([open])").count():
            touch(page.locator(f"{css} > summary"))

    return open


def open_menu(page: Page) -> None:
    if page.locator("#menu-button[aria-expanded=false]").is_visible():
        touch(page.locator("#menu-button"))


def fill_filter(page: Page) -> None:
    if page.locator("#filter-toggle[aria-expanded=false]").is_visible():
        touch(page.locator("#filter-toggle"))
    page.locator("#time").select_option("own")


def lose_contact(page: Page) -> None:
    page.route("**/api/state", lambda route: route.abort())
    page.locator("body.is-lost").wait_for()


def pair(page: Page) -> None:
    page.locator("#pair [name=name]").fill("wall-screen")
    touch(page.locator("#pair button"))
    page.locator("#outcome[data-level=bad]").wait_for()  # a tablet cannot open a loopback address


NOW = "document.body.dataset.now === '{}'"
DRAWN = has("#chart .bar")
PART = has("#picture image")
VIEWS: dict[str, Seen] = {
    "login": Seen("/login", has("#login-form")),
    "login_code": Seen("/login", has("#login-form"), open=open_details("#code-part")),
    "login_known": Seen("/login", has("#known"), "operator", open=open_details("#known details")),
    "rest": Seen("/", NOW.format("OK"), is_calm=True),
    "rest_operator": Seen("/", NOW.format("OK"), "operator", is_calm=True, open=open_menu),
    "take_out": Seen("/", has("#settle") + " && " + has(".evidence-svg")),
    "take_out_operator": Seen("/", has("#settle") + " && " + has(".evidence-svg"), "operator"),
    "take_out_alerts": Seen("/", has("#settle"), open=open_details("#alerts-panel")),
    "take_out_korean": Seen("/?lang=ko", has("#settle") + " && " + has(".evidence-svg")),
    "wall": Seen("/?wall=1", NOW.format("OK"), is_calm=True),
    "wall_take_out": Seen("/?wall=1", NOW.format("NG")),
    "lost": Seen("/", has("#settle") + " && " + has(".strip li"), open=lose_contact),
    "lost_wall": Seen("/?wall=1", NOW.format("NG"), open=lose_contact),
    "changeover": Seen("/", has("#changeover"), "operator", open=open_details("#changeover")),
    "parts": Seen("/parts", has(".card img:not([hidden])"), "operator"),
    "parts_filter": Seen("/parts", has(".card"), "operator", open=fill_filter),
    "part_viewer": Seen("/part?id={bad}", PART),
    "part": Seen("/part?id={bad}", PART + " && " + has("#marking"), "operator"),
    "limit_viewer": Seen("/limit", DRAWN, "viewer"),
    "limit": Seen("/limit", DRAWN + " && " + has("#apply"), "engineer"),
    "health": Seen("/health", has(".subject")),
    "users": Seen("/users", has("#users .row"), "engineer"),
    "users_refused": Seen("/users", has("#users .row"), "engineer", open=pair),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, ShownLine]]:
    """Four cameras with bad parts that wait, one of them never up; and one with good parts only."""
    folder = tmp_path_factory.mktemp("axe")
    with ExitStack() as stack:
        stack.enter_context(agent_with_products(folder / "agent.sock"))
        change = Changeover(folder / "agent.sock")
        bad = stack.enter_context(shown_line(folder / "bad", CAMERAS, changeover=change))
        calm = stack.enter_context(shown_line(folder / "calm", {"belt": triggered(1.0, 47, 0.0)}))
        bad.waits_for(lambda client: waiting(client)["waiting"] >= 4)
        yield {False: bad, True: calm}


@pytest.fixture(scope="module")
def people(lines: dict[bool, ShownLine]) -> dict[tuple[bool, str], httpx.Client]:
    return {
        (is_calm, role): line.client(role)
        for is_calm, line in lines.items()
        for role in ("viewer", "operator", "engineer")
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def findings(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical: rule, element, and why."""
    found = Axe().run(page, options=RULES).response
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if (node["impact"] or rule["impact"]) in ("serious", "critical")
    ]


def bad_part(line: ShownLine) -> int:
    query = "/api/v1/parts?state=NG&kept_for=any&limit=1"
    return int(line.waits_for(lambda client: client.get(query).json()["parts"])[0]["id"])


@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing_serious(
    name: str,
    lines: dict[bool, ShownLine],
    people: dict[tuple[bool, str], httpx.Client],
    browser: Browser,
) -> None:
    """Neither serious nor critical at any size; nothing is too wide, covered or cut."""
    view = VIEWS[name]
    line = lines[view.is_calm]
    client = people[view.is_calm, view.role] if view.role else None
    with window(browser, "desktop", line.url, client) as page:
        page.goto(line.url + view.path.format(bad=bad_part(line) if "{bad}" in view.path else ""))
        until(page, lambda: page.evaluate(view.shown))
        for device, (width, height) in SIZES_WH.items():
            page.set_viewport_size({"width": width, "height": height})
            if view.open:
                view.open(page)
            picture(page, f"{name}_{device}")
            has_lost = view.open is lose_contact
            page.locator("body.is-lost" if has_lost else "body:not(.is-lost)").wait_for()
            assert findings(page) == [], device
            assert fits(page), device
            assert misplaced(page, device) == [], device


def test_axe_would_find_something(lines: dict[bool, ShownLine], browser: Browser) -> None:
    """A button without a name, and grey on grey, are found on this very page."""
    with window(browser, "desktop", lines[True].url) as page:
        page.goto(lines[True].url + "/health")
        until(page, lambda: page.evaluate(has(".subject")))
        page.evaluate(
            "document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>');"
            "document.querySelector('.headline').style.color = '#333a44'"
        )
        rules = {finding.partition(" ")[0] for finding in findings(page)}
        assert {"button-name", "color-contrast"} <= rules
