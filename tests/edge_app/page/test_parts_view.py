"""Parts in a real browser: filtered, opened, shown in layers, marked; on a real line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
from support.chromium import Browser, browser
from support.shown_line import ShownLine, shown_line, triggered
from view_browser import draw_ring, open_view, press, seen, size, text

pytestmark = pytest.mark.needs("chromium")

CARD = "document.querySelector('.card')"
SHOWN = "!!document.querySelector('#picture image')"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownLine]:
    """A line that has had at least 12 bad parts, each with its picture, and is paused."""
    folder = tmp_path_factory.mktemp("parts")
    with shown_line(folder, {"belt": triggered(rate=3, bad=0.5)}) as running:
        running.waits_for(lambda client: len(bad_parts(client, 30)) >= 12)
        body = {"minutes": 60, "why": "the tests look at what was inspected"}
        with closing(running.client("engineer")) as engineer:
            assert engineer.post("/api/v1/pause", json=body).status_code == 200
        yield running


@pytest.fixture(scope="module")
def people(line: ShownLine) -> Iterator[dict[str, httpx.Client]]:
    clients = {role: line.client(role) for role in ("viewer", "operator")} | {
        "engineer": line.client("engineer", "eva")
    }
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser("chromium", tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def bad_parts(client: httpx.Client, count: int = 1) -> list[dict[str, Any]]:
    """Return bad parts with a picture, the newest first."""
    query = {"state": "NG", "kept_for": "any", "limit": str(count)}
    found: list[dict[str, Any]] = client.get("/api/v1/parts", params=query).json().get("parts", [])
    return found


def said_of(client: httpx.Client, number: int) -> list[dict[str, Any]]:
    """Return the decisions on a part, the oldest first."""
    found: list[dict[str, Any]] = client.get(f"/api/v1/parts/{number}").json()["decisions"]
    return found


def until_said(client: httpx.Client, number: int, count: int) -> list[dict[str, Any]]:
    end_s = time.monotonic() + 30
    while len(found := said_of(client, number)) < count:
        assert time.monotonic() < end_s, found
        time.sleep(0.1)
    return found


def shown_id(view: Browser) -> int:
    return int(view.run("new URLSearchParams(location.search).get('id')"))


def test_parts_are_filtered_and_come_with_small_pictures(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """The filter is in the address; every card of a bad part says NG and has its crop; what matches
    nothing says so."""
    open_view(view, line, "/parts?verdict=NG&kept=any", people["viewer"])
    view.wait_for("[...document.querySelectorAll('.card img')].some(i => i.naturalWidth > 0)")
    words = view.run("[...document.querySelectorAll('.card-verdict')].map(e => e.textContent)")
    assert set(words) == {"NG"}
    assert len(words) >= 12
    assert view.run("document.querySelector('.card img').naturalWidth") <= 320
    assert view.run("document.querySelector('.card').href.includes('verdict=NG')")
    seen(view, "parts")
    choose = "(s => {{ s.value = '{}'; s.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
    view.run(choose.format("missed") + "(document.querySelector('#review'))")
    view.wait_for("document.querySelector('#tail').textContent.startsWith('No part is like that')")
    assert view.run("location.search") == "?verdict=NG&review=missed&kept=any"
    view.run("document.querySelector('[type=reset]').click()")
    view.wait_for("document.querySelectorAll('.card').length > 12")
    assert view.run("location.search") == ""


def test_this_shift_is_the_devices_whatever_the_browsers_zone(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """A browser half a day away asks for the hours that the device names."""
    view.call("Emulation.setTimezoneOverride", timezoneId="Pacific/Kiritimati")
    shifts = people["viewer"].get("/api/v1/shifts").json()
    asked = "performance.getEntriesByType('resource').map(e => new URL(e.name))"
    for time_name, span in (("shift", "current"), ("shift_before", "before")):
        open_view(view, line, f"/parts?time={time_name}", people["viewer"])
        query = f"{asked}.find(u => u.pathname === '/api/v1/parts')?.searchParams"
        view.wait_for(f"!!{query}")
        for end in ("from", "to"):
            found = view.run(f"{query}.get('{end}')")
            assert datetime.fromisoformat(found.replace("Z", "+00:00")) == datetime.fromisoformat(
                shifts[span][end]
            )
        assert view.run("faults") == []
    view.call("Emulation.setTimezoneOverride", timezoneId="")


def test_all_parts_come_as_one_scrolls_and_each_once(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """More than one page of parts: the cursor leads on until the last."""
    client = people["viewer"]
    line.waits_for(lambda _: client.get("/api/v1/parts?limit=70").json()["next"])
    newest = client.get("/api/v1/parts?limit=1").json()["parts"][0]["captured_at"]
    open_view(view, line, f"/parts?time=own&to={newest[:19]}", client)
    view.wait_for("document.querySelectorAll('.card').length >= 60")
    view.run("scrollTo(0, document.body.scrollHeight)")
    view.wait_for("document.querySelector('#tail').textContent.includes('these are all')")
    hrefs = view.run("[...document.querySelectorAll('.card')].map(e => e.href)")
    assert len(set(hrefs)) == len(hrefs) > 60


def test_one_part_is_shown_in_layers(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """Crop and whole picture, outlines on and off; every figure with the limit's id."""
    (part,) = bad_parts(people["viewer"])
    open_view(view, line, f"/part?id={part['id']}", people["viewer"])
    view.wait_for(SHOWN)
    href = "document.querySelector('#picture image').getAttribute('href')"
    assert view.run(href).endswith(f"/parts/{part['id']}/crop.jpg")
    assert view.run("document.querySelectorAll('#picture .defect').length") >= 1
    press(view, "o")
    view.wait_for("document.querySelectorAll('#picture polygon').length === 0")
    press(view, "o", "c")
    view.wait_for(f"{href}.startsWith('/api/v1/evidence/')")
    assert view.run("document.querySelectorAll('#picture .outline').length") == 1
    facts = text(view, "#facts")
    for value in (part["part_id"], part["threshold_id"], part["bundle_sha256"][:16]):
        assert value in facts
    assert text(view, "#verdict-word") == "NG"
    assert "needs a login as operator" in text(view, "#may-not")
    assert view.run("document.querySelector('#marking').hidden")


