"""The Line view in a real browser, on a running line: what an operator sees and does."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.chromium import Browser, browser
from support.shown_line import PASSWORD, ShownLine, settle_all, shown_line, triggered, waiting

from edge_app.page.views import STATIC

pytestmark = pytest.mark.needs("chromium")

TABLET_HW = (768, 1024)
OTHERS_HW = ((1024, 768), (800, 1280))
ARC_20 = 0.00582
"""Tangent of 20 minutes of arc: how high a letter must be, per distance, to be read with ease."""

CAP = 0.729
"""Height of a capital letter, per font size, of the browser's font here (DejaVu Sans)."""

MM_PER_PX = {"10 inches": 25.4 * 10 * 0.8 / 1024, "24 inches": 25.4 * 24 * 0.8716 / 1920}
"""Of screens that are 4:3 and 1024 pixels wide, 16:9 and 1920 wide."""

NOW = "document.body?.dataset.now"


def text(seen: Browser, css: str) -> str:
    return str(seen.run(f"document.querySelector('{css}').textContent"))


def cap_mm(seen: Browser, css: str, screen: str) -> float:
    """Return how high an element's capital letters are on a screen."""
    size = seen.run(f"parseFloat(getComputedStyle(document.querySelector('{css}')).fontSize)")
    return float(size) * CAP * MM_PER_PX[screen]


def bad_part_waits(line: ShownLine, seen: Browser) -> None:
    """Wait until a bad part stands there, with its picture, and its buttons may be touched."""
    line.waits_for(lambda client: waiting(client)["waiting"] > 0)
    seen.wait_for(f"{NOW} === 'NG' && document.querySelector('#settle')?.hidden === false")
    seen.wait_for(
        "document.querySelector('#evidence .evidence-svg')"
        " && !document.querySelector('#taken-out').disabled"
    )


def crop_is_shown(seen: Browser) -> None:
    """Wait for the upright crop, which may be written after the picture it is cut from."""
    seen.wait_for(
        "document.querySelector('.evidence-svg image')?.getAttribute('href').endsWith('/crop.jpg')"
    )


def log_in(seen: Browser, name: str) -> None:
    form = "document.querySelector('#login-form')"
    seen.wait_for(f"!!{form}?.offsetParent")
    seen.run(f"{form}.elements.name.value = {name!r}")
    seen.run(f"{form}.elements.password.value = {PASSWORD!r}")
    seen.tap("#login-form button")


