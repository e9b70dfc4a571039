"""The API over real HTTP: parts, counts, orders, pictures; and its document, held to the routes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator
from people_pages import PAGE_TOKEN, SHA256, PeoplePage, at_once, people_page
from starlette.routing import Mount, Route
from support.history_parts import START_NS
from support.openapi_requests import RequestMaker

from edge_app.audit.log import AuditLog
from edge_app.audit.records import AuditEntry
from edge_app.audit.schema import AUDIT_FILE
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.ipc.order_schema import Pause, Resume, SetLimit, UndoLimit
from edge_app.page.api.write_document import document_text, main
from edge_app.page.rights import RightRoute
from edge_app.records import JsonObject

ROOT = Path(__file__).parents[3]
DOCUMENT = json.loads(document_text())
START = datetime.fromtimestamp(START_NS / 1e9, timezone.utc)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PeoplePage]:
    with people_page(tmp_path / "page") as served:
        served.remembers(25)
        served.shows_a_part()
        yield served


def checked(answer: httpx.Response, model: str) -> JsonObject:
    """Return an answer that is as the document says."""
    assert answer.status_code in (200, 201), answer.text
    schema = {"$ref": f"#/components/schemas/{model}", "components": DOCUMENT["components"]}
    found: JsonObject = answer.json()
    Draft202012Validator(schema).validate(found)
    return found


def test_the_document_in_docs_is_the_one_of_the_code(tmp_path: Path) -> None:
    """`make schemas` writes it; whoever changes the API writes it anew."""
    assert main([str(tmp_path)]) == 0
    written = (tmp_path / "openapi.json").read_text(encoding="utf-8")
    assert written == document_text()
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == written
    assert main([]) == 2


def of_the_api(page: PeoplePage) -> list[RightRoute]:
    """Return the routes below /api/v1 but the document's own; each states what it needs."""
    found = []
    for route in page.live.routes:
        assert isinstance(route, (Mount, Route))
        if route.path.startswith("/api/v1/") and not route.path.endswith("openapi.json"):
            assert isinstance(route, RightRoute)
            found.append(route)
    return found


def methods_of(route: RightRoute) -> set[str]:
    assert route.methods is not None
    return route.methods


