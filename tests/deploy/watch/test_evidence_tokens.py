"""Pictures from pages with a token: it goes to the hosts that its owner named, and to no other."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from support.brokers import HOST

from deploy.watch.evidence import fetch_evidence
from deploy.watch.tokens import read_token, read_tokens, token_for
from edge_app.errors import ConfigError, DataError
from edge_app.mqtt.messages import EvidenceBody

TOKEN = "a-long-enough-token-0123"
PICTURE = b"picture"
SHA256 = hashlib.sha256(PICTURE).hexdigest()


class Guarded(BaseHTTPRequestHandler):
    """A page with a token; notes what it was sent."""

    seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization")
        self.seen.append(sent)
        is_let_in = sent == f"Bearer {TOKEN}"
        self.send_response(200 if is_let_in else 401)
        self.send_header("Content-Length", str(len(PICTURE) if is_let_in else 0))
        self.end_headers()
        if is_let_in:
            self.wfile.write(PICTURE)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def page() -> Iterator[ThreadingHTTPServer]:
    Guarded.seen.clear()
    with ThreadingHTTPServer((HOST, 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def fetch(page: ThreadingHTTPServer, folder: Path, tokens: dict[str, str]) -> Path:
    body = EvidenceBody(url=f"http://{HOST}:{page.server_address[1]}/1.jpg", sha256=SHA256)
    return fetch_evidence(body, folder, "x", tokens)


def test_the_named_host_gets_its_token(page: ThreadingHTTPServer, tmp_path: Path) -> None:
    """By host, or by host and port, which counts first."""
    port = page.server_address[1]
    assert fetch(page, tmp_path, {HOST: TOKEN}).read_bytes() == PICTURE
    assert fetch(page, tmp_path, {HOST: "x", f"{HOST}:{port}": TOKEN}).read_bytes() == PICTURE


@pytest.mark.parametrize("tokens", [{}, {"other.plant": TOKEN}, {f"{HOST}:1": TOKEN}])
def test_no_other_host_gets_one(
    page: ThreadingHTTPServer, tmp_path: Path, tokens: dict[str, str]
) -> None:
    """An alert that names somebody's own server learns nothing; the message says what to do."""
    with pytest.raises(DataError, match="name the host in --evidence-tokens"):
        fetch(page, tmp_path, tokens)
    assert Guarded.seen == [None]


def test_the_file_is_read_line_by_line(tmp_path: Path) -> None:
    """Comments and empty lines are passed over; hosts are compared in lower case."""
    file = tmp_path / "tokens"
    file.write_text(f"# presses\n\nPress-3.plant:8080  {TOKEN}\npress-4 other\n")
    tokens = read_tokens(file)
    assert token_for(urlsplit("http://press-3.PLANT:8080/a"), tokens) == TOKEN
    assert token_for(urlsplit("http://press-3.plant/a"), tokens) is None
    assert token_for(urlsplit("https://press-4:1/a"), tokens) == "other"


@pytest.mark.parametrize(
    "text", ["press-3", f"press-3 {TOKEN} more", f"http://press-3 {TOKEN}", "press-3 t\u00f6ken"]
)
def test_a_line_of_another_form_is_named_without_the_token(tmp_path: Path, text: str) -> None:
    """The mistake's line number, and nothing that is secret."""
    file = tmp_path / "tokens"
    file.write_text(f"# first\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2: expected HOST") as error:
        read_tokens(file)
    assert TOKEN not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens(tmp_path / "absent")


def test_one_token_goes_to_the_hosts_that_are_named_and_to_no_other(tmp_path: Path) -> None:
    """--token-file with --token-host; either alone, an address, or an empty file is refused, and
    no message shows the token."""
    file = tmp_path / "token"
    secret = "edge_0123456789abcdef"
    file.write_text(f"{secret}\n")
    tokens = read_token(file, ["Press-3.plant:8443", "press-4.plant"])
    assert token_for(urlsplit("https://press-3.plant:8443/x.jpg"), tokens) == secret
    assert token_for(urlsplit("https://press-3.plant/x.jpg"), tokens) is None
    assert token_for(urlsplit("https://press-4.plant:1/x.jpg"), tokens) == secret
    assert token_for(urlsplit("https://evil.example/x.jpg"), tokens) is None
    assert read_token(None, ()) == {}
    empty = tmp_path / "empty"
    empty.touch()
    for path, hosts in (
        (file, ()), (None, ["press-3"]), (file, ["https://press-3"]), (empty, ["press-3"]),
        (tmp_path / "none", ["press-3"]),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as refused:
            read_token(path, hosts)
        assert secret not in str(refused.value)