def test_a_bad_part_stands_until_it_is_taken_out(tmp_path: Path) -> None:
    """It latches with its crop and a ring, read from 1 m; the button asks for a login and comes
    back to the part; taken out it is gone from the queue, and its verdict is NG as before."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(1.0, bad=0.25)}) as line,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        operator = line.client("operator")
        tablet.open(f"{line.url}/", TABLET_HW)
        bad_part_waits(line, tablet)
        assert text(tablet, "#word") == "TAKE OUT"
        tablet.wait_for("!!document.querySelector('.evidence-svg image')")
        assert tablet.run("document.querySelectorAll('.ring').length") >= 1
        crop_is_shown(tablet)
        tablet.wait_for("document.querySelector('#sentence').textContent.includes('length')")
        assert "% of the limit" in text(tablet, "#sentence")
        assert cap_mm(tablet, "#word", "10 inches") >= 1000 * ARC_20
        for button in ("#taken-out", "#is-good"):
            assert tablet.run(f"document.querySelector('{button}').offsetHeight") >= 44
        tablet.tap("#taken-out")
        log_in(tablet, "operator-1")
        tablet.wait_for(f"location.pathname === '/' && {NOW} === 'NG'")
        tablet.wait_for("document.querySelector('#who').textContent === 'operator-1, operator'")
        first = line.waits_for(lambda client: waiting(client)["parts"])[0]
        tablet.tap("#taken-out")
        said = tablet.wait_for("document.querySelector('#settled').textContent")
        assert said.endswith(": taken out.")
        found = operator.get(f"/api/v1/parts/{first['id']}").json()
        assert found["take_out"]["outcome"] == "taken_out"
        assert found["take_out"]["settled_by"] == "operator-1"
        assert found["state"] == "NG"
        bad_part_waits(line, tablet)
        tablet.tap("#is-good")
        tablet.wait_for(
            "document.querySelector('#settled').textContent.includes('The verdict stays NG')"
        )

        def is_marked() -> bool:  # where the machine is slow that part has left the strip by now
            settle_all(operator)
            return bool(tablet.run("!!document.querySelector('#strip li[data-settled]')"))

        wait_until(is_marked, 60)


MOVED = """
window.moved = { frames: 0, places: new Set(), live: [] };
(function look() {
  const stage = document.querySelector('#settle');
  if (stage && !stage.hidden) {
    moved.frames += 1;
    for (const id of ['taken-out', 'is-good']) {
      const button = document.getElementById(id), box = button.getBoundingClientRect();
      const [x, y, w, h] = [box.x, box.y + scrollY, box.width, box.height];
      const place = [x, y, w, h].map((side) => Math.round(64 * side) / 64).join(' ');
      if (moved[id] !== undefined && moved[id] !== place && !button.disabled)
        moved.live.push(`${id}: ${moved[id]} -> ${place}`);
      moved[id] = place;
      moved.places.add(`${id}: ${place}`);
    }
  }
  requestAnimationFrame(look);
})();
"""


SLOW_SIDECARS = """
const answered = fetch;
window.fetch = async (at, more) => {
  if (String(at).endsWith('/sidecar')) await new Promise((done) => setTimeout(done, 1000));
  return answered(at, more);
};
"""
"""As on a slow device: the rest after a new part is over before its picture comes."""


@pytest.mark.parametrize(
    "size_hw",
    [TABLET_HW, (844, 390), *(pytest.param(s, marks=pytest.mark.slow) for s in OTHERS_HW)],
)
def test_a_button_never_moves_under_a_finger(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    """Pictures come late, sentences grow, more bad parts wait, the broker goes: where the two
    buttons are changes only while they do nothing, and not at all once a picture was there."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(2.0, bad=0.4)}) as line,
        browser("chromium", tmp_path / "profile") as seen,
    ):
        operator = line.client("operator")
        seen.open(f"{line.url}/", size_hw)
        seen.wait_for("!!document.querySelector('#settle')")
        seen.run(SLOW_SIDECARS)
        seen.run(MOVED)
        bad_part_waits(line, seen)
        crop_is_shown(seen)
        seen.run("moved.places.clear()")
        line.waits_for(lambda client: waiting(client)["waiting"] > 2)
        seen.wait_for("document.querySelector('#others').dataset.idle === 'false'")
        assert seen.run("moved.places.size") <= 2
        line.say(broker="connecting: refused", is_broker_good=False)
        time.sleep(1.5)
        line.say()
        for _ in range(2):
            settle_all(operator)
            bad_part_waits(line, seen)
            crop_is_shown(seen)
        assert seen.run("moved.frames") > 20
        assert seen.run("moved.live.join(', ')") == ""


def test_a_part_that_somebody_else_settled_gives_its_place_with_a_rest(tmp_path: Path) -> None:
    """A touch that was meant for the part that stood there settles not the one behind it."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(2.0, bad=0.5)}) as line,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        operator = line.client("operator")
        tablet.open(f"{line.url}/", TABLET_HW)
        line.waits_for(lambda client: waiting(client)["waiting"] > 1)
        bad_part_waits(line, tablet)
        first = tablet.run("document.querySelector('#evidence').dataset.part")
        tablet.run(
            "window.seen = []; const which = document.querySelector('#which');"
            "new MutationObserver(() => seen.push("
            "[which.textContent, document.querySelector('#taken-out').disabled]))"
            ".observe(which, {childList: true, characterData: true, subtree: true})"
        )
        part = next(p for p in waiting(operator)["parts"] if str(p["id"]) == first)
        body = {"part_id": part["part_id"], "outcome": "taken_out"}
        assert operator.post(f"/api/v1/take-out/{first}", json=body).status_code == 200
        tablet.wait_for("seen.length > 0")
        assert tablet.run("seen[0][1]") is True
        bad_part_waits(line, tablet)


def test_a_button_says_when_the_device_does_not_answer(tmp_path: Path) -> None:
    """No login is asked for that could not come up: nothing was changed, and that is said."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(2.0, bad=0.5)}) as line,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        tablet.open(f"{line.url}/?lang=en", TABLET_HW)
        bad_part_waits(line, tablet)
        tablet.run(
            "const answered = fetch; window.fetch = (at, more) => String(at).endsWith('/me')"
            " ? Promise.reject(new TypeError('gone')) : answered(at, more)"
        )
        tablet.tap("#taken-out")
        said = "document.querySelector('#settled').textContent"
        assert tablet.wait_for(said) == "The device does not answer. Nothing was changed."
        assert tablet.run("location.pathname") == "/"


