"""The page's own files over real HTTP: packed, asked for anew, and nothing else packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from test_view_weight import MOST_BYTES, loaded_by

from edge_app.page.server import LivePage
from edge_app.page.static_files import StaticFiles
from edge_app.page.views import STATIC, VIEWS, WAY_IN


def raw(client: httpx.Client, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Return an answer and the bytes that came, as they were sent."""
    with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize("tag", ["en", "ko"])
def test_all_views_together_are_light_as_they_are_sent(client: httpx.Client, tag: str) -> None:
    """Every file of every view in one language, once each, and the way in: under 150 kB."""
    paths = {f"/static/{p.relative_to(STATIC)}" for v in VIEWS for p in loaded_by(v, tag)}
    paths = {path for path in paths if not path.endswith(".html")} | {v.path for v in VIEWS}
    paths |= {path for path in WAY_IN if "/words/" not in path or tag in path}
    sent = 0
    for path in paths:
        answer, data = raw(client, path, **{"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, path
        sent += len(data)
    assert len(paths) > 40
    assert sent < MOST_BYTES, sent


def test_a_file_is_the_same_packed_and_plain(client: httpx.Client) -> None:
    """A browser that unpacks nothing gets it plain; a proxy is told that there are two forms."""
    path = "/static/page.css"
    packed, data = raw(client, path, **{"Accept-Encoding": "br, gzip;q=0.5"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(data) == (STATIC / "page.css").read_bytes()
    for wish in ("identity", "gzip;q=0", ""):
        plain, whole = raw(client, path, **{"Accept-Encoding": wish})
        assert "content-encoding" not in plain.headers
        assert whole == (STATIC / "page.css").read_bytes()
    assert {a.headers["vary"] for a in (plain, packed)} == {"Accept-Encoding"}


def test_no_browser_keeps_a_file_of_another_release(client: httpx.Client) -> None:
    """Nothing to keep it by, and a question for what has changed since gets the whole file."""
    whole = client.get("/static/page.js")
    assert whole.headers["cache-control"] == "no-store"
    assert not {"etag", "last-modified", "expires"} & set(whole.headers)
    again = client.get("/static/page.js", headers={"If-None-Match": "*"})
    assert (again.status_code, again.content) == (200, whole.content)


def test_what_may_hold_a_secret_is_not_packed(client: httpx.Client) -> None:
    """The API, the state, the report: only the files that are the same for everybody are packed."""
    for path in ("/api/state", "/api/v1/me", "/api/v1/openapi.json", "/api/v1/report", "/healthz"):
        answer, _ = raw(client, path, **{"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers, path


def test_only_the_pages_own_files_are_there(page: LivePage, client: httpx.Client) -> None:
    """No folder, no Python, no other method; a page of HTML is not kept by the browser."""
    for path in ("/static/", "/static/words", "/static/../views.py", "/static/page.css/"):
        assert client.get(path).status_code == 404
    assert client.post("/static/page.css").status_code == 405
    head = client.head("/static/page.css")
    assert (head.status_code, head.content) == (200, b"")
    assert client.get("/").headers["cache-control"] == "no-store"
    assert page.is_alive


def test_a_file_that_changes_is_sent_anew_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    """Another release in the same place; a file of another kind is never sent."""
    file = tmp_path / "a.css"
    file.write_text("a { color: red }")
    (tmp_path / "a.py").write_text("secret")
    files = StaticFiles(tmp_path)
    assert asked(files, "a.css").body == b"a { color: red }"
    file.write_text("a { color: blue }")
    assert asked(files, "a.css").body == b"a { color: blue }"
    assert asked(files, "a.py").status_code == 404
    file.unlink()
    assert asked(files, "a.css").status_code == 404


def asked(files: StaticFiles, name: str) -> Response:
    return files.answer(Request({"type": "http", "headers": []}), name)
