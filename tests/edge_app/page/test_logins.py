"""Logging in and out: fixation, CSRF, rates, codes, expiry; who did what reaches the audit."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from people_pages import PAGE_TOKEN, PASSWORD, ROOT, PeoplePage, at_once, people_page

from edge_app.accounts.attempts import OF_ADDRESS, OF_NAME
from edge_app.accounts.roles import AccessRole
from edge_app.accounts.sessions import IDLE_S, LONGEST_S, MAX_OF_ACCOUNT
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_schema import Record
from edge_app.page.api.catalogue import COOKIE
from edge_app.page.courier import AuditCourier

NEW = "another four unlikely words"


def log_in(page: PeoplePage, name: str, password: str = PASSWORD, **cookies: str) -> httpx.Response:
    client = page.client()
    for key, value in cookies.items():
        client.cookies.set(key, value, domain="127.0.0.1")
    return client.post("/api/v1/session", json={"name": name, "password": password})


def is_in(client: httpx.Client) -> bool:
    return bool(client.get("/api/v1/me").json()["kind"] == "person")


def test_a_login_has_an_id_that_was_never_seen_before(tmp_path: Path) -> None:
    """A cookie that an attacker put into the browser is not taken over; nor is the id of before:
    it ends."""
    with people_page(tmp_path) as page:
        anna = page.person("operator", "anna")
        before = anna.cookies[COOKIE]
        assert log_in(page, "anna", **{COOKIE: "chosen-by-an-attacker"}).cookies[COOKIE] not in (
            "chosen-by-an-attacker", before,
        )  # fmt: skip
        again = anna.post("/api/v1/session", json={"name": "anna", "password": PASSWORD})
        assert again.cookies[COOKIE] != before
        with httpx.Client(base_url=page.url, trust_env=False) as thief:
            thief.cookies.set(COOKIE, before)
            assert not is_in(thief)
        assert is_in(anna)


def test_the_cookie_is_for_this_page_and_its_server_only(tmp_path: Path) -> None:
    """HttpOnly and SameSite=Strict; neither cookie nor password is kept or logged in clear."""
    with people_page(tmp_path) as page:
        page.person("viewer", "anna")
        answer = log_in(page, "anna")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        kept = (tmp_path / "people" / "people.json").read_text()
        assert PASSWORD not in kept
        assert answer.cookies[COOKIE] not in kept
        assert "$argon2id$" in kept
        assert (tmp_path / "people" / "people.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": "gu\u00e9ssed".encode("latin-1").decode("latin-1")},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_changes_nothing_with_a_persons_cookie(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    """Without the login's own CSRF token, or with the browser saying where it comes from."""
    with people_page(tmp_path) as page:
        eva = page.engineer()
        before = page.file.read().model_dump_json()
        encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        for method, path, body in (
            ("POST", "/api/v1/users", {"name": "mallory", "role": "engineer"}),
            ("POST", "/api/v1/pause", {"minutes": 5, "why": "no reason"}),
            ("POST", "/api/select", {"slot": "main", "product": "alpha"}),
            ("DELETE", "/api/v1/session", None),
        ):
            answer = eva.request(method, path, json=body, headers=encoded)
            assert answer.status_code == 403, path
        assert page.file.read().model_dump_json() == before
        assert page.orders == []


def test_another_site_cannot_log_a_browser_in(tmp_path: Path) -> None:
    """Neither as a form nor with the browser saying that another site asks."""
    with people_page(tmp_path) as page:
        page.person("viewer", "anna")
        body = json.dumps({"name": "anna", "password": PASSWORD})
        for headers, status in (
            ({"Content-Type": "text/plain"}, 415),
            ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ):
            answer = page.client().post("/api/v1/session", content=body, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)


def test_logging_out_ends_the_login_everywhere(tmp_path: Path) -> None:
    """The cookie is worth nothing afterwards, whoever has kept it."""
    with people_page(tmp_path) as page:
        anna = page.person("operator", "anna")
        kept = anna.cookies[COOKIE]
        assert anna.delete("/api/v1/session").status_code == 204
        thief = page.client()
        thief.cookies.set(COOKIE, kept)
        assert not is_in(thief)
        assert not is_in(anna)


