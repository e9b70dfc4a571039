"""A touch is for what stood under the finger: where the page moves meanwhile it does nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import httpx
import pytest
from support.chromium import Browser, browser
from support.shown_line import ShownLine, shown_line, triggered
from view_browser import open_view, size

pytestmark = pytest.mark.needs("chromium")

MOST = 4
PUSH_PX = 150
RESTED_S = 1.0

CONTROLS = """
[...document.querySelectorAll('main :is(a[href], button, summary)')]
  .filter((e) => e.checkVisibility() && !e.disabled).map((e) => e.getBoundingClientRect())
  .filter((box) => box.height > 0 && box.y > 0 && box.bottom + PUSH < innerHeight)
  .map((box) => ({ x: box.x + box.width / 2, y: box.y + box.height / 2 + PUSH }))
"""
"""Where the controls of a view are once all has gone down."""

LISTENS = """
window.taken = null;
document.addEventListener('click', (event) => {
  window.taken = event.target.closest('a[href], button, summary')?.outerHTML.slice(0, 300) ?? null;
  event.preventDefault();
  event.stopPropagation();
}, { capture: true });
"""
"""Remembers what would take a touch; nothing comes of it."""

PUSHED = f"""
(() => {{
  window.taken = null;
  const box = Object.assign(document.createElement('div'), {{ id: 'pushes' }});
  box.style.cssText = 'height: {PUSH_PX}px; flex-shrink: 0';
  document.querySelector('main').before(box);
}})()
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownLine]:
    with shown_line(tmp_path_factory.mktemp("line"), {"belt": triggered(1.0, bad=0.0)}) as running:
        yield running


@pytest.fixture(scope="module")
def engineer(line: ShownLine) -> httpx.Client:
    return line.client("engineer")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser("chromium", tmp_path_factory.mktemp("browser") / "profile") as seen:
        yield seen


def touch(view: Browser, point: dict[str, float]) -> str | None:
    """Touch a place; return what took it."""
    view.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
    view.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    time.sleep(0.3)
    taken: str | None = view.run("window.taken")
    return taken


@pytest.mark.parametrize("path", ["/", "/parts", "/users", "/login"])
def test_what_came_under_the_finger_takes_no_touch(
    line: ShownLine, engineer: httpx.Client, view: Browser, path: str
) -> None:
    """All goes down, and with it a control to where the finger is about to touch.
    A second later the same touch counts."""
    open_view(view, line, path, engineer)
    size(view, "phone")
    time.sleep(2 * RESTED_S)
    view.run(LISTENS)
    points = view.run(CONTROLS.replace("PUSH", str(PUSH_PX)))
    assert points
    for point in points[:: math.ceil(len(points) / MOST)]:
        view.run(PUSHED)
        assert touch(view, point) is None
        time.sleep(RESTED_S)
        assert touch(view, point) is not None
        view.run("document.querySelector('#pushes').remove()")
        time.sleep(RESTED_S)
