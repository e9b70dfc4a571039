"""The page over its own TLS: real handshakes, plain HTTP told off, silent clients hung up on."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import httpx
import pytest
from page_processes import paged_line, state_of
from people_pages import PASSWORD, ROOT, PeoplePage, at_once, people_page
from support.app_config import write_config
from support.brokers import wait_until

from edge_app.cli.main import main
from edge_app.config.page_certificate import ServerCertificate, context_of
from edge_app.errors import ConfigError
from edge_app.page import tls_gate
from edge_app.page.api.catalogue import TLS_COOKIE
from edge_app.page.tls_make import make_certificate

MADE = make_certificate(["localhost", "127.0.0.1"], datetime.now(timezone.utc))


@pytest.fixture
def trusting(tmp_path: Path) -> ssl.SSLContext:
    """A client that trusts this certificate alone."""
    return ssl.create_default_context(cadata=MADE.chain_pem)


def port_of(page: PeoplePage) -> int:
    return int(page.url.rsplit(":", 1)[1])


def test_a_browser_is_served_over_tls_with_a_cookie_for_tls_only(
    tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    """TLS 1.2 and 1.3, the certificate that was made, a login that never goes over plain HTTP; a
    picture of many kilobytes comes whole, and eight clients are served at once."""
    with people_page(tmp_path, tls=MADE) as page:
        page.shows_a_part()
        assert page.url.startswith("https://127.0.0.1:")
        code = page.directory.first_engineer_code(ROOT)
        with httpx.Client(base_url=page.url, verify=trusting, trust_env=False) as eva:
            body = {"code": code, "name": "eva", "password": PASSWORD}
            answer = eva.post("/api/v1/session/code", json=body)
            assert answer.status_code == 200, answer.text
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith(f"{TLS_COOKIE}=")
            assert "Secure" in cookie
            assert eva.get("/api/v1/me").json()["name"] == "eva"
            big = b"x" * 300_000
            assert eva.post("/api/v1/session", content=big).status_code in (413, 415)

        def look(_: int) -> int:
            address = f"{page.url}/frame/belt-1.jpg"
            return len(httpx.get(address, verify=trusting, trust_env=False).content)

        assert min(at_once(8, look)) > 1000
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting.minimum_version = trusting.maximum_version = version
            assert httpx.get(f"{page.url}/healthz", verify=trusting, trust_env=False).is_success


def test_plain_http_gets_a_sentence(tmp_path: Path) -> None:
    """Not a broken connection: it says https://."""
    with (
        people_page(tmp_path, tls=MADE) as page,
        socket.create_connection(("127.0.0.1", port_of(page)), timeout=10) as plain,
    ):
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"open it as https://" in answer


def test_clients_that_do_not_end_their_handshake_shut_nobody_out(
    tmp_path: Path, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent ones and ones that stop in the middle: the longest waiting makes room, and all are
    hung up on in time."""
    monkeypatch.setattr(tls_gate, "HANDSHAKE_S", 1.0)
    with people_page(tmp_path, tls=MADE) as page:
        crowd = [
            socket.create_connection(("127.0.0.1", port_of(page)), timeout=10)
            for _ in range(tls_gate.MAX_HANDSHAKES + 20)
        ]
        for number, one in enumerate(crowd):
            if number % 2:
                one.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert httpx.get(f"{page.url}/healthz", verify=trusting, trust_env=False).is_success
        for one in crowd:
            wait_until(partial(lambda one: _is_closed(one), one), 20)
            one.close()


def test_a_crowd_that_comes_at_once_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More clients than fit begin their handshakes in one moment: those that are hung up on in the
    middle cost neither a task that waits for ever nor an error in the log."""
    monkeypatch.setattr(tls_gate, "MAX_HANDSHAKES", 2)
    with people_page(tmp_path, tls=MADE) as page:
        tasks = page.live._server.server_state.tasks
        for _ in range(5):
            crowd = [socket.create_connection(("127.0.0.1", port_of(page))) for _ in range(40)]
            for one in crowd:
                one.sendall(CLIENT_HELLO)
            for one in crowd:
                one.settimeout(0.01)
                with suppress(OSError):
                    one.recv(4096)
                one.close()
        wait_until(lambda: not tasks, 5, "every handshake has ended")
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelname == "ERROR"]


def client_hello() -> bytes:
    """Return what a client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(coming, going).do_handshake()
    return going.read()


CLIENT_HELLO = client_hello()


def _is_closed(one: socket.socket) -> bool:
    one.settimeout(0.05)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("chain", "key", "says"),
    [
        ("", MADE.key_pem, "cannot be used"),
        ("nonsense", MADE.key_pem, "cannot be used"),
        (MADE.chain_pem, "", "cannot be used"),
        (MADE.chain_pem, MADE.chain_pem, "cannot be used"),
        (MADE.chain_pem, make_certificate(["x"], datetime.now(timezone.utc)).key_pem, "MISMATCH"),
    ],
    ids=["no certificate", "no PEM", "no key", "a certificate as key", "another's key"],
)
def test_an_unfit_certificate_is_refused_before_anything_is_served(
    chain: str, key: str, says: str
) -> None:
    """In one sentence that says what is expected."""
    with pytest.raises(ConfigError, match=says) as refused:
        context_of(ServerCertificate(chain, key))
    assert "both PEM" in str(refused.value)
    assert "PRIVATE" not in str(refused.value)


def test_a_check_of_the_configuration_finds_an_unfit_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check-config` fails on what `run` would refuse, and shows a good one's fingerprint."""
    (tmp_path / "in").mkdir()
    (tmp_path / "credentials").mkdir()
    pair = 'tls_certificate = "page.crt"\ntls_key = "credentials/page.key"\n'
    config = write_config(tmp_path, "folder:in", 1)
    served = f"[page]\nport = 8080\n{pair}"
    config.write_text(config.read_text().replace("[page]\nenabled = false", served))
    (tmp_path / "page.crt").write_text(MADE.chain_pem)
    for key, is_fit in ((MADE.key_pem, True), (MADE.chain_pem, False)):
        (tmp_path / "credentials" / "page.key").write_text(key)
        main(["check-config", str(config), "--json"])
        told = capsys.readouterr().out
        assert ("cannot be used" in told) != is_fit
        assert (MADE.fingerprint in told) == is_fit


def test_a_name_that_no_certificate_can_hold_is_refused() -> None:
    """In words."""
    with pytest.raises(ConfigError, match="cannot stand in a certificate"):
        make_certificate(["prüfstand"], datetime.now(timezone.utc))


def test_the_command_makes_a_certificate_and_a_device_serves_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key readable by its owner only, not replaced unasked; `run` tells the page's process both."""
    folder = ["--folder", str(tmp_path)]
    assert main(["tls", "show", *folder]) == 2
    assert main(["tls", "make", "--name", "127.0.0.1", *folder]) == 0
    fingerprint = capsys.readouterr().out.splitlines()[0]
    assert main(["tls", "make", *folder]) == 2
    assert "--renew" in capsys.readouterr().err
    assert main(["tls", "show", *folder]) == 0
    assert capsys.readouterr().out.splitlines()[0] == fingerprint
    key = tmp_path / "credentials" / "page.key"
    assert key.stat().st_mode & 0o077 == 0
    pair = f'tls_certificate = "page.crt"\ntls_key = "{key}"\n'
    with paged_line(tmp_path, page=pair) as line:
        assert line.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "page.crt"))
        wait_until(lambda: bool(state_of(line.url, verify=context).get("cameras")), 30)
