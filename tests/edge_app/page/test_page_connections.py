"""What a client may take of the page: places, time in every phase, numbers of any length."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from page_reports import make_report
from support.brokers import patient_s, wait_until

from edge_app.alerts.evidence import EvidenceStore
from edge_app.page import connections
from edge_app.page.server import LivePage
from edge_app.page.state import PageState

HOST = "Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
DIGITS = "9" * 5000
QUICK_S = 0.3


@pytest.fixture(autouse=True)
def _quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fractions of a second in place of tens."""
    monkeypatch.setattr(connections, "PHASE_S", dict.fromkeys(connections.PHASE_S, QUICK_S))
    monkeypatch.setattr(connections, "STALLED_S", QUICK_S)
    monkeypatch.setattr(connections, "CLOSING_S", QUICK_S)
    monkeypatch.setattr(connections, "TICK_S", 0.1)


def connect(page: LivePage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(page.url.rsplit(":", 1)[1])), timeout=10)


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the page hangs up; fail if it does not."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def is_served(page: LivePage) -> bool:
    return httpx.get(f"{page.url}/healthz", trust_env=False, timeout=10).status_code == 200


def drip(connection: socket.socket, piece: bytes, until: Callable[[], bool]) -> None:
    """Send a byte now and then, as the slowest client would, until the page hangs up."""
    with suppress(OSError):
        while not until():
            connection.sendall(piece)
            time.sleep(0.05)


SLOW = {
    "nothing at all": (b"", b""),
    "half a request line": (b"GET /healthz HT", b""),
    "headers without end": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"X: 1\r\n"),
    "a body that does not come": (
        b"POST /api/select HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4000\r\n\r\n{",
        b" ",
    ),
    "chunks without end": (
        b"POST /api/select HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "a body for an address that takes none": (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n",
        b" ",
    ),
    "a second request that stops": (GET + b"GET /", b""),
}


@pytest.mark.parametrize("what", SLOW)
def test_every_phase_of_a_request_has_its_time(page: LivePage, what: str) -> None:
    """Whoever does not send, or sends a byte now and then, is hung up on; others are served."""
    start, piece = SLOW[what]
    with closing(connect(page)) as slow:
        slow.sendall(start)
        began_s = time.monotonic()
        if piece:
            drip(slow, piece, lambda: time.monotonic() - began_s > 40)
        slow.settimeout(40)
        everything(slow)
        assert time.monotonic() - began_s < patient_s(7)
        assert is_served(page)


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(
    page: LivePage, state: PageState, store: EvidenceStore
) -> None:
    """A stream, a large picture, and answers asked for one behind the other without reading."""
    noise = np.random.default_rng(3).integers(0, 255, (2000, 2000, 3), np.uint8)
    kept = store.save("large", noise)
    assert kept is not None
    state.show(make_report())
    path = kept.url.partition("8080")[2].encode()
    head = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    held = page._server.server_state.connections
    for ask in (b"GET " + path + head, (b"GET /static/page.js" + head) * 200):
        with closing(socket.socket()) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", int(page.url.rsplit(":", 1)[1])))
            deaf.sendall(ask)
            wait_until(lambda: len(held) > 0)
            wait_until(lambda: len(held) == 0, 8, "hung up on")
    assert is_served(page)


