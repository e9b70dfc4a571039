"""Servers that drip, hang, or send the watcher elsewhere: each costs a stated time at most."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.brokers import HOST, patient_s

from deploy.watch import evidence as evidence_module
from deploy.watch.evidence import fetch_evidence
from edge_app.errors import DataError
from edge_app.mqtt.messages import EvidenceBody

PICTURE = b"picture"
SHA256 = hashlib.sha256(PICTURE).hexdigest()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + PICTURE
Answer = Callable[[socket.socket, bytes], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], int]]:
    """Return a function that starts a server with this answer to each request; gives its port."""
    listeners: list[socket.socket] = []
    over = threading.Event()

    def start(answer: Answer) -> int:
        listener = socket.create_server((HOST, 0))
        listeners.append(listener)

        def accept() -> None:
            while not over.is_set():
                with suppress(OSError):
                    client, _ = listener.accept()
                    threading.Thread(target=talk, args=(client,), daemon=True).start()

        def talk(client: socket.socket) -> None:
            with client, suppress(OSError):
                answer(client, client.recv(65536))

        threading.Thread(target=accept, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    over.set()
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def fetch(port: int, folder: Path, path: str = "/1.jpg") -> Path:
    body = EvidenceBody(url=f"http://{HOST}:{port}{path}", sha256=SHA256)
    return fetch_evidence(body, folder, "x")


def drip(whole: bytes) -> Answer:
    def answer(client: socket.socket, _request: bytes) -> None:
        for byte in whole:
            client.sendall(bytes([byte]))
            time.sleep(0.1)

    return answer


@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Slow: " + b"x" * 1000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
        b"x" * 1000,
    ],
    ids=["headers", "body", "no HTTP"],
)
def test_a_server_that_drips_is_given_up(
    serve: Callable[[Answer], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    """A byte now and then never runs into a time-out for silence; the whole has a limit."""
    monkeypatch.setattr(evidence_module, "FETCH_TIMEOUT_S", 0.6)
    begin_s = time.monotonic()
    with pytest.raises(DataError, match="cannot be fetched: not read within"):
        fetch(serve(drip(whole)), tmp_path)
    assert time.monotonic() - begin_s < patient_s(5)
    assert not list(tmp_path.iterdir())


def test_a_redirect_to_another_host_is_refused(
    serve: Callable[[Answer], int], tmp_path: Path
) -> None:
    """Nobody asks a server that the alert did not name."""
    asked = threading.Event()

    def elsewhere(client: socket.socket, _request: bytes) -> None:
        asked.set()
        client.sendall(OK)

    target = serve(elsewhere)
    head = f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{target}/1.jpg\r\n\r\n".encode()
    port = serve(lambda client, _request: client.sendall(head))
    with pytest.raises(DataError, match="redirected to another server"):
        fetch(port, tmp_path)
    assert not asked.is_set()


def test_a_redirect_on_the_same_host_is_followed_a_few_times(
    serve: Callable[[Answer], int], tmp_path: Path
) -> None:
    """Once is fine, in a circle is not."""

    def answer(client: socket.socket, request: bytes) -> None:
        place = b"/2.jpg" if b"/1.jpg" in request else b"/round"
        moved = b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\n\r\n"
        client.sendall(OK if b"/2.jpg" in request else moved)

    port = serve(answer)
    assert fetch(port, tmp_path).read_bytes() == PICTURE
    with pytest.raises(DataError, match="redirected again and again"):
        fetch(port, tmp_path, "/round")


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[::1", "http://h:99999/x", "http://h\x1b[2J/x", "gopher://h/x", "\n", "x"],
)
def test_what_is_no_address_is_refused_in_plain_words(url: str, tmp_path: Path) -> None:
    """The message can be shown on a terminal."""
    with pytest.raises(DataError) as raised:
        fetch_evidence(EvidenceBody(url=url, sha256=SHA256), tmp_path, "x")
    assert str(raised.value).isprintable()


def test_an_error_page_is_not_a_picture(serve: Callable[[Answer], int], tmp_path: Path) -> None:
    """The status is named."""
    page = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    port = serve(lambda client, _request: client.sendall(page))
    with pytest.raises(DataError, match="the server answers 404"):
        fetch(port, tmp_path)