def test_a_login_ends_when_unused_and_after_a_shift(tmp_path: Path) -> None:
    """An hour without a person's deed, twelve hours in all; what an open page asks by itself is no
    deed."""
    with people_page(tmp_path) as page:
        anna = page.person("operator", "anna")
        for _ in range(3):
            page.clock.now_s += IDLE_S / 2
            assert anna.get("/api/state", headers={"X-Idle-S": "60"}).status_code == 200
        assert not is_in(anna)
        berta = page.person("operator", "berta")
        for _ in range(int(LONGEST_S / IDLE_S) * 2):
            assert is_in(berta)
            page.clock.now_s += IDLE_S / 2
        page.clock.now_s += 1
        assert not is_in(berta)


def test_a_person_has_so_many_logins_and_the_oldest_makes_room(tmp_path: Path) -> None:
    """Forgotten tabs do not fill the memory."""
    with people_page(tmp_path) as page:
        first = page.person("operator", "anna")
        for _ in range(MAX_OF_ACCOUNT):
            page.clock.now_s += 100
            assert log_in(page, "anna").status_code == 200
        assert not is_in(first)


def test_guessing_ends_before_anything_is_computed(tmp_path: Path) -> None:
    """Per name: after some attempts the right password is not looked at either, and when it is
    again is said; other people are let in; the right one forgets the wrong ones."""
    with people_page(tmp_path) as page:
        page.person("operator", "anna")
        page.person("viewer", "berta")
        page.clock.now_s += 1000
        for _ in range(OF_NAME.count - 1):
            assert log_in(page, "ANNA", "wrong wrong wrong").status_code == 401
        assert log_in(page, "anna").status_code == 200
        for _ in range(OF_NAME.count):
            assert log_in(page, "anna", "wrong wrong wrong").status_code == 401
        page.clock.now_s += 61  # past the address's own limit, not past the name's
        refused = log_in(page, "anna")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) <= OF_NAME.window_s
        assert "nothing was checked" in refused.json()["detail"]
        assert log_in(page, "berta").status_code == 200
        page.clock.now_s += OF_NAME.window_s
        assert log_in(page, "anna").status_code == 200


def test_guessing_names_from_one_address_ends_too(tmp_path: Path) -> None:
    """A list of names with one password each meets the address's limit; an unknown name is
    answered like a wrong password."""
    with people_page(tmp_path) as page:
        page.person("viewer", "anna")
        page.clock.now_s += 1000
        texts = {log_in(page, "anna", "wrong wrong wrong").json()["detail"]}
        for number in range(OF_ADDRESS.count - 1):
            texts.add(log_in(page, f"name-{number}", "wrong wrong wrong").json()["detail"])
        assert texts == {"This name and this password do not belong together."}
        assert log_in(page, "anna").status_code == 429


def test_many_logins_at_once_cost_one_hash_at_a_time(tmp_path: Path) -> None:
    """Twelve at once: each is let in or told to come again, and the page answers meanwhile."""
    with people_page(tmp_path) as page:
        for number in range(12):
            page.person("viewer", f"v{number}")
            page.clock.now_s += 100
        found = at_once(12, lambda number: log_in(page, f"v{number}").status_code)
        assert set(found) <= {200, 503}
        assert found.count(200) >= 1
        assert page.client().get("/healthz").status_code == 200


def test_a_code_works_once_and_for_its_person(tmp_path: Path) -> None:
    """Not twice, not for another name, not after a day, not once a new one is made; a used one
    leaves nothing behind."""
    with people_page(tmp_path) as page:
        page.engineer()
        code = page.directory.add(ROOT, "anna", AccessRole.VIEWER)

        def use(code: str, name: str) -> httpx.Response:
            page.clock.now_s += 100
            body = {"code": code, "name": name, "password": PASSWORD}
            return page.client().post("/api/v1/session/code", json=body)

        assert use(code, "eva").status_code == 409
        assert use(code.lower().replace("-", " "), "anna").status_code == 200
        assert use(code, "anna").status_code == 409
        old = page.directory.reset(ROOT, "anna")
        new = page.directory.reset(ROOT, "anna")
        assert use(old, "anna").status_code == 409
        page.clock.now_s += 86_400
        refused = use(new, "anna")
        assert refused.status_code == 409
        assert "works once, and for a day" in refused.json()["detail"]


