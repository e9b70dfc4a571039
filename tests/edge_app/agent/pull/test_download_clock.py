"""Certificates and a clock that is not right yet: nothing is refused for good because of it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from support.deploy_pointers import PAYLOAD, pointer
from support.faulty_web_server import FaultyServer, whole

from deploy.bundles import certificate
from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.errors import DownloadError


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Serve the payload with a new certificate; yield the address, and what trusts it."""
    cert, key = folder / "station.pem", folder / "station.key"
    certificate.make_certificate(["127.0.0.1"], cert, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with FaultyServer(whole(PAYLOAD)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        trust = ssl.create_default_context(cafile=str(cert))
        yield server.url.replace("http:", "https:"), trust
        server.shutdown()
        thread.join()


def fetch(
    folder: Path, url: str, tls: ssl.SSLContext, is_right: bool | Callable[[], bool] | None
) -> list[str]:
    """Fetch the payload with little patience; return why it waited, each reason once."""
    rules = DownloadRules(
        allowed_hosts=("127.0.0.1",), max_bytes=len(PAYLOAD), give_up_after_s=0.3,
        retry_min_s=0.01, retry_max_s=0.05,
    )  # fmt: skip
    told: dict[str, None] = {}
    clock = is_right if callable(is_right) else lambda: is_right
    downloader = Downloader(folder / "incoming", rules, tls, is_clock_right=clock)
    downloader.fetch(
        pointer(url), "main", threading.Event(), lambda _, why: told.update({why: None})
    )
    return [why for why in told if why]


@pytest.mark.parametrize("is_right", [False, None])
def test_a_certificate_of_the_future_is_waited_for_until_the_clock_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_right: bool | None
) -> None:
    """As at 1970: longer than the patience for a server that does not answer, with the reason."""
    monkeypatch.setattr(certificate, "CLOCK_SLACK", timedelta(seconds=-2))
    with served(tmp_path) as (url, tls):
        reasons = fetch(tmp_path, url, tls, is_right)
    assert "not yet valid" in reasons[0]
    assert "this clock has to be set (NTP)" in reasons[0]


def test_with_a_right_clock_an_early_certificate_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is wrong, not the clock."""
    monkeypatch.setattr(certificate, "CLOCK_SLACK", timedelta(days=-2))
    with served(tmp_path) as (url, tls), pytest.raises(DownloadError, match="not yet valid"):
        fetch(tmp_path, url, tls, True)


@pytest.mark.parametrize(("is_right", "said"), [(True, "Server not trusted"), (None, "given up")])
def test_an_expired_certificate_is_refused_at_once_by_a_right_clock_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_right: bool | None, said: str
) -> None:
    """A clock a year ahead sees every certificate expire: where nobody knows, it is tried for as
    long as a server is that does not answer."""
    monkeypatch.setattr(certificate, "CLOCK_SLACK", timedelta(days=9))
    monkeypatch.setattr(certificate, "VALID_DAYS", -1)
    with served(tmp_path) as (url, tls), pytest.raises(DownloadError) as error:
        fetch(tmp_path, url, tls, is_right)
    assert said in str(error.value)
    assert "expired" in str(error.value)


def test_a_clock_that_is_known_to_be_wrong_refuses_no_expired_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for longer than for a server that does not answer, until it is set."""
    monkeypatch.setattr(certificate, "CLOCK_SLACK", timedelta(days=9))
    monkeypatch.setattr(certificate, "VALID_DAYS", -1)
    is_set = threading.Event()
    threading.Timer(1.0, is_set.set).start()
    with served(tmp_path) as (url, tls), pytest.raises(DownloadError, match="Server not trusted"):
        fetch(tmp_path, url, tls, is_set.is_set)
