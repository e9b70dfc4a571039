"""Every route × every caller: who may, who may not, and that who may not has changed nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from people_pages import PAGE_TOKEN, PASSWORD, SHA256, PeoplePage, people_page
from starlette.routing import Mount

from edge_app.page.api.catalogue import COOKIE
from edge_app.page.rights import Need, RightRoute

P, V, N, O, E = Need.PUBLIC, Need.VIEWER, Need.PERSON, Need.OPERATOR, Need.ENGINEER  # noqa: E741

WHY = {"why": "a test of rights"}
LIMIT = {**WHY, "score_threshold": 2.5, "for_sha256": SHA256}
NEEDS: dict[tuple[str, str], tuple[Need, Any]] = {
    ("GET", "/"): (V, None),
    ("GET", "/users"): (V, None),
    ("GET", "/parts"): (V, None),
    ("GET", "/part"): (V, None),
    ("GET", "/limit"): (V, None),
    ("GET", "/health"): (V, None),
    ("GET", "/report"): (V, None),
    ("GET", "/api/state"): (V, None),
    ("GET", "/api/alerts"): (V, None),
    ("GET", "/frame/{camera}.jpg"): (V, None),
    ("GET", "/stream/{camera}.mjpeg"): (V, None),
    ("GET", "/evidence/{path:path}"): (V, None),
    ("GET", "/healthz"): (V, None),
    ("GET", "/static"): (V, None),
    ("GET", "/login"): (P, None),
    ("GET", "/login/login.js"): (P, None),
    ("GET", "/login/page.css"): (P, None),
    ("GET", "/login/people.css"): (P, None),
    ("GET", "/login/icon.svg"): (P, None),
    ("GET", "/login/lib/api.js"): (P, None),
    ("GET", "/login/lib/ask.js"): (P, None),
    ("GET", "/login/lib/dom.js"): (P, None),
    ("GET", "/login/lib/steady.js"): (P, None),
    ("GET", "/login/lib/words.js"): (P, None),
    ("GET", "/login/words/en.json"): (P, None),
    ("GET", "/login/words/ko.json"): (P, None),
    ("GET", "/api/slots"): (V, None),
    ("POST", "/api/select"): (O, {"slot": "main", "product": "alpha"}),
    ("GET", "/api/v1/state"): (V, None),
    ("GET", "/api/v1/limits"): (V, None),
    ("POST", "/api/v1/limits/{slot}"): (E, LIMIT),
    ("POST", "/api/v1/limits/{slot}/undo"): (E, WHY),
    ("GET", "/api/v1/limits/{slot}/guaranteed"): (V, None),
    ("GET", "/api/v1/golden-checks"): (V, None),
    ("POST", "/api/v1/golden-parts/{name}/shown"): (O, None),
    ("POST", "/api/v1/pause"): (O, {**WHY, "minutes": 5}),
    ("POST", "/api/v1/resume"): (O, WHY),
    ("GET", "/api/v1/audit"): (V, None),
    ("GET", "/api/v1/audit/head"): (V, None),
    ("GET", "/api/v1/parts"): (V, None),
    ("GET", "/api/v1/parts/{id:int}"): (V, None),
    ("GET", "/api/v1/counts"): (V, None),
    ("GET", "/api/v1/shifts"): (V, None),
    ("GET", "/api/v1/scores"): (V, None),
    ("GET", "/api/v1/report"): (V, None),
    ("GET", "/api/v1/parts/choices"): (V, None),
    ("GET", "/api/v1/parts/{id:int}/thumbnail.jpg"): (V, None),
    ("POST", "/api/v1/parts/{id:int}/decisions"): (O, {"part_id": "c-1", "mark": "right"}),
    ("GET", "/api/v1/decisions"): (V, None),
    ("POST", "/api/v1/decisions/{id:int}/acceptance"): (
        E,
        {"part": 1, "part_id": "c-1", "accepted": True},
    ),
    ("GET", "/api/v1/take-out"): (V, None),
    ("POST", "/api/v1/take-out/{id:int}"): (O, {"part_id": "c-2", "outcome": "good"}),
    ("GET", "/api/v1/parts/{id:int}/crop.jpg"): (V, None),
    ("GET", "/api/v1/parts/{id:int}/map.png"): (V, None),
    ("GET", "/api/v1/parts/{id:int}/sidecar"): (V, None),
    ("GET", "/api/v1/health"): (V, None),
    ("GET", "/api/v1/evidence/{picture:path}"): (V, None),
    ("POST", "/api/v1/evidence-urls"): (V, {"picture": "2026-01-01/a.jpg"}),
    ("GET", "/api/v1/me"): (P, None),
    ("POST", "/api/v1/session"): (P, {}),
    ("DELETE", "/api/v1/session"): (N, None),
    ("POST", "/api/v1/session/code"): (P, {}),
    ("POST", "/api/v1/session/screen"): (P, {}),
    ("POST", "/api/v1/pairing"): (E, {"name": "new-screen"}),
    ("POST", "/api/v1/me/password"): (N, {"old": "x", "new": "no"}),
    ("GET", "/api/v1/users"): (E, None),
    ("POST", "/api/v1/users"): (E, {"name": "new-one", "role": "viewer"}),
    ("PATCH", "/api/v1/users/{name}"): (E, {"role": "viewer"}),
    ("DELETE", "/api/v1/users/{name}"): (E, None),
    ("POST", "/api/v1/users/{name}/reset"): (E, None),
    ("GET", "/api/v1/tokens"): (E, None),
    ("POST", "/api/v1/tokens"): (E, {"name": "new-one", "scope": "viewer"}),
    ("DELETE", "/api/v1/tokens/{name}"): (E, None),
    ("GET", "/api/v1/openapi.json"): (V, None),
}

VALUES = {
    "{camera}": "belt-1", "{slot}": "main", "{name}": "nobody-1", "{id:int}": "1",
    "{path:path}": "2026-01-01/a.jpg", "{picture:path}": "2026-01-01/a.jpg",
}  # fmt: skip

MAY: dict[str, set[Need]] = {
    "a stranger": {P},
    "the page's token": {P, V},
    "a viewer": {P, V, N},
    "an operator": {P, V, N, O},
    "an engineer": {P, V, N, O, E},
    "a viewer's program": {P, V},
    "an operator's program": {P, V, O},
    "an engineer's program": {P, V, O, E},
}


def clients(page: PeoplePage) -> dict[str, httpx.Client]:
    return {
        "a stranger": page.client(),
        "the page's token": page.client(Authorization=f"Bearer {PAGE_TOKEN}"),
        "an engineer": page.engineer(),
        "a viewer": page.person("viewer"),
        "an operator": page.person("operator"),
        "a viewer's program": page.program("viewer"),
        "an operator's program": page.program("operator"),
        "an engineer's program": page.program("engineer"),
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeoplePage]:
    with people_page(tmp_path_factory.mktemp("rights"), token=PAGE_TOKEN) as served:
        served.shows_a_part()
        served.remembers()
        yield served


@pytest.fixture(scope="module")
def callers(page: PeoplePage) -> dict[str, httpx.Client]:
    return clients(page)


def routes_of(page: PeoplePage) -> dict[tuple[str, str], Need]:
    """Return every route of the application itself: method and path → what it asks."""
    found: dict[tuple[str, str], Need] = {}
    for route in page.live.routes:
        if isinstance(route, Mount):
            found["GET", route.path] = Need.VIEWER  # `Access` alone stands before it
            continue
        assert isinstance(route, RightRoute), f"{route} does not say what it asks"
        for method in (route.methods or set()) - {"HEAD"}:
            found[method, route.path] = route.need
    return found


def test_every_route_is_in_the_table_with_what_it_asks(page: PeoplePage) -> None:
    """A new route has to be entered here, with a role; one that is gone is taken out."""
    assert routes_of(page) == {key: need for key, (need, _) in NEEDS.items()}


def changes_since(page: PeoplePage, count: int) -> list[str]:
    """Return the orders that change something, of those that came after the first `count`."""
    return [o.type for o in page.orders[count:] if o.type not in ("note_head", "show_limits")]


def asked(client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    for name, value in VALUES.items():
        path = path.replace(name, value)
    path = "/static/page.css" if path == "/static" else path
    if "/stream/" in path:
        with client.stream(method, path) as answer:
            return answer
    return client.request(method, path, json=body)


@pytest.mark.parametrize(("method", "path"), NEEDS, ids=lambda value: str(value))
def test_only_those_who_may_are_answered(
    page: PeoplePage, callers: dict[str, httpx.Client], method: str, path: str
) -> None:
    """Refused with 401 or 403, and neither people nor inspection have heard of it."""
    need, body = NEEDS[method, path]
    for who, may in MAY.items():
        before, orders = page.file.read().model_dump_json(), len(page.orders)
        answer = asked(callers[who], method, path, body)
        is_let_in = answer.status_code not in (401, 403)
        assert is_let_in == (need in may), f"{who}: {answer.status_code}"
        assert answer.status_code != 500
        if not is_let_in or need in (P, V):
            assert page.file.read().model_dump_json() == before, who
            assert changes_since(page, orders) == [], who
        if (method, path) == ("DELETE", "/api/v1/session") and is_let_in:
            callers[who] = page.client()  # logged out: in again
            name = {"a viewer": "viewer-1", "an operator": "operator-1", "an engineer": "eva"}[who]
            again = log_in(callers[who], name)
            callers[who].headers["X-CSRF-Token"] = again.json()["csrf"]
        for name in ("users", "tokens"):
            if (method, path) == ("POST", f"/api/v1/{name}") and is_let_in:
                callers["an engineer"].delete(f"/api/v1/{name}/new-one")


def log_in(client: httpx.Client, name: str) -> httpx.Response:
    answer = client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer


def test_on_loopback_everybody_reads_and_nobody_changes(tmp_path: Path) -> None:
    """Without the page's token reading is free; a change needs its author there too."""
    with people_page(tmp_path) as page:
        page.shows_a_part()
        page.remembers()
        with page.client() as anybody:
            for (method, path), (need, body) in NEEDS.items():
                before, orders = page.file.read().model_dump_json(), len(page.orders)
                answer = asked(anybody, method, path, body)
                is_let_in = answer.status_code not in (401, 403)
                assert is_let_in == (need in (P, V)), f"{method} {path}: {answer.status_code}"
                assert page.file.read().model_dump_json() == before
                assert changes_since(page, orders) == []
        assert COOKIE not in anybody.cookies


def test_until_there_is_an_engineer_the_old_token_only_reads(tmp_path: Path) -> None:
    """An upgraded device: what read goes on reading; the product is changed by a person only, and
    the refusal says how the first one comes to be."""
    with people_page(tmp_path, token=PAGE_TOKEN) as page:
        with page.client(Authorization=f"Bearer {PAGE_TOKEN}") as screen:
            assert screen.get("/api/state").status_code == 200
            wish = {"slot": "main", "product": "alpha"}
            refused = screen.post("/api/select", json=wish)
            assert refused.status_code == 401
            assert "edge-app users first-engineer" in refused.json()["text"]
        eva = page.engineer()
        assert eva.post("/api/select", json=wish).status_code == 503  # no agent runs here