def test_the_first_engineers_code_makes_one_engineer(tmp_path: Path) -> None:
    """Used by two at once it lets one in; from then on root's console makes no further one, and
    codes that wait are void."""
    with people_page(tmp_path) as page:
        code = page.directory.first_engineer_code(ROOT)

        def use(number: int) -> int:
            body = {"code": code, "name": f"eva{number}", "password": PASSWORD}
            return page.client().post("/api/v1/session/code", json=body).status_code

        found = at_once(2, use)
        assert sorted(found) == [200, 409]
        assert len(page.directory.people().engineers) == 1
        with pytest.raises(Exception, match="has its engineers: eva"):
            page.directory.first_engineer_code(ROOT)


def test_a_changed_password_ends_the_persons_other_logins(tmp_path: Path) -> None:
    """The one who changed it goes on, under a new id; the old password is refused."""
    with people_page(tmp_path) as page:
        anna = page.person("operator", "anna")
        elsewhere = page.client()
        elsewhere.post("/api/v1/session", json={"name": "anna", "password": PASSWORD})
        assert is_in(elsewhere)
        before = anna.cookies[COOKIE]
        wrong = anna.post("/api/v1/me/password", json={"old": "not this", "new": NEW})
        assert wrong.status_code == 409
        assert is_in(elsewhere)
        done = anna.post("/api/v1/me/password", json={"old": PASSWORD, "new": NEW})
        assert done.status_code == 200
        assert anna.cookies[COOKIE] != before
        assert is_in(anna)
        assert not is_in(elsewhere)
        assert log_in(page, "anna").status_code == 401
        assert log_in(page, "anna", NEW).status_code == 200


@pytest.mark.parametrize("password", ["short", "x" * 300, "aaaaaaaaaaaa", "annaanna12"])
def test_an_unfit_password_is_refused_in_words(tmp_path: Path, password: str) -> None:
    """Too short, too long, one letter, the name; the code is still good."""
    with people_page(tmp_path) as page:
        code = page.directory.add(ROOT, "annaanna", AccessRole.VIEWER)
        body = {"code": code, "name": "annaanna", "password": password}
        answer = page.client().post("/api/v1/session/code", json=body)
        assert answer.status_code in (400, 409)
        assert answer.json()["detail"].endswith(".")
        page.redeemed(code, "annaanna")


def test_another_role_and_a_removal_count_at_once(tmp_path: Path) -> None:
    """Whoever is logged in is not any more; the last engineer stays."""
    with people_page(tmp_path) as page:
        eva, anna = page.engineer(), page.person("operator", "anna")
        assert eva.patch("/api/v1/users/anna", json={"role": "viewer"}).status_code == 200
        assert not is_in(anna)
        berta = page.person("operator", "berta")
        assert eva.delete("/api/v1/users/berta").status_code == 204
        assert not is_in(berta)
        for answer in (
            eva.delete("/api/v1/users/eva"),
            eva.patch("/api/v1/users/eva", json={"role": "operator"}),
        ):
            assert answer.status_code == 409
            assert "only engineer" in answer.json()["detail"]
        assert is_in(eva)


