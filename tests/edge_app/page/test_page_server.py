"""The page over real HTTP: what it answers, whom it refuses, and that it never slows the line."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from page_reports import make_event, make_report, make_verdict
from support.brokers import patient_s

from edge_app.alerts.evidence import EvidenceStore
from edge_app.errors import ConfigError
from edge_app.page.routes import MAX_STREAMS
from edge_app.page.server import LivePage
from edge_app.page.settings import PageSettings
from edge_app.page.source import LocalSource
from edge_app.page.state import PageState
from edge_app.records import EventKind, VerdictState

TOKEN = "a-long-enough-token-0123"
ADDRESSES = ("/", "/api/state", "/api/alerts", "/frame/belt-1.jpg", "/stream/belt-1.mjpeg",
             "/evidence/2026-01-01/a.jpg", "/healthz", "/static/page.js", "/nothing")  # fmt: skip


def raw(page: LivePage, head: str, limit: int = 65_536) -> bytes:
    """Return what the page answers to bytes that no well-behaved client would send."""
    port = int(page.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head.encode())
        return connection.recv(limit)


def test_the_page_and_its_parts_come_from_the_device(client: httpx.Client) -> None:
    """HTML, style and script are served; nothing in them names another host."""
    for address in ("/", "/static/page.css", "/static/page.js", "/static/icon.svg"):
        answer = client.get(address)
        assert answer.status_code == 200
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "//cdn" not in text


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_has_the_security_headers(client: httpx.Client, address: str) -> None:
    """Errors included: own scripts only, no framing, no sniffing; nothing is kept unasked."""
    answer = client.get(address)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_state_alerts_and_health_are_json(
    client: httpx.Client, state: PageState, store: EvidenceStore
) -> None:
    """A bad part appears in the state and as an alert whose picture can be fetched here."""
    bad = make_verdict(VerdictState.NG)
    evidence = store.save(bad.part_id, np.full((200, 320, 3), 90, np.uint8))
    state.show(make_report(seen=(bad,), events=(make_event(EventKind.NEW, bad),)))
    state.add_picture(make_event(EventKind.NEW, bad, evidence))
    state.set_broker("connected", is_good=True)
    shown = client.get("/api/state").json()
    assert shown["cameras"][0]["verdict"]["state"] == "NG"
    assert shown["broker"] == {"text": "connected", "is_good": True}
    (card,) = client.get("/api/alerts").json()["alerts"]
    picture = client.get(card["evidence"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert evidence is not None
    assert card["evidence"] in evidence.url
    assert client.get("/healthz").json() == {"page": "ok"}


def test_frames_are_served_with_and_without_the_map(client: httpx.Client, state: PageState) -> None:
    """The picture has the frame's size; the map changes it; an old number gets the new picture."""
    assert client.get("/frame/belt-1.jpg").status_code == 404
    state.set_map_threshold(1.0)
    state.show(make_report(seen=(make_verdict(VerdictState.NG),)))
    plain, mapped = client.get("/frame/belt-1.jpg?map=0"), client.get("/frame/belt-1.jpg?map=1")
    pixels = cv2.imdecode(np.frombuffer(plain.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (200, 320, 3)
    assert plain.content != mapped.content
    number = plain.headers["x-frame-sequence"]
    assert client.get(f"/frame/belt-1.jpg?after={number}").status_code == 204
    assert client.get("/frame/belt-1.jpg?after=0").status_code == 200
    assert client.get("/frame/belt-1.jpg?after=99999").status_code == 200
    assert client.get("/frame/belt-1.jpg?after=x").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/evidence/../secret.jpg", "/evidence/2026-01-01/../../secret.jpg", "/evidence//etc/passwd",
     "/evidence/%2e%2e/secret.jpg", "/evidence/..%2fsecret.jpg", "/static/../server.py",
     "/static/%2e%2e/server.py", "/static/..%2fserver.py"],
)  # fmt: skip
def test_no_path_leads_out(page: LivePage, tmp_path: Path, path: str) -> None:
    """Sent byte for byte, no traversal reads anything but 404."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    answer = raw(page, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"secret" not in answer
    assert b"uvicorn" not in answer


def test_the_stream_shows_new_frames_as_they_come(client: httpx.Client, state: PageState) -> None:
    """Two frames shown, two parts received, each a whole JPEG."""
    assert client.get("/stream/belt-1.mjpeg").status_code == 404
    state.show(make_report())
    with client.stream("GET", "/stream/belt-1.mjpeg") as answer:
        assert "multipart/x-mixed-replace" in answer.headers["content-type"]
        received = b""
        for chunk in answer.iter_raw():
            received += chunk
            if received.count(b"\xff\xd9\r\n") == 1:
                state.show(make_report(seen=(make_verdict(VerdictState.OK),)))
            if received.count(b"\xff\xd9\r\n") == 2:
                break
    assert received.count(b"--cropliq-frame\r\nContent-Type: image/jpeg\r\n") == 2


def test_too_many_streams_are_told_so(page: LivePage, state: PageState) -> None:
    """The ninth endless client gets 503 in plain words; the page itself still answers."""
    state.show(make_report())
    port = int(page.url.rsplit(":", 1)[1])
    ask = b"GET /stream/belt-1.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_STREAMS)]
    for connection in clients:
        connection.sendall(ask)
        connection.recv(200)
    answer = httpx.get(f"{page.url}/stream/belt-1.mjpeg", trust_env=False)
    assert answer.status_code == 503
    assert "streams are open" in answer.text
    assert httpx.get(f"{page.url}/api/state", trust_env=False).status_code == 200
    for connection in clients:
        connection.close()


def test_a_client_that_never_reads_does_not_slow_the_line(page: LivePage, state: PageState) -> None:
    """With a deaf stream open, showing 1000 frames of 1.9 MB costs the line under 1 ms of
    its processor time each, and it waits for nobody."""
    noise = np.random.default_rng(5).integers(0, 255, (3, 640, 1000, 3), dtype=np.uint8)
    plain = make_report(seen=(make_verdict(VerdictState.NG),))
    reports = [replace(plain, frame=replace(plain.frame, pixels_hwc=pixels)) for pixels in noise]
    state.show(reports[0])
    port = int(page.url.rsplit(":", 1)[1])
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    deaf.sendall(b"GET /stream/belt-1.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.3)
    started_s = time.thread_time()
    for number in range(1000):
        state.show(reports[number % 3])
    spent_s = time.thread_time() - started_s
    assert spent_s < 1.0
    assert (
        httpx.get(f"{page.url}/api/state", trust_env=False).json()["cameras"][0]["sequence"] > 1e3
    )
    stopping_s = time.perf_counter()
    page.stop()
    assert time.perf_counter() - stopping_s < patient_s(5)
    deaf.close()


def test_a_stopped_page_frees_its_port(state: PageState) -> None:
    """After stop, twice for good measure, the same port can be served again."""
    first = LivePage(PageSettings(port=0), LocalSource(state))
    first.start()
    port = int(first.url.rsplit(":", 1)[1])
    first.stop()
    first.stop()
    second = LivePage(PageSettings(port=port), LocalSource(state))
    second.start()
    assert httpx.get(f"{second.url}/healthz", trust_env=False).status_code == 200
    second.stop()


def test_a_taken_port_is_said_at_start(page: LivePage, state: PageState) -> None:
    """The error names the port and what to do."""
    port = int(page.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*Choose another page\.port"):
        LivePage(PageSettings(port=port), LocalSource(state)).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera-pc"])
def test_other_machines_need_a_token(host: str) -> None:
    """Without a token the page refuses to be bound where others can reach it."""
    with pytest.raises(ConfigError, match="give it a token"):
        PageSettings(host=host)
    assert PageSettings(host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "short", "x" * 15])
def test_a_guessable_token_is_refused_and_none_is_printed(token: str) -> None:
    """Under 16 characters is an error; the token never shows in a log of the settings."""
    with pytest.raises(ConfigError, match="openssl rand -hex 16"):
        PageSettings(token=token)
    assert TOKEN not in repr(PageSettings(token=TOKEN))


def test_without_a_token_only_loopback_names_are_answered(page: LivePage) -> None:
    """A web site that points its own name at 127.0.0.1 reads nothing."""
    own = ("localhost", "localhost:1", "127.0.0.1", "[::1]:80", "[::1]")
    strange = ("evil.example", "", "localhost.evil.example:80", "10.0.0.5:8080")
    for name, status in [(n, 200) for n in own] + [(n, 403) for n in strange]:
        answer = raw(page, f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n")
        assert answer.startswith(f"HTTP/1.1 {status}".encode()), name


@pytest.fixture
def guarded(state: PageState, store: EvidenceStore) -> Iterator[LivePage]:
    live = LivePage(PageSettings(port=0, token=TOKEN), LocalSource(state), store)
    live.start()
    yield live
    live.stop()


def test_with_a_token_nothing_is_answered_without_it(guarded: LivePage, state: PageState) -> None:
    """Every address says 401 in plain words to no token, a wrong one, and a token in the cookie."""
    state.show(make_report())
    with httpx.Client(base_url=guarded.url, trust_env=False) as http:
        for address in ADDRESSES:
            answer = http.get(address)
            assert answer.status_code == 401, address
            assert "?token=" in answer.text
            assert TOKEN not in answer.text
        assert http.get("/healthz?token=wrong").status_code == 401
        for wrong in ("Bearer nonsense", f"Basic {TOKEN}", "Bearer", "Bearer ünï", TOKEN):
            headers = {b"Authorization": wrong.encode()}
            assert http.get("/healthz", headers=headers).status_code == 401, wrong
        cookie = {"Cookie": f"cropliq_page={TOKEN}"}
        assert http.get("/healthz", headers=cookie).status_code == 401


def test_the_token_opens_the_page_once_and_for_all(guarded: LivePage, state: PageState) -> None:
    """`?token=` sets a cookie and leaves the address bar clean; a bearer header works as well."""
    state.show(make_report())
    with httpx.Client(base_url=guarded.url, trust_env=False) as http:
        answer = http.get(f"/?map=1&token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?map=1")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert http.get("/api/state").status_code == 200
        assert http.get("/frame/belt-1.jpg").status_code == 200
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{guarded.url}/api/state", headers=bearer, trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["/api/state", "/api/alerts", "/frame/belt-1.jpg?map=1"])
def test_a_script_with_the_token_in_its_address_is_answered(
    guarded: LivePage, state: PageState, path: str
) -> None:
    """Without a cookie and without following a redirect; a wrong token is refused as ever."""
    state.show(make_report())
    mark = "&" if "?" in path else "?"
    answer = httpx.get(f"{guarded.url}{path}{mark}token={TOKEN}", trust_env=False)
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert httpx.get(f"{guarded.url}{path}{mark}token=x", trust_env=False).status_code == 401


def test_the_token_link_never_leads_to_another_host(guarded: LivePage) -> None:
    """`//evil.example/?token=` is answered with a path on this device."""
    head = f"GET //evil.example/?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(guarded, head).decode().lower()
    assert "location: /evil.example/\r\n" in answer
