"""A touch is for what stood under the finger: another control that lies there now takes none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from support.chromium import Browser, browser
from support.shown_line import ShownLine, shown_line, triggered
from view_browser import open_view, press, size

pytestmark = pytest.mark.needs("chromium")

LOOKED_S = 0.8
"""Longer than a control must have stood."""

SOON_MS = 250
"""A touch later than this after the move is none of a person who aimed before it."""

TWO = """
(() => {
  document.querySelector('#two')?.remove();
  document.querySelector('main').style.display = 'none';
  const made = (tag, id, css) => {
    const element = Object.assign(document.createElement(tag), { id });
    element.style.cssText = css;
    return element;
  };
  const box = made('div', 'two', 'position: fixed; inset: 100px 0 0; overflow: auto');
  const place = (element, top) => {
    element.style.cssText = `position: absolute; left: 60px; width: 200px; height: 60px;
      top: ${top}px`;
    return element;
  };
  const button = (name) => Object.assign(document.createElement('button'), { textContent: name });
  const [other, one, third] = ['other', 'one', 'third'].map((name, i) =>
    place(button(name), 150 * (i + 1)));
  window.two = { box, place, button, other, one, third };
  window.taken = [];
  box.addEventListener('click', ({ target }) => taken.push(target.textContent));
  document.addEventListener('pointerdown', () => { two.touchedMs = performance.now(); });
  box.append(other, one, third, made('div', 'space', 'height: 1500px'));
  document.body.append(box);
})()
"""
"""Three buttons in place of the view, and what was touched."""

ON_ONE = {"x": 160, "y": 430}
BELOW_ALL = {"x": 160, "y": 730}

MOVES = {
    "another came there": ("two.place(two.one, 600); two.place(two.other, 300)", []),
    "another came over it": ("two.place(two.other, 300); two.box.append(two.other)", []),
    "it went, another came": ("two.one.remove(); two.place(two.other, 300)", []),
    "drawn anew for another row": (
        "two.one.remove(); two.box.dataset.name = 'row 2';"
        "two.box.append(two.place(two.button('one'), 300))",
        [],
    ),
    "it moved a little": ("two.place(two.one, 308)", ["one"]),
    "drawn anew": ("two.one.replaceWith(two.place(two.button('one'), 300))", ["one"]),
    "scrolled": ("two.box.scrollTop = 150", ["third"]),
}
"""What happens at the moment of a touch on `one`, and what takes it."""


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


def touched(view: Browser, move: str, point: dict[str, int], meanwhile: str = "") -> list[str]:
    """Return what takes a touch in the moment after a move; a machine that was too slow for such a
    moment tries again.

    Args:
        meanwhile: happens between finger down and finger up.
    """
    for _ in range(20):
        view.run(TWO)
        time.sleep(LOOKED_S)
        view.run(f"(() => {{ {move}; two.movedMs = performance.now(); }})()")
        view.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        if meanwhile:
            view.run(f"(() => {{ {meanwhile} }})()")
        view.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        time.sleep(0.2)
        if view.run(f"two.touchedMs - two.movedMs < {SOON_MS}"):
            taken: list[str] = view.run("taken")
            return taken
    pytest.fail("this machine is too slow to touch within a quarter of a second")


@pytest.fixture
def page(line: ShownLine, engineer: httpx.Client, view: Browser) -> Browser:
    open_view(view, line, "/users", engineer)
    size(view, "phone")
    return view


@pytest.mark.parametrize("move", MOVES)
def test_a_touch_in_the_moment_of_a_move(page: Browser, move: str) -> None:
    """What came to where something else was takes no touch; what was there does."""
    script, expected = MOVES[move]
    assert touched(page, script, ON_ONE) == expected


def test_what_came_to_where_nothing_was_can_be_touched(page: Browser) -> None:
    """Nobody aimed at anything else there."""
    assert touched(page, "two.place(two.one, 600)", BELOW_ALL) == ["one"]


def test_a_list_that_is_drawn_anew_under_the_finger_takes_the_touch(page: Browser) -> None:
    """Between finger down and finger up the button gives way to one of the same name."""
    anew = "two.one.replaceWith(two.place(two.button('one'), 300))"
    assert touched(page, "", ON_ONE, meanwhile=anew) == ["one"]


def test_a_touch_that_was_refused_opens_nothing_for_the_next(page: Browser) -> None:
    """Somebody who taps twice is refused twice; half a second later the touch counts."""
    move, _ = MOVES["another came there"]
    assert touched(page, move, ON_ONE) == []
    if page.run(f"performance.now() - two.movedMs < {SOON_MS}"):
        page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[ON_ONE])
        page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        assert page.run(f"two.touchedMs - two.movedMs > {SOON_MS} || taken.length === 0")
    time.sleep(LOOKED_S)
    page.tap("#two button:first-of-type")
    assert page.run("taken").count("other") == 1


def test_a_key_counts_at_once(page: Browser) -> None:
    """Who has a button in focus has not aimed at a place."""
    page.run(TWO)
    time.sleep(LOOKED_S)
    page.run("two.other.focus(), two.place(two.one, 600), two.place(two.other, 300), true")
    press(page, " ")
    page.wait_for("taken.includes('other')")


@pytest.mark.parametrize(
    "path", ["/", "/parts", "/limit", "/health", "/report", "/users", "/login"]
)
def test_every_view_has_it(
    line: ShownLine, engineer: httpx.Client, view: Browser, path: str
) -> None:
    """What came under the finger is refused on each."""
    open_view(view, line, path, engineer)
    size(view, "phone")
    move, _ = MOVES["another came there"]
    assert touched(view, move, ON_ONE) == []
    time.sleep(LOOKED_S)
    view.tap("#two button:first-of-type")
    assert "other" in view.run("taken")
