"""Where a bundle may come from, and whether a server's answer fits what was asked. No IO.

Rules in order: https (plain http on loopback only), no login in the address, a host on the list.
They hold for the pointer's address and for every redirect alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from urllib.parse import SplitResult, urljoin, urlsplit

from edge_app.config.model import is_loopback
from edge_app.errors import DownloadError
from edge_app.host.plain_text import number_of

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
"""A file server behind a proxy needs one or two; more is a loop."""
MAX_ADDRESS_LENGTH = 2048
OK, PARTIAL = 200, 206

_ALLOWED_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-zA-Z~]+")
"""RFC 3986's reserved, unreserved and percent characters: no blank, no control mark, no quote."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """What this device is willing to fetch, from its own configuration.

    Attributes:
        allowed_hosts: HOST or HOST:PORT each, lower case; a bare host allows all its ports.
        max_bytes: longest bundle.
        min_free_bytes: the store's disk keeps at least so much.
        timeout_s: for the connection, and for each read.
        give_up_after_s: so long without one new byte, and the order is refused.
        retry_min_s: wait after the first failure; doubled up to `retry_max_s`.
    """

    allowed_hosts: tuple[str, ...]
    max_bytes: int
    min_free_bytes: int = 0
    timeout_s: float = 20.0
    give_up_after_s: float = 3600.0
    retry_min_s: float = 1.0
    retry_max_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address, split into what a connection needs."""

    host: str
    port: int
    target: str
    is_encrypted: bool

    @property
    def text(self) -> str:
        """The address without its query, for people and logs: queries may hold tokens."""
        scheme = "https" if self.is_encrypted else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.target.partition('?')[0]}"


def check_address(url: str, rules: DownloadRules) -> Address:
    """Return the address if the rules allow it.

    Raises:
        DownloadError: what is wrong with it, and which hosts are allowed.
    """
    if len(url) > MAX_ADDRESS_LENGTH or not _ALLOWED_CHARACTERS.fullmatch(url):
        raise DownloadError(f"Address {url[:80]!r} refused: it is no well-formed URL.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise DownloadError(f"Address {url[:80]!r} refused: {error}.") from error
    if not host or "@" in parts.netloc:
        raise DownloadError(
            f"Address {url[:80]!r} refused: expected https://HOST/FILE without a login."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise DownloadError(
            f"Address {url[:80]!r} refused: expected https (plain http on loopback only), "
            f"got {parts.scheme or 'no scheme'}."
        )
    port = port or (443 if parts.scheme == "https" else 80)
    if not _is_allowed(host, port, rules.allowed_hosts):
        raise DownloadError(
            f"Address {url[:80]!r} refused: this device fetches from "
            f"{', '.join(rules.allowed_hosts) or 'no host'} only. Serve the bundle there, or add "
            "the host to [download] allowed_hosts."
        )
    return Address(host, port, _target(parts), parts.scheme == "https")


def _is_allowed(host: str, port: int, allowed_hosts: tuple[str, ...]) -> bool:
    bare = f"[{host}]" if ":" in host else host
    return any(entry in (host, bare, f"{bare}:{port}") for entry in allowed_hosts)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def redirect_target(status: int, headers: Message, url: str, rules: DownloadRules) -> str | None:
    """Return where a redirect leads, None if the answer is none.

    Raises:
        DownloadError: it leads nowhere, or to an address that the rules forbid.
    """
    if status not in REDIRECTS:
        return None
    location = headers.get("Location")
    if not location:
        raise DownloadError(f"{url} answers with redirect {status} to nowhere.")
    target = urljoin(url, location)
    try:
        check_address(target, rules)
    except DownloadError as error:
        raise DownloadError(f"Redirect from {url} not followed. {error}") from error
    return target


def first_byte_of(status: int, headers: Message, asked_from: int, length: int, where: str) -> int:
    """Return the position in the file at which an answer's body begins.

    Args:
        asked_from: first byte that the request asked for.
        length: of the whole file, as the pointer says.

    Raises:
        DownloadError: the server's file is not the one that the pointer names.
    """
    if headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{where} sends the file encoded; expected its plain bytes.")
    if status == OK:
        total, first = _number(headers.get("Content-Length")), 0
    elif status == PARTIAL:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or number_of(found[1]) != asked_from:
            raise DownloadError(
                f"{where} answers with a range that was not asked for: expected bytes "
                f"{asked_from}-, got {headers.get('Content-Range')!r}."
            )
        total, first = number_of(found[3]), asked_from
    else:
        raise DownloadError(f"{where} answers with status {status}; expected the file (200, 206).")
    if total != length:
        got = "no length" if total is None else f"{total} bytes"
        raise DownloadError(
            f"{where} has another length: expected {length} bytes as the pointer says, got {got}. "
            "Is it the bundle that was pushed?"
        )
    return first


def _number(text: str | None) -> int | None:
    return number_of(text) if text is not None and text.isascii() and text.isdigit() else None