def test_the_document_names_every_operation_with_its_problem(page: PeoplePage) -> None:
    """Each route of the API is in it, with what it asks; every reference leads somewhere."""
    routes = {
        (method.lower(), route.path.replace(":int", "").replace(":path", ""), route.need.value)
        for route in of_the_api(page)
        for method in methods_of(route) - {"HEAD"}
    }
    told = {
        (method, path, operation["x-needs"])
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert told == routes
    assert page.client().get("/api/v1/openapi.json").json() == DOCUMENT
    names = DOCUMENT["components"]["schemas"]
    text = json.dumps(DOCUMENT)
    for piece in text.split('"$ref": "#/components/schemas/')[1:]:
        assert piece.partition('"')[0] in names
    ids = [o["operationId"] for m in DOCUMENT["paths"].values() for o in m.values()]
    assert len(set(ids)) == len(ids)


def test_parts_come_page_by_page_and_each_once(page: PeoplePage) -> None:
    """The cursor of a page leads to the next; the last has none; filters are the command's."""
    client = page.client()
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(4):
        query = {"limit": "10"} | ({"cursor": cursor} if cursor else {})
        found = checked(client.get("/api/v1/parts", params=query), "PartsPage")
        seen += [part["id"] for part in found["parts"]]
        cursor = found["next"]
        if cursor is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == 25
    (bad,) = checked(client.get("/api/v1/parts?state=NG"), "PartsPage")["parts"]
    assert (bad["part_id"], bad["is_final"], len(bad["defects"])) == ("c-2", True, 1)
    assert checked(client.get(f"/api/v1/parts/{bad['id']}"), "Part") == bad
    for name, value, count in (
        ("class", "crack", 1), ("part", "c-7", 1), ("camera", "other", 0), ("suspects", "true", 0),
        ("from", (START + timedelta(seconds=20)).isoformat(), 6),
        ("to", (START + timedelta(seconds=20)).isoformat().replace("+00:00", "Z"), 19),
    ):  # fmt: skip
        found = client.get("/api/v1/parts", params={name: value}).json()
        assert len(found["parts"]) == count, name
    for wrong in ("999999", str(2**63), "9" * 60):
        assert client.get(f"/api/v1/parts/{wrong}").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "state=GOOD", "from=yesterday", "cursor=-1", "odd=1",
     "from=9999-01-01", "from=0001-01-01T00:00:00Z", "camera=a&camera=b", "class=", "suspects=1",
     "part=%00", "limit=%D9%A1"],
)  # fmt: skip
def test_a_wrong_question_is_told_what_is_wrong(page: PeoplePage, query: str) -> None:
    """400 as problem+json, in a sentence that names the parameter."""
    answer = page.client().get(f"/api/v1/parts?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert query.partition("=")[0] in answer.json()["detail"]


def test_counts_come_per_hour_day_and_shift(page: PeoplePage) -> None:
    """25 parts, one of them bad, whatever the division; too long a time is refused."""
    client = page.client()
    span = {
        "from": (START - timedelta(hours=1)).isoformat(),
        "to": (START + timedelta(hours=1)).isoformat(),
    }
    for per in ("hour", "shift", "day"):
        counts = checked(client.get("/api/v1/counts", params={**span, "per": per}), "Counts")
        rows = counts["counts"]
        assert sum(row["ok"] for row in rows) == 24
        assert sum(row["ng"] for row in rows) == 1
        assert {row["camera"] for row in rows} == {"c"}
    span["from"] = (START - timedelta(days=40)).isoformat()
    refused = client.get("/api/v1/counts", params=span)
    assert refused.status_code == 400
    assert "31 days" in refused.json()["detail"]
    assert client.get("/api/v1/counts", params={**span, "per": "day"}).status_code == 200


def test_a_question_that_takes_too_long_is_given_up(page: PeoplePage) -> None:
    """503 and what to do; the transaction is over, so that the writer's log can be folded back."""
    reader = HistoryReader(page.history, 0.05)
    started_s = time.monotonic()
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with pytest.raises(Exception, match="did not answer within"), reader._opened() as connection:
        connection.execute(endless).fetchall()
    assert time.monotonic() - started_s < 20
    assert len(reader.parts(PartFilter())) == 25


def test_many_questions_at_once_are_answered_or_told_to_wait(page: PeoplePage) -> None:
    """Forty at once: nobody waits for ever, the live page answers meanwhile."""
    found = at_once(40, lambda _: page.client().get("/api/v1/parts?limit=500").status_code)
    assert set(found) <= {200, 503}
    assert page.client().get("/api/state").status_code == 200


def test_orders_carry_their_author_and_inspections_own_words(page: PeoplePage) -> None:
    """A person's, a program's; what inspection refuses is 409 in its words; without it, 503."""
    page.engineer()
    anna, tuner = page.person("operator", "anna"), page.program("engineer", "tuner")
    done = anna.post("/api/v1/pause", json={"camera": "c", "minutes": 10, "why": "tool change"})
    assert checked(done, "Done")["is_done"] is True
    anna.post("/api/v1/resume", json={"camera": "c", "why": "tool changed"})
    change = {"score_threshold": 2.5, "for_sha256": SHA256, "why": "new lamp, shift book 40"}
    checked(tuner.post("/api/v1/limits/main", json=change), "Done")
    tuner.post("/api/v1/limits/main/undo", json={"why": "lamp replaced"})
    told = [
        (o.type, o.author.kind, o.author.name, o.author.role, o.why)
        for o in page.orders
        if isinstance(o, (SetLimit, UndoLimit, Pause, Resume))
    ]
    assert told == [
        ("pause", "person", "anna", "operator", "tool change"),
        ("resume", "person", "anna", "operator", "tool changed"),
        ("set_limit", "machine", "tuner", "engineer", "new lamp, shift book 40"),
        ("undo_limit", "machine", "tuner", "engineer", "lamp replaced"),
    ]
    assert len(page.orders) == len({o.order_id for o in page.orders}) == 4
    page.is_refusing = True
    refused = tuner.post("/api/v1/limits/main", json=change)
    assert (refused.status_code, refused.json()["detail"]) == (
        409, "The slot holds another bundle.",
    )  # fmt: skip
    nothing = {"for_sha256": SHA256, "why": "no reason"}
    assert tuner.post("/api/v1/limits/main", json=nothing).status_code == 400
    page._ear.stop()
    gone = anna.post("/api/v1/pause", json={"minutes": 5, "why": "tool change"})
    assert gone.status_code == 503
    assert "takes no orders" in gone.json()["detail"]


def test_the_audit_is_read_page_by_page(tmp_path: Path) -> None:
    """The newest first; without one it is said; its head comes from inspection."""
    with people_page(tmp_path / "page") as page:
        client = page.client()
        assert client.get("/api/v1/audit").status_code == 503
        log = AuditLog(tmp_path / "page" / AUDIT_FILE)
        for number in range(5):
            log.record(AuditEntry("user_added", "person", "eva", "engineer", new=f"v{number}"))
        log.close()
        first = checked(client.get("/api/v1/audit?limit=3"), "AuditPage")
        rest = checked(client.get(f"/api/v1/audit?limit=9&cursor={first['next']}"), "AuditPage")
        news = [record["new"] for record in first["records"] + rest["records"]]
        assert [n for n in news if n] == ["v4", "v3", "v2", "v1", "v0"]
        assert rest["next"] is None
        assert checked(client.get("/api/v1/audit/head"), "AuditHead")["audit_head"].endswith(":1")


def test_a_picture_opens_by_a_signed_address_until_it_expires(tmp_path: Path) -> None:
    """For whoever has the address, only that picture, only so long, only unaltered."""
    with people_page(tmp_path / "page", token=PAGE_TOKEN) as page:
        stranger = page.client()
        direct = f"/api/v1/evidence/{page.picture}"
        assert stranger.get(direct).status_code == 401
        program = page.program("viewer")
        assert program.get(direct).headers["content-type"] == "image/jpeg"
        wish = {"picture": page.picture, "valid_s": 60}
        made = checked(program.post("/api/v1/evidence-urls", json=wish), "SignedUrl")
        assert stranger.get(made["url"]).content == program.get(direct).content
        path, _, query = made["url"].partition("?")
        for altered in (
            made["url"][:-1] + ("0" if made["url"][-1] != "0" else "1"),
            f"{path}x?{query}",
            f"/api/v1/parts?{query}",
            f"/api/v1/evidence/../parts?{query}",
            made["url"].replace("expires=1", "expires=2"),
            f"{path}?signature=&expires=",
        ):
            assert stranger.get(altered).status_code == 401, altered
        page.clock.now_s += 60
        assert stranger.get(made["url"]).status_code == 401
        for missing in ("2026-01-01/none.jpg", "2026-01-01/..jpg"):
            wish = {"picture": missing, "valid_s": 60}
            assert program.post("/api/v1/evidence-urls", json=wish).status_code == 404


def test_what_there_is_not_is_a_problem_in_words(page: PeoplePage) -> None:
    """Unknown address, wrong method, other types, too long a body."""
    client = page.client()
    for answer, status in (
        (client.get("/api/v1/nothing"), 404),
        (client.put("/api/v1/parts"), 405),
        (client.post("/api/v1/session", content=b"{}"), 415),
        (client.post("/api/v1/session", json={"name": "x" * 20_000, "password": "y"}), 413),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(".") or "openapi" in answer.json()["detail"]


@pytest.mark.parametrize("count", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_no_request_of_the_document_makes_the_page_fail(page: PeoplePage, count: int) -> None:
    """Valid and odd ones, by an engineer's program and by a stranger: answered as the document
    says or refused in words, never 500, and the page lives."""
    program, stranger = page.program("engineer", "fuzz"), page.client()
    statuses: set[int] = set()
    for made in RequestMaker(DOCUMENT, 1).requests(count):
        if made.path == "/api/v1/tokens/fuzz":
            continue  # its own
        for client in (program, stranger):
            headers = {} if made.body is None else {"Content-Type": "application/json"}
            answer = client.request(
                made.method, made.path, params=made.query, content=made.body, headers=headers
            )
            statuses.add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 503, (made, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", made
                assert set(answer.json()) == {"title", "status", "detail"}
    assert {200, 201, 400, 401, 404} <= statuses
    assert page.client().get("/healthz").status_code == 200
