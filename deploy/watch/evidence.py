"""Fetches an alert's picture and keeps it only if its sha256 is the one in the alert.

A server that drips bytes, never answers, or sends the watcher elsewhere costs FETCH_TIMEOUT_S.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from deploy.watch.tokens import token_for
from edge_app.errors import DataError
from edge_app.host.plain_text import one_line
from edge_app.mqtt.messages import EvidenceBody

FETCH_TIMEOUT_S = 20.0
"""For the whole picture: a device on the plant network needs less than one."""
SILENCE_S = 5.0
"""Without a byte."""
MAX_BYTES = 20 << 20
"""An evidence picture has a few megabytes at most."""
MAX_REDIRECTS = 3
CHUNK_BYTES = 64 << 10


def fetch_evidence(
    evidence: EvidenceBody, folder: Path, name: str, tokens: Mapping[str, str] | None = None
) -> Path:
    """Save an alert's picture below `folder` and return where.

    Args:
        name: the file's name without its extension; all but letters, digits and ._- is replaced.

        tokens: host, or host:port → its page's token, of `read_tokens`.

    Raises:
        DataError: the address is not http(s), cannot be read in time, leads to another host, is too
            large, or the bytes are not those that the alert names; nothing is kept.
    """
    url = one_line(evidence.url, 300)
    address = _address(evidence.url, url)
    try:
        picture = _read(address, evidence.url, tokens or {})
    except (http.client.HTTPException, OSError, ValueError, RecursionError) as error:
        raise DataError(f"evidence {url} cannot be fetched: {one_line(str(error), 300)}") from error
    _check(picture, evidence)
    return _save(picture, folder / (_clean(name)[:150] + _clean(Path(address.path).suffix)[:10]))


def _address(text: str, shown: str) -> SplitResult:
    try:
        address = urlsplit(text)
        is_web = address.scheme in ("http", "https") and bool(address.hostname)
        address.port  # noqa: B018  # parsed here, raises ValueError
    except ValueError as error:
        raise DataError(f"evidence {shown} not fetched: it is no address ({error})") from error
    if not is_web:
        raise DataError(f"evidence {shown} not fetched: only http and https addresses are")
    return address


def _read(address: SplitResult, url: str, tokens: Mapping[str, str]) -> bytes:
    """Return the bytes at an address, following redirects on the same host."""
    for _ in range(MAX_REDIRECTS):
        with _asked(address, token_for(address, tokens)) as answer:
            if answer.status == 401:
                raise OSError(
                    "the page asks for a token: name the host in --evidence-tokens or --token-host"
                )
            if answer.status not in (301, 302, 303, 307, 308):
                if answer.status != 200:
                    raise OSError(f"the server answers {answer.status}")
                return _body(answer)
            url = urljoin(url, answer.getheader("Location") or "")
        target = _address(url, one_line(url, 300))
        is_safer = target.scheme == "https" or target.scheme == address.scheme
        if target.hostname != address.hostname or not is_safer:
            raise OSError(f"it is redirected to another server ({one_line(url, 300)})")
        address = target
    raise OSError("it is redirected again and again")


def _body(answer: http.client.HTTPResponse) -> bytes:
    picture = bytearray()
    while len(picture) <= MAX_BYTES and (chunk := answer.read(CHUNK_BYTES)):
        picture += chunk
    return bytes(picture)


@contextmanager
def _asked(address: SplitResult, token: str | None) -> Iterator[http.client.HTTPResponse]:
    """Ask for an address; after FETCH_TIMEOUT_S the connection is cut, whatever it is doing."""
    host, port = address.hostname or "", address.port
    is_tls = address.scheme == "https"
    plain = socket.create_connection((host, port or (443 if is_tls else 80)), SILENCE_S)
    connection = http.client.HTTPConnection(host, port, timeout=SILENCE_S)
    has_expired = threading.Event()
    handle = plain.dup()  # of the same connection, whatever TLS makes of the other one

    def cut() -> None:
        has_expired.set()
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(FETCH_TIMEOUT_S, cut)
    timer.daemon = True
    timer.start()
    try:
        connection.sock = _encrypted(plain, host) if is_tls else plain
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request("GET", (address.path or "/") + _query(address), headers=headers)
        yield connection.getresponse()
        if has_expired.is_set():
            raise TimeoutError
    except Exception:
        if has_expired.is_set():
            raise OSError(f"not read within {FETCH_TIMEOUT_S:.0f} s") from None
        raise
    finally:
        timer.cancel()
        connection.close()
        plain.close()
        handle.close()


def _encrypted(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _query(address: SplitResult) -> str:
    return f"?{address.query}" if address.query else ""


def _check(picture: bytes, evidence: EvidenceBody) -> None:
    url = one_line(evidence.url, 300)
    if len(picture) > MAX_BYTES:
        raise DataError(f"evidence {url} refused: larger than {MAX_BYTES} bytes")
    found = hashlib.sha256(picture).hexdigest()
    if found != evidence.sha256:
        raise DataError(
            f"evidence {url} refused: sha256 is {found}, in the alert it is "
            f"{evidence.sha256}; the picture was changed or replaced"
        )


def _save(picture: bytes, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(picture)
    return target


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)