def test_a_map_that_is_kept_is_a_layer(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """Laid over the crop, and in the whole picture where the crop was cut out; without one there is
    no such layer."""
    part = bad_parts(people["viewer"], 9)[8]
    open_view(view, line, f"/part?id={part['id']}", people["viewer"])
    view.wait_for(SHOWN)
    view.wait_for("!document.querySelector('#layer-map').hidden")
    press(view, "m")
    view.wait_for("!!document.querySelector('#picture .map')")
    assert view.run("document.querySelector('#picture .map').hasAttribute('transform')") is False
    seen(view, "part_map")
    press(view, "c")
    view.wait_for("document.querySelector('#picture .map')?.hasAttribute('transform')")
    folder = line.app._config.device.state_dir / "evidence"
    (kept,) = folder.glob(f"*/{part['evidence_url'].rpartition('/')[2][:-4]}.map.png")
    kept.unlink()
    open_view(view, line, f"/part?id={part['id']}", people["viewer"])
    view.wait_for(SHOWN)
    view.wait_for("document.querySelector('#position').textContent !== ''")
    assert view.run("document.querySelector('#layer-map').hidden")


def test_keys_mark_and_go_on_and_a_mark_is_taken_back_by_another(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """1 marks the part and shows the next; Z returns to it and says unsure; nothing is deleted."""
    client = people["operator"]
    part = bad_parts(client)[0]
    open_view(view, line, f"/part?id={part['id']}&verdict=NG&kept=any", client)
    view.wait_for(SHOWN)
    press(view, "1")
    view.wait_for(f"new URLSearchParams(location.search).get('id') !== '{part['id']}'")
    (mine,) = until_said(client, part["id"], 1)
    assert (mine["mark"], mine["author"], mine["is_current"]) == ("right", "operator-1", True)
    press(view, "z")
    said = until_said(client, part["id"], 2)
    assert [(one["mark"], one["is_current"]) for one in said] == [
        ("right", False), ("unsure", True),
    ]  # fmt: skip
    assert said[1]["note"] == "mark taken back"
    assert shown_id(view) == part["id"]
    view.wait_for("document.querySelectorAll('#decisions li').length === 2")
    seen(view, "part")


def test_many_marks_in_a_row_are_all_recorded(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """Ten keys as fast as the next part is there; the reader waits for no answer."""
    client = people["operator"]
    parts = bad_parts(client, 11)[1:]
    open_view(view, line, f"/part?id={parts[0]['id']}&verdict=NG&kept=any", client)
    for part in parts:
        view.wait_for(f"document.querySelector('#facts').textContent.includes('{part['part_id']}')")
        press(view, "2")
    for part in parts:
        (*_, last) = until_said(client, part["id"], 1)
        assert last["mark"] == "false_alarm"


def test_a_region_is_drawn_with_a_finger(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """On the upright crop; kept in the frame's pixels, with few points, inside the part's place."""
    client = people["engineer"]
    part = bad_parts(client, 4)[3]
    before = len(said_of(client, part["id"]))
    open_view(view, line, f"/part?id={part['id']}", client)
    size(view, "phone")
    view.wait_for(SHOWN)
    view.tap("#draw")
    view.wait_for("document.querySelector('#draw').getAttribute('aria-pressed') === 'true'")
    draw_ring(view, "#picture")
    view.wait_for("!!document.querySelector('#picture .region')")
    view.run("document.querySelector('#note').value = 'a dent'")
    view.run("document.querySelector('#mark-class').value = 'dent'")
    view.tap("[data-mark=right]")
    said = until_said(client, part["id"], before + 1)
    assert said[-1]["author"] == "eva"
    assert (said[-1]["note"], said[-1]["class"]) == ("a dent", "dent")
    region = np.array(said[-1]["region"])
    assert 8 <= len(region) <= 100
    corners = np.array(part["corners"])
    middle = region.mean(0)
    assert np.linalg.norm(middle - corners.mean(0)) < 0.25 * np.linalg.norm(corners[0] - corners[2])


def test_a_swipe_walks_to_the_next_part(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """To the left: older; to the right: back."""
    first, second = bad_parts(people["viewer"], 2)
    open_view(view, line, f"/part?id={first['id']}&verdict=NG&kept=any", people["viewer"])
    size(view, "phone")
    view.wait_for(SHOWN)
    for way, number in ((-1, second["id"]), (1, first["id"])):
        y = view.run("document.querySelector('#canvas').getBoundingClientRect().y") + 60
        start = {"x": 200 - way * 80, "y": y}
        view.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[start])
        view.call("Input.dispatchTouchEvent", type="touchMove",
                  touchPoints=[{"x": 200 + way * 80, "y": y}])  # fmt: skip
        view.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        view.wait_for(f"new URLSearchParams(location.search).get('id') === '{number}'")


def test_reviewers_who_disagree_are_shown(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """On the part with each name, on its card, and by the filter."""
    part = bad_parts(people["engineer"], 6)[5]
    for role, mark in (("operator", "false_alarm"), ("engineer", "right")):
        body = {"part_id": part["part_id"], "mark": mark}
        answer = people[role].post(f"/api/v1/parts/{part['id']}/decisions", json=body)
        assert answer.status_code == 200, answer.text
    open_view(view, line, "/parts?review=disputed", people["engineer"])
    view.wait_for(f"!!{CARD}")
    view.wait_for(f"{CARD}.textContent.includes('reviewers disagree')")
    view.run(f"{CARD}.click()")
    view.wait_for("document.querySelector('#disputed')?.hidden === false")
    said = text(view, "#decisions")
    assert "operator-1" in said
    assert "eva" in said


def test_an_engineer_accepts_and_declines_a_mark(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """An operator sees that it is a proposal, and no button; the engineer's word stands there."""
    part = bad_parts(people["operator"], 10)[9]
    path = f"/api/v1/parts/{part['id']}/decisions"
    body = {"part_id": part["part_id"], "mark": "false_alarm"}
    before = len(said_of(people["operator"], part["id"]))
    assert people["operator"].post(path, json=body).status_code == 200
    until_said(people["operator"], part["id"], before + 1)
    open_view(view, line, f"/part?id={part['id']}", people["operator"])
    view.wait_for("!!document.querySelector('.acceptance')")
    assert "A proposal" in text(view, ".acceptance")
    assert not view.run("!!document.querySelector('.acceptance button')")
    open_view(view, line, f"/part?id={part['id']}", people["engineer"])
    view.wait_for("document.querySelectorAll('.acceptance button').length >= 2")
    seen(view, "part_proposal")
    view.run("document.querySelector('.acceptance button').click()")
    view.wait_for("document.querySelector('.acceptance')?.textContent.includes('Accepted by eva')")
    said = said_of(people["viewer"], part["id"])[-1]
    assert (said["acceptance"], said["accepted_at"] is None) == ("accepted", False)
    seen(view, "part_accepted")
    view.run("document.querySelector('.acceptance button').click()")
    view.wait_for("document.querySelector('.acceptance')?.textContent.includes('Declined by eva')")
    assert said_of(people["viewer"], part["id"])[-1]["acceptance"] == "declined"
    assert view.run("window.faults") == []


def test_without_contact_a_mark_waits_and_says_so(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """The next part is shown all the same; once the device is back the mark is recorded, once."""
    client = people["operator"]
    part = bad_parts(client, 8)[7]
    before = len(said_of(client, part["id"]))
    open_view(view, line, f"/part?id={part['id']}&verdict=NG&kept=any", client)
    view.wait_for(SHOWN)
    view.wait_for("document.querySelector('#position').textContent !== ''")
    time.sleep(1.5)  # the next parts are fetched
    line_is_gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    view.call("Network.emulateNetworkConditions", offline=True, **line_is_gone)
    press(view, "4")
    view.wait_for("!document.querySelector('#queue').hidden")
    assert "Marks not recorded yet: 1." in text(view, "#queue")
    assert shown_id(view) != part["id"]
    assert len(said_of(client, part["id"])) == before
    view.call("Network.emulateNetworkConditions", offline=False, **line_is_gone)
    said = until_said(client, part["id"], before + 1)
    view.wait_for("document.querySelector('#queue').hidden")
    assert said[-1]["mark"] == "unsure"
    assert len(said) == before + 1


def test_what_the_device_refuses_is_told_in_its_words(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser
) -> None:
    """A mark on a part that is no longer what was looked at: not shown as recorded."""
    client = people["operator"]
    part = bad_parts(client, 7)[6]
    before = len(said_of(client, part["id"]))
    open_view(view, line, f"/part?id={part['id']}&verdict=NG&kept=any", client)
    view.wait_for(SHOWN)
    view.run(
        "window.fetch = (f => (a, o) => f(a, o?.body?.includes('part_id') ? {...o, body:"
        ' o.body.replace(/"part_id":"[^"]*"/, \'"part_id":"another"\')} : o))(window.fetch)'
    )
    press(view, "1")
    view.wait_for("document.querySelector('#outcome').textContent.includes('is not marked.')")
    assert len(said_of(client, part["id"])) == before
    assert view.run("document.querySelector('#outcome').dataset.level") == "bad"


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_cards_fit_a_phone_in_every_language(
    line: ShownLine, people: dict[str, httpx.Client], view: Browser, lang: str
) -> None:
    """Two beside each other, none wider than half the screen, whatever stands on it."""
    open_view(view, line, f"/parts?lang={lang}", people["viewer"])
    size(view, "phone")
    view.wait_for("document.querySelectorAll('.card').length > 5")
    assert view.run("document.documentElement.scrollWidth") == 390
    assert view.run("innerWidth") == 390
    size(view, "desktop")
