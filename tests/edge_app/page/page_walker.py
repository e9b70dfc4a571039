"""Debian's Chromium driven by Playwright: a window per device, in which a person is logged in.

With EDGE_APP_SCREENSHOTS=FOLDER `picture` writes what is seen there, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from view_browser import LISTENS, SIZES_WH

from edge_app.agent.install.socket_server import PeerServer, Respond
from edge_app.ipc.protocol import Answer, Hello, PeerMessage, Release, SlotEntry

WAIT_MS = 30_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium until the end of the block."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@contextmanager
def window(
    browser: Browser, device: str, url: str, client: httpx.Client | None = None
) -> Iterator[Page]:
    """Open an empty window of a device; it has the login of a client and no other.

    At the end of the block no script of a page in it has failed, and none was forbidden.
    """
    context = _context(browser, device, url)
    for name, value in dict(client.cookies).items() if client else ():
        context.add_cookies([{"name": name, "value": value, "url": url}])
    page = context.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    assert [*failed, *page.evaluate("window.faults ?? []")] == []
    context.close()


def _context(browser: Browser, device: str, url: str) -> BrowserContext:
    width, height = SIZES_WH[device]
    is_touched = device != "desktop"
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        has_touch=is_touched,
        is_mobile=is_touched,
        locale="en-GB",
    )
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(LISTENS)
    return context


def touch(there: Locator) -> None:
    """Click, once more where another control had just been there: it refuses for a moment."""
    resting = there.page.locator(".is-resting")
    for _ in range(5):
        there.click()
        if resting.count() == 0:
            return
        expect(resting).to_have_count(0)
    raise AssertionError(f"{there} refuses every touch")


def fits(page: Page) -> bool:
    """Tell whether nothing is wider than the window."""
    found: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return found


LAYOUT = """(isPhone) => {
  const box = (e) => e.getBoundingClientRect();
  const shown = (css) => [...document.querySelectorAll(css)].filter((e) => e.checkVisibility());
  const found = [];
  const middles = shown('.top > *').map((e) => box(e).y + box(e).height / 2);
  if (!isPhone && Math.max(...middles) - Math.min(...middles) > 10) found.push('head has two rows');
  const fields = shown('.fields input, .fields select, .fields button, .settle button');
  fields.forEach((e, n) => fields.slice(n + 1).forEach((o) => {
    const [a, b] = [box(e), box(o)];
    const isBeside = a.right <= b.left || b.right <= a.left;
    const isApart = isBeside || a.bottom <= b.top || b.bottom <= a.top;
    if (!isApart) found.push(`${e.name || e.id} covers ${o.name || o.id}`);
  }));
  const isOutside = (e) => box(e).left < 0 || box(e).right > innerWidth;
  found.push(...shown('.top *').filter(isOutside).map((e) => `${e.tagName} is outside`));
  const stage = document.querySelector('#stage');
  if (!isPhone && stage) {
    const cut = shown('.settle button').filter((e) => box(e).bottom > box(stage).bottom - 4);
    found.push(...cut.map((e) => `${e.id} is cut`));
  }
  return found;
}"""
"""What is wrong with where things stand; [] where nothing is."""


def misplaced(page: Page, device: str) -> list[str]:
    """Return what is in a second row of the head, covers another field, or is cut."""
    found: list[str] = page.evaluate(LAYOUT, device == "phone")
    return found


def picture(page: Page, name: str) -> None:
    """Save what is seen, if that is wanted."""
    folder = os.environ.get("EDGE_APP_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(300)
        page.screenshot(path=Path(folder) / f"{name}.png")


class InstalledDesk:
    """An agent that has two products installed and changes nothing."""

    def commanded(self, command: PeerMessage, respond: Respond) -> None:
        alpha = Release(sha256="a" * 64, product="alpha", serial=3)
        beta = Release(sha256="b" * 64, product="beta", serial=1)
        slot = SlotEntry(slot="main", active=alpha, previous=None, installed=(alpha, beta))
        respond(Answer(is_ok=True, text="", slots=(slot,)))

    def inspection_came(self, hello: Hello) -> None: ...

    def inspection_said(self, news: PeerMessage) -> None: ...

    def inspection_gone(self, is_planned: bool) -> None: ...


@contextmanager
def agent_with_products(socket: Path) -> Iterator[None]:
    """Let an agent answer at a socket until the end of the block."""
    server = PeerServer(socket, InstalledDesk())
    server.start()
    try:
        yield
    finally:
        server.stop()


def until(page: Page, done: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait, and let the page's events come meanwhile."""
    for _ in range(int(timeout_s / 0.2)):
        if done():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"not within {timeout_s} s")