def test_idle_connections_shut_nobody_out(
    page: LivePage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Four times as many as fit, silent for ever: everybody else is answered at once, and the
    page holds no more than fit."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    monkeypatch.setattr(connections, "PHASE_S", {})
    with ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(closing(connect(page)))
            assert len(page._server.server_state.connections) <= 80
        for _ in range(5):
            assert is_served(page)
        held = page._server.server_state.connections
        wait_until(lambda: len(held) <= 21)


def test_a_client_in_the_middle_of_an_answer_keeps_its_place(
    page: LivePage, state: PageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The idle go first; where nobody is idle the newcomer is told that it is full."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    state.show(make_report())
    ask = b"GET /stream/belt-1.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(connect(page))) for _ in range(3)]
        for stream in streams:
            stream.sendall(ask)
            assert stream.recv(200).startswith(b"HTTP/1.1 200")
        with closing(connect(page)) as refused:
            answer = everything(refused)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Too many clients ask at once" in answer
        state.show(make_report())
        for stream in streams:
            assert stream.recv(65_536)


NUMBERS = {
    "a range": f"GET /static/page.js HTTP/1.1\r\n{HOST}Range: bytes=0-{DIGITS}\r\n\r\n",
    "a range's end": f"GET /static/page.js HTTP/1.1\r\n{HOST}Range: bytes=-{DIGITS}\r\n\r\n",
    "many ranges": (
        f"GET /static/page.js HTTP/1.1\r\n{HOST}Range: bytes={','.join(['0-1'] * 2000)}\r\n\r\n"
    ),
    "a length": f"POST /api/select HTTP/1.1\r\n{HOST}Content-Length: {DIGITS}\r\n\r\n",
    "a chunk": (f"POST /healthz HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{DIGITS}\r\n"),
    "a picture's number": f"GET /frame/belt-1.jpg?after={DIGITS} HTTP/1.1\r\n{HOST}\r\n",
    "a port": f"GET /healthz HTTP/1.1\r\nHost: localhost:{DIGITS}\r\n\r\n",
    "a version": f"GET /healthz HTTP/{DIGITS}\r\n{HOST}\r\n",
    "a condition": f"GET /static/page.js HTTP/1.1\r\n{HOST}If-Modified-Since: {DIGITS}\r\n\r\n",
    "a cookie": f"GET /healthz HTTP/1.1\r\n{HOST}Cookie: a={DIGITS}\r\n\r\n",
    "a camera": f"GET /frame/{DIGITS}.jpg HTTP/1.1\r\n{HOST}\r\n",
    "a date": f"GET /evidence/{DIGITS}-01-01/a.jpg HTTP/1.1\r\n{HOST}\r\n",
    "bytes that are no text": f"GET /\x80\xff HTTP/1.1\r\n{HOST}\r\n",
    "a percent sign": f"GET /static/%00%ff%e2 HTTP/1.1\r\n{HOST}\r\n",
    "large headers": "GET /healthz HTTP/1.1\r\n" + HOST + "X-A: 1\r\n" * 20_000 + "\r\n",
}


@pytest.mark.parametrize("what", NUMBERS)
def test_whatever_is_asked_gets_an_answer(page: LivePage, what: str) -> None:
    """5,000 digits wherever a number may stand, and worse: a status line comes back each time."""
    with closing(connect(page)) as connection:
        data = NUMBERS[what].encode("latin-1")
        with suppress(OSError):  # hung up on before all was sent: the answer is there
            connection.sendall(data)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert int(answer.split()[1]) < 500
    assert is_served(page)


def test_a_sensible_range_is_still_served(page: LivePage, store: EvidenceStore) -> None:
    """A part of a picture, for a browser that goes on loading."""
    kept = store.save("some", np.zeros((90, 90, 3), np.uint8))
    assert kept is not None
    path = kept.url.partition("8080")[2]
    answer = httpx.get(f"{page.url}{path}", headers={"Range": "bytes=10-19"}, trust_env=False)
    assert (answer.status_code, len(answer.content)) == (206, 10)


def test_upgrade_requests_are_answered_in_http(
    page: LivePage, caplog: pytest.LogCaptureFixture
) -> None:
    """All of one cause, so that the log's limit counts them in one line."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with caplog.at_level(logging.INFO), closing(connect(page)) as connection:
        for _ in range(50):
            connection.sendall(head + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
    causes = {(r.name, r.levelno, r.msg) for r in caplog.records if r.name != "httpx"}
    assert len(causes) == 1


def test_evidence_that_the_account_may_not_read_is_said(
    page: LivePage, store: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not "no longer kept": the cause is a right that lacks."""

    def refuse(_self: EvidenceStore, _path: str) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(EvidenceStore, "path_of", refuse)
    answer = httpx.get(f"{page.url}/evidence/2026-01-01/a.jpg", trust_env=False)
    assert answer.status_code == 503
    assert "may not read" in answer.text