def test_on_a_belt_bad_parts_are_a_list_with_ages(tmp_path: Path) -> None:
    """bad_parts = "list": nothing is asked to be taken out; each row has its age."""
    with (
        shown_line(
            tmp_path / "line", {"belt": triggered(1.0, bad=0.4)}, page={"bad_parts": "list"}
        ) as line,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        tablet.open(f"{line.url}/", TABLET_HW)
        line.waits_for(lambda client: waiting(client)["waiting"] > 1)
        tablet.wait_for("document.querySelectorAll('#queue-list li').length > 1")
        assert " ago" in text(tablet, "#queue-list li time")
        assert tablet.run("document.querySelector('#settle').hidden")
        assert text(tablet, "#word") != "TAKE OUT"


def test_four_cameras_one_never_came_up_and_the_device_goes_away(tmp_path: Path) -> None:
    """Every configured camera is there; the one that never came is named, with what to do, and no
    Errno is; nothing is green once the device does not answer; the words are Korean if asked."""
    cameras = {f"c{n}": triggered(0.3, n, 0.0) for n in range(3)}
    cameras["exit"] = "rtsp://127.0.0.1:9/stream"
    with (
        shown_line(tmp_path / "line", cameras, mqtt={"host": "127.0.0.1", "port": 1}) as line,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        tablet.open(f"{line.url}/?lang=en", TABLET_HW)
        tablet.wait_for("document.querySelectorAll('.camera').length === 4")
        tablet.wait_for(f"{NOW} === 'BLIND'")
        tablet.wait_for("document.querySelector('#which')?.textContent.startsWith('Camera exit')")
        assert text(tablet, "#word") == "1 of 4 cameras not inspecting"
        # first it is waited for; that it never comes is known once its first opening has failed
        tablet.wait_for(
            "document.querySelector('#todo').textContent.includes('Check parts by hand')"
        )
        tablet.wait_for("document.querySelector('#notes').textContent.includes('Broker')")
        assert "Errno" not in tablet.run("document.body.innerText")
        assert tablet.run("document.documentElement.scrollWidth <= innerWidth")
        tablet.run("location.href = '/?lang=ko'")
        tablet.wait_for(
            "document.documentElement?.lang === 'ko'"
            " && document.querySelector('#word')?.textContent.includes('카메라')"
        )
        line.live.stop()
        tablet.wait_for("document.body.classList.contains('is-lost')")
        assert text(tablet, "#word") == "연결 끊김"
        assert tablet.run("document.querySelector('#stage').dataset.verdict") == "BLIND"


def test_a_wall_screen_shows_verdict_and_count_alone(tmp_path: Path) -> None:
    """No button, no picture; verdict and counts are read from 3 m."""
    with (
        shown_line(tmp_path / "line", {"belt": triggered(1.0, bad=0.0)}) as line,
        browser("chromium", tmp_path / "profile") as wall,
    ):
        wall.open(f"{line.url}/?wall=1", (1080, 1920))
        wall.wait_for(f"{NOW} === 'OK'")
        wall.wait_for("document.querySelector('#count-parts').textContent !== '–'")
        shown = "[...document.querySelectorAll('button, .camera')].filter(e => e.offsetParent)"
        assert wall.run(f"{shown}.length") == 0
        for css in ("#word", "#count-parts", "#count-ng"):
            assert cap_mm(wall, css, "24 inches") >= 3000 * ARC_20, css
        assert wall.run("document.documentElement.scrollHeight <= innerHeight")


def test_the_page_needs_no_other_place() -> None:
    """No file of it names an address: it works where there is no internet."""
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        found = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in found, path
        assert "https://" not in found, path


def test_everybody_settles_at_once_and_one_counts(tmp_path: Path) -> None:
    """Two operators take the same part: the second is told who was faster."""
    with shown_line(tmp_path / "line", {"belt": triggered(1.0, bad=0.4)}) as line:
        anna, eva = line.client("operator"), line.client("engineer")
        part = line.waits_for(lambda client: waiting(client)["parts"])[0]
        body = {"part_id": part["part_id"], "outcome": "taken_out"}
        assert anna.post(f"/api/v1/take-out/{part['id']}", json=body).status_code == 200
        late = eva.post(f"/api/v1/take-out/{part['id']}", json={**body, "outcome": "good"})
        assert "taken out by operator-1" in late.text
        time.sleep(0.5)
        settle_all(anna)


def test_counts_are_of_the_plants_own_shift(tmp_path: Path) -> None:
    """A shift that began some minutes ago, at no full hour, has all parts of this line; those of
    the hour before it began are none of its."""
    begin = datetime.now() - timedelta(minutes=2)
    starts = [f"{begin:%H:%M}", f"{begin + timedelta(hours=12):%H:%M}"]
    with (
        shown_line(tmp_path / "line", {"belt": triggered(2.0)}, page={"shifts": starts}) as line,
        browser("chromium", tmp_path / "profile") as desk,
    ):
        line.waits_for(lambda client: client.get("/api/v1/counts").json().get("counts"))
        desk.open(f"{line.url}/", TABLET_HW)
        desk.wait_for(
            f"document.querySelector('#since')?.textContent === 'This shift, since {starts[0]}'"
        )
        assert int(text(desk, "#count-parts")) > 0
