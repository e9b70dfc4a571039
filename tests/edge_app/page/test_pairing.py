"""A short code lets a tablet or a wall screen in: once, for a while, to read and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from people_pages import PAGE_TOKEN, PASSWORD, ROOT, Clock, PeoplePage, people_page
from support.chromium import browser

from edge_app.accounts.attempts import Attempts, TooManyAttempts
from edge_app.accounts.directory import Directory
from edge_app.accounts.pairing import MAX_WAITING, VALID_S, Pairing
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.sessions import Sessions
from edge_app.errors import AccountError

ADDRESS = "https://press-17.plant.example:8080/login#pair=ABCD-EFGH"


def paired(page: PeoplePage, name: str = "tablet-1") -> str:
    """Return a code that an engineer has made."""
    answer = page.engineer(f"eva-{name}").post("/api/v1/pairing", json={"name": name})
    assert answer.status_code == 201, answer.text
    assert answer.json()["valid_s"] == VALID_S
    code: str = answer.json()["code"]
    assert len(code) == 9
    return code


def made(folder: Path) -> tuple[Pairing, Directory, Clock]:
    clock = Clock()
    directory = Directory(PeopleFile(folder), Sessions(clock), Attempts(clock), clock.ns)
    return Pairing(directory, clock), directory, clock


def test_a_code_lets_a_screen_read_once_and_no_more(tmp_path: Path) -> None:
    """The browser reads afterwards and changes nothing; the code is used up; the screen stands in
    the list of tokens, and revoked there it is out."""
    with people_page(tmp_path, token=PAGE_TOKEN) as page:
        code = paired(page)
        screen = page.client()
        assert screen.get("/api/state").status_code == 401
        typed = code.lower().replace("-", " ")
        assert screen.post("/api/v1/session/screen", json={"code": typed}).status_code == 200
        assert screen.get("/api/state").status_code == 200
        assert screen.get("/api/v1/users").status_code == 401
        assert screen.post("/api/v1/pause", json={"minutes": 5, "why": "no"}).status_code == 401
        again = page.client().post("/api/v1/session/screen", json={"code": code})
        assert again.status_code == 409
        assert "works once, for ten minutes" in again.json()["detail"]
        (token,) = page.directory.people().tokens
        assert (token.name, token.scope.value) == ("tablet-1", "viewer")
        page.directory.remove_token(ROOT, "tablet-1")
        assert screen.get("/api/state").status_code == 401


def test_a_cookie_with_a_stronger_token_still_only_reads(tmp_path: Path) -> None:
    """What stands in a screen's cookie never makes an operator."""
    with people_page(tmp_path, token=PAGE_TOKEN) as page:
        secret = page.program("engineer").headers["Authorization"].removeprefix("Bearer ")
        screen = page.client()
        screen.cookies.set("cropliq_screen", secret)
        assert screen.get("/api/state").status_code == 200
        assert screen.post("/api/v1/pause", json={"minutes": 5, "why": "no"}).status_code == 401


def test_a_code_ends_after_its_time_and_a_newer_one_replaces_it(tmp_path: Path) -> None:
    """Ten minutes to the second; the second code of one name voids the first."""
    pairing, directory, clock = made(tmp_path)
    first = pairing.begin(ROOT, "wall")
    second = pairing.begin(ROOT, "WALL")
    with pytest.raises(AccountError, match="not valid, or no longer"):
        pairing.redeem(first, "10.0.0.7")
    clock.now_s += VALID_S
    with pytest.raises(AccountError, match="not valid, or no longer"):
        pairing.redeem(second, "10.0.0.7")
    assert directory.people().tokens == []
    third = pairing.begin(ROOT, "wall")
    clock.now_s += VALID_S - 1
    assert pairing.redeem(third, "10.0.0.7")[0] == "wall"


def test_guessing_is_stopped_before_a_code_is_looked_at(tmp_path: Path) -> None:
    """Eight attempts of one address in five minutes; another address is not locked out."""
    pairing, _, _ = made(tmp_path)
    code = pairing.begin(ROOT, "wall")
    for _attempt in range(8):
        with pytest.raises(AccountError, match="not valid"):
            pairing.redeem("AAAA-AAAA", "10.0.0.66")
    with pytest.raises(TooManyAttempts):
        pairing.redeem(code, "10.0.0.66")
    assert pairing.redeem(code, "10.0.0.7")[0] == "wall"


