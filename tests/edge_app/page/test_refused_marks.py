"""What is said of parts over the API by who may not: refused, in words, and nothing is kept.

The same table for MQTT is in `tests/edge_app/agent/commands/test_feedback.py`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from people_pages import PAGE_TOKEN, PeoplePage, people_page
from support.review_rig import ReviewRig, four_parts

from edge_app.audit.reader import every_record
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader

MARK = ("/parts/2/decisions", {"part_id": "c-2", "mark": "false_alarm"})
SETTLE = ("/take-out/2", {"part_id": "c-2", "outcome": "good"})
ACCEPT = ("/decisions/1/acceptance", {"part": 2, "part_id": "c-2", "accepted": True})
WORDS = {"a mark": MARK, "a part taken out": SETTLE, "a mark accepted": ACCEPT}


class Device:
    """A page whose inspection really records, with one bad part that waits, and one mark on it."""

    def __init__(self, page: PeoplePage, rig: ReviewRig) -> None:
        self.page, self.rig = page, rig
        self._clients: dict[str, httpx.Client] = {}

    def client(self, who: str) -> httpx.Client:
        if who not in self._clients:
            make = engineer if who == "an engineer" else REFUSED[who][0]
            self._clients[who] = make(self.page)
        return self._clients[who]

    def kept(self) -> Any:
        """Return everything that history and audit hold of what people said."""
        reader = HistoryReader(self.rig.path, shows_names=True)
        said = [(p["id"], p["decisions"], p["take_out"]) for p in reader.every_part(PartFilter())]
        path = self.rig.folder / "audit.sqlite"
        events = ("decision", "settled", "accepted", "declined")
        records = [r["hash"] for r in every_record(path) if r["event"] in events]
        return json.dumps([said, records])


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder: Path = tmp_path_factory.mktemp("marks")
    with people_page(folder / "page", token=PAGE_TOKEN) as served:
        rig = ReviewRig(folder / "page")
        served.inspection = rig.desk.execute
        rig.judge(four_parts())
        assert rig.give("mark", 2, {"kind": "root", "name": "root"}, mark="right").is_done
        yield Device(served, rig)
        rig.close()


NAMES = (f"eva-{number}" for number in itertools.count())


def engineer(page: PeoplePage) -> httpx.Client:
    return page.engineer(next(NAMES))


def stranger(page: PeoplePage) -> httpx.Client:
    return page.client()


def reader(page: PeoplePage) -> httpx.Client:
    return page.client(Authorization=f"Bearer {PAGE_TOKEN}")


def forged_token(page: PeoplePage) -> httpx.Client:
    """A program's token of which one letter was changed."""
    client = page.program("engineer", "forger")
    given = client.headers["Authorization"]
    client.headers["Authorization"] = given[:-1] + ("A" if given[-1] != "A" else "B")
    return client


def forged_session(page: PeoplePage) -> httpx.Client:
    """An engineer's cookie with another end, and the CSRF token that belongs to the real one."""
    client = engineer(page)
    (name, value), *_ = client.cookies.items()
    client.cookies.clear()
    client.cookies.set(name, value[:-4] + "AAAA")
    return client


def another_site(page: PeoplePage) -> httpx.Client:
    client = engineer(page)
    client.headers["Sec-Fetch-Site"] = "cross-site"
    return client


def without_csrf(page: PeoplePage) -> httpx.Client:
    client = engineer(page)
    del client.headers["X-CSRF-Token"]
    return client


def replayed_after_logout(page: PeoplePage) -> httpx.Client:
    """What an engineer's browser sent, sent again once the engineer has logged out."""
    client = engineer(page)
    cookies = dict(client.cookies.items())
    assert client.delete("/api/v1/session").status_code in (200, 204)
    client.cookies.clear()
    for name, value in cookies.items():
        client.cookies.set(name, value)
    return client


def viewer(page: PeoplePage) -> httpx.Client:
    return page.person("viewer", "vera")


def viewers_program(page: PeoplePage) -> httpx.Client:
    return page.program("viewer", "dashboard")


REFUSED: dict[str, tuple[Callable[[PeoplePage], httpx.Client], int, str]] = {
    "a stranger": (stranger, 401, "This needs a login, or a token"),
    "who only reads": (reader, 401, "A change needs its author: log in at /login"),
    "a forged token": (forged_token, 401, "This token is not valid, or has expired."),
    "a forged session": (forged_session, 401, "This needs a login, or a token"),
    "another site": (another_site, 403, "Only this page's own script may do that for you."),
    "a script without the page's token": (without_csrf, 403, "Only this page's own script may"),
    "replayed after the logout": (replayed_after_logout, 401, "This needs a login, or a token"),
    "a viewer": (viewer, 403, "; vera is viewer."),
    "a viewer's program": (viewers_program, 403, "; dashboard is viewer."),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("who", REFUSED)
def test_who_may_not_is_refused_and_told(device: Device, who: str, word: str) -> None:
    """Mark, settlement and acceptance alike; history and audit stay what they were."""
    _, status, said = REFUSED[who]
    path, body = WORDS[word]
    before = device.kept()
    client = device.client(who)
    for _ in range(2):
        answer = client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        assert said in answer.json()["detail"]
    assert device.kept() == before


NEVER: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "a part that never was": (
        "/parts/99/decisions", {"part_id": "c-99", "mark": "right"}, 409,
        "Part 99 is not recorded, or no longer.",
    ),
    "a part that no number can be": (
        "/parts/9223372036854775807/decisions", {"part_id": "c-2", "mark": "right"}, 404,
        "No such part is recorded, or no longer.",
    ),
    "another part's name": (
        "/parts/2/decisions", {"part_id": "c-1", "mark": "right"}, 409,
        "Part 2 is c-2, the order is for c-1. Look at the part again",
    ),
    "a mark that its verdict does not take": (
        "/parts/1/decisions", {"part_id": "c-1", "mark": "false_alarm"}, 409,
        "c-1 is OK: it can be marked right or missed or unsure, got false_alarm.",
    ),
    "a good part taken out": (
        "/take-out/1", {"part_id": "c-1", "outcome": "taken_out"}, 409,
        "c-1 is OK and does not wait to be taken out",
    ),
    "a part that never was, taken out": (
        "/take-out/99", {"part_id": "c-99", "outcome": "taken_out"}, 409,
        "Part 99 is not recorded, or no longer.",
    ),
    "a mark that never was": (
        "/decisions/99/acceptance", {"part": 2, "part_id": "c-2", "accepted": True}, 409,
        "c-2 has no mark 99, or no longer.",
    ),
    "another part's mark": (
        "/decisions/1/acceptance", {"part": 3, "part_id": "c-3", "accepted": True}, 409,
        "c-3 has no mark 1, or no longer.",
    ),
    "an author of one's own choice": (
        "/parts/2/decisions", {"part_id": "c-2", "mark": "right", "author": "anna"}, 400,
        "In the body, author: Extra inputs are not permitted.",
    ),
    "an acceptance with the mark": (
        "/parts/2/decisions", {"part_id": "c-2", "mark": "right", "acceptance": "accepted"}, 400,
        "In the body, acceptance: Extra inputs are not permitted.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NEVER)
def test_what_cannot_be_said_is_refused_in_words(device: Device, what: str) -> None:
    """From an engineer too; history and audit stay what they were."""
    path, body, status, said = NEVER[what]
    before = device.kept()
    answer = device.client("an engineer").post(f"/api/v1{path}", json=body)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert device.kept() == before
