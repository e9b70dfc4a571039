"""What keeps a login alive: what somebody does, not what an open page asks by itself."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from people_pages import people_page
from support.chromium import browser
from support.shown_line import shown_line, triggered

from edge_app.accounts.sessions import IDLE_S
from edge_app.page.views import STATIC, WAY_IN

LINE_VIEW_ASKS = ("/api/state", "/api/v1/take-out", "/api/v1/counts", "/api/v1/shifts")
LINE_VIEW_SHOWS = ("/frame/belt-1.jpg", "/stream/belt-1.mjpeg", "/evidence/a.jpg",
                   "/api/v1/parts/1/crop.jpg", "/api/v1/parts/1/map.png",
                   "/api/v1/parts/1/thumbnail.jpg")  # fmt: skip


@pytest.mark.parametrize(
    ("path", "idle", "keeps_alive"),
    [(path, idle, True) for path in LINE_VIEW_ASKS for idle in (None, "0", "59")]
    + [(path, idle, False) for path in LINE_VIEW_ASKS for idle in ("60", "999999999")]
    + [("/api/state", idle, False) for idle in ("", "-1", "nan", "5.0", "1" * 400, "\u00b2")]
    + [(path, None, False) for path in LINE_VIEW_SHOWS],
)
def test_what_keeps_a_login_alive(
    path: str, idle: str | None, keeps_alive: bool, tmp_path: Path
) -> None:
    """A request that no touch preceded does not, whatever it asks for, nor does a picture."""
    with people_page(tmp_path) as page:
        anna = page.person("operator", "anna")
        page.clock.now_s += IDLE_S * 0.75
        headers = {} if idle is None else {b"X-Idle-S": idle.encode()}
        with anna.stream("GET", path, headers=headers):
            pass
        page.clock.now_s += IDLE_S / 2
        assert (anna.get("/api/v1/me").json()["kind"] == "person") is keeps_alive


def test_every_script_says_how_long_nobody_has_touched_the_page() -> None:
    """Only lib/ask.js calls fetch()."""
    scripts = [file for file in STATIC.rglob("*.js") if re.search(r"\bfetch\(", file.read_text())]
    assert [file.relative_to(STATIC).as_posix() for file in scripts] == ["lib/ask.js"]


@pytest.mark.parametrize("address", [path for path in WAY_IN if path.endswith(".js")])
def test_who_is_not_logged_in_yet_gets_all_scripts_of_the_login(address: str) -> None:
    """What a public script imports is public too: without one of them no script runs at all."""
    text = (STATIC / WAY_IN[address]).read_text(encoding="utf-8")
    imported = [urljoin(address, found) for found in re.findall(r'from "(\..+?)"', text)]
    assert set(imported) <= set(WAY_IN)


RECORDED = """
window.idle = [];
const asked = window.fetch;
window.fetch = (address, options) => {
  idle.push(options?.headers?.['X-Idle-S']);
  return asked(address, options);
};
"""


@pytest.mark.needs("chromium")
def test_an_open_line_view_says_that_nobody_is_there(tmp_path: Path) -> None:
    """What it asks by itself has the seconds since the last touch, and a key begins them anew."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(2.0)}) as line,
        browser("chromium", tmp_path / "profile") as seen,
    ):
        seen.open(f"{line.url}/", (768, 1024))
        seen.wait_for("!!document.querySelector('#settle')")
        seen.run(RECORDED)
        seen.wait_for("window.idle.some((s) => Number(s) >= 2)")
        seen.run("dispatchEvent(new KeyboardEvent('keydown', { key: 'a' })); window.idle = []")
        seen.wait_for("window.idle.length > 2")
        assert seen.run("window.idle[0]") == "0"
        assert seen.run("window.idle.every((s) => /^[0-9]+$/.test(s))")