def test_names_that_are_taken_and_too_many_codes_are_refused(tmp_path: Path) -> None:
    """In words, and before anything is made."""
    pairing, _, _ = made(tmp_path)
    pairing.redeem(pairing.begin(ROOT, "wall"), "10.0.0.7")
    with pytest.raises(AccountError, match="There is a token 'wall' already"):
        pairing.begin(ROOT, "wall")
    for number in range(MAX_WAITING):
        pairing.begin(ROOT, f"screen-{number}")
    with pytest.raises(AccountError, match="Wait ten minutes"):
        pairing.begin(ROOT, "one-more")


def decoded(modules: list[list[bool]]) -> str:
    """Return what OpenCV reads in a QR code's modules."""
    dark = np.kron(np.array(modules, np.uint8), np.ones((6, 6), np.uint8))
    picture = np.pad(255 * (1 - dark), 24, constant_values=255)
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    return str(text)


@pytest.mark.needs("chromium")
def test_a_tablet_scans_the_code_and_sees_the_line(tmp_path: Path) -> None:
    """What the page draws is read by another reader, for every length that it takes; the address
    in it lets the browser in and leaves no code in the address bar."""
    texts = [ADDRESS, *("x" * count for count in (1, 17, 18, 32, 53, 78, 106))]
    with (
        people_page(tmp_path / "page", token=PAGE_TOKEN) as page,
        browser("chromium", tmp_path / "profile") as tablet,
    ):
        page.shows_a_part()
        tablet.open(f"{page.url}/login#pair={paired(page)}")
        tablet.wait_for("location.pathname === '/' && !!document.querySelector('.camera')")
        assert "pair=" not in tablet.run("location.href")
        tablet.run(
            "import('/static/lib/qr.js').then((qr) => "
            f"{{ window.drawn = {texts!r}.map(qr.qrModules) }})"
        )
        drawn: list[Any] = tablet.wait_for("window.drawn")
        assert [decoded(modules) for modules in drawn] == texts
        tablet.run(
            "import('/static/lib/qr.js').then((qr) => "
            "{ window.none = qr.qrModules('x'.repeat(107)) === null })"
        )
        assert tablet.wait_for("window.none")


@pytest.mark.needs("chromium")
def test_an_engineer_makes_a_code_on_the_page(tmp_path: Path) -> None:
    """By the device's name: a QR code and the code beside it, which lets a screen in. By the
    loopback address, which no tablet can reach, it says so and makes none."""
    name = "press-17.plant.example"
    with (
        people_page(tmp_path / "page", token=PAGE_TOKEN) as page,
        browser(
            "chromium", tmp_path / "profile", f"--host-resolver-rules=MAP {name} 127.0.0.1"
        ) as desk,
    ):
        page.engineer("eva")
        for place in (page.url, page.url.replace("127.0.0.1", name)):
            desk.open(f"{place}/login?back=/users", (800, 1280))
            desk.wait_for("!!document.querySelector('#login-form')?.offsetParent")
            for field, text in (("name", "eva"), ("password", PASSWORD)):
                form = "document.querySelector('#login-form').elements"
                desk.run(f"{form}.{field}.value = {text!r}")
            desk.tap("#login-form button")
            desk.wait_for("document.querySelector('#lists')?.hidden === false")
            desk.run("document.querySelector('#pair').elements.name.value = 'tablet-7'")
            desk.tap("#pair button")
            if name not in place:
                desk.wait_for(
                    "document.querySelector('#outcome').textContent.includes('127.0.0.1')"
                )
                assert desk.run("document.querySelector('#pairing').hidden")
        desk.wait_for("document.querySelector('#pairing').hidden === false")
        code = desk.run("document.querySelector('#pair-code').textContent")
        assert desk.run("!!document.querySelector('#pair-qr svg')")
        desk.picture(tmp_path / "pairing.png")
        answer = page.client().post("/api/v1/session/screen", json={"code": code})
        assert answer.status_code == 200, answer.text