def test_a_token_expires_and_is_revoked(tmp_path: Path) -> None:
    """Shown once, kept as a digest; expired, revoked or invented it is refused even on loopback,
    where nobody needs one to read."""
    with people_page(tmp_path) as page:
        eva = page.engineer()
        made = eva.post("/api/v1/tokens", json={"name": "mes", "scope": "operator", "days": 2})
        secret = made.json()["token"]
        assert secret not in (tmp_path / "people" / "people.json").read_text()
        mes = page.client(Authorization=f"Bearer {secret}")
        assert mes.post("/api/v1/pause", json={"minutes": 5, "why": "tool change"}).is_success
        (order,) = page.orders
        assert (order.author.kind, order.author.name, order.author.role) == (
            "machine", "mes", "operator",
        )  # fmt: skip
        page.clock.now_s += 2 * 86_400
        assert mes.get("/api/v1/state").status_code == 401
        other = page.program("viewer", "screen")
        assert other.get("/api/v1/me").json()["kind"] == "machine"
        eva = page.client()
        eva.post("/api/v1/session", json={"name": "eva", "password": PASSWORD})
        eva.headers["X-CSRF-Token"] = eva.get("/api/v1/me").json()["csrf"]
        assert eva.delete("/api/v1/tokens/screen").status_code == 204
        assert other.get("/api/v1/state").status_code == 401
        for invented in ("edge_", "edge_invented", "edge_" + "\u00e9" * 9):
            header = {b"Authorization": f"Bearer {invented}".encode()}
            assert page.client().get("/api/v1/state", headers=header).status_code == 401


def test_a_damaged_file_lets_nobody_change_anything(tmp_path: Path) -> None:
    """It is never taken for a device without an engineer; reading goes on; it says what to do."""
    with people_page(tmp_path, token=PAGE_TOKEN) as page:
        eva = page.engineer()
        file = tmp_path / "people" / "people.json"
        whole = file.read_bytes()
        for broken in (b"", b"{", b"[1]", whole[:-40], b'{"format": 2}'):
            file.write_bytes(broken)
            refused = eva.post("/api/v1/pause", json={"minutes": 5, "why": "tool change"})
            assert refused.status_code == 401
            answer = log_in(page, "eva")
            assert answer.status_code == 503
            assert "cannot be used" in answer.json()["detail"]
            with pytest.raises(Exception, match="cannot be used"):
                page.directory.first_engineer_code(ROOT)
            screen = page.client(Authorization=f"Bearer {PAGE_TOKEN}")
            assert screen.get("/api/state").status_code == 200
            assert file.read_bytes() == broken
            page.clock.now_s += 400
        file.write_bytes(whole)
        assert log_in(page, "eva").status_code == 200
        assert page.orders == []


def test_what_a_later_release_has_added_is_kept(tmp_path: Path) -> None:
    """Keys that this release does not know survive its changes."""
    with people_page(tmp_path) as page:
        page.engineer()
        file = tmp_path / "people" / "people.json"
        known = json.loads(file.read_bytes())
        known["reviewers"] = ["eva"]
        known["accounts"][0]["card"] = "04:a1"
        file.write_text(json.dumps(known))
        page.directory.add(ROOT, "anna", AccessRole.VIEWER)
        kept = json.loads(file.read_bytes())
        assert kept["reviewers"] == ["eva"]
        assert kept["accounts"][0]["card"] == "04:a1"


def test_every_change_of_people_reaches_the_audit_once(tmp_path: Path) -> None:
    """With its author, also when inspection was not there or refused at first."""
    with people_page(tmp_path) as page:
        eva = page.engineer()
        eva.post("/api/v1/users", json={"name": "anna", "role": "viewer"})
        eva.patch("/api/v1/users/anna", json={"role": "operator"})
        eva.post("/api/v1/tokens", json={"name": "mes", "scope": "viewer"})
        courier = AuditCourier(page.directory, OrderClient(tmp_path / "nowhere.sock"))
        assert courier.turn() is False
        courier = AuditCourier(page.directory, OrderClient(tmp_path / "orders.sock"))
        page.is_refusing = True
        assert courier.turn() is False
        page.is_refusing = False
        page.orders.clear()
        assert courier.turn() is True
        records = [order for order in page.orders if isinstance(order, Record)]
        assert len(records) == len(page.orders)
        told = [(o.event, o.author.name, o.new) for o in records]
        assert told == [
            ("first_engineer_code_made", "edge-app users", ""),
            ("first_engineer_made", "eva", "eva: engineer"),
            ("user_added", "eva", "anna: viewer"),
            ("role_changed", "eva", "anna: operator"),
            ("token_added", "eva", "mes: viewer, 90 days"),
        ]
        assert courier.turn() is True
        assert len(page.orders) == len(told)
