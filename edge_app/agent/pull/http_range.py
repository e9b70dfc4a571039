"""One HTTP request for the rest of a file, redirects followed by rule, errors classified."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from edge_app.agent.pull.download_rules import (
    MAX_REDIRECTS,
    Address,
    DownloadRules,
    check_address,
    redirect_target,
)
from edge_app.errors import DownloadError

_NOT_YET_VALID, _HAS_EXPIRED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED of <openssl/x509_vfy.h>."""
MAX_WORDS = 200
"""Characters of a server's own words that are passed on; http.client reads lines of 64 KB."""


class Interrupted(Exception):
    """The bytes stopped coming, or never began to; trying again may help."""


class ClockDoubt(Interrupted):
    """By this device's clock the server's certificate is not valid yet, or not any more.

    Attributes:
        is_early: not valid yet, as to a clock that has not been set.
    """

    def __init__(self, why: str, is_early: bool) -> None:
        super().__init__(why)
        self.is_early = is_early


class RangeAnswer:
    """A server's answer.

    Attributes:
        where: who answered, for people.
    """

    def __init__(self, response: HTTPResponse, where: str) -> None:
        self._response = response
        self.where = where

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Message:
        return self._response.headers

    def read(self, max_bytes: int) -> bytes:
        """Return what has arrived, at most `max_bytes`; empty at the end of the body.

        Raises:
            Interrupted: the connection broke or stood still.
        """
        with _errors_translated():
            return self._response.read1(max_bytes)


@contextmanager
def open_range(
    url: str, first: int, rules: DownloadRules, tls: ssl.SSLContext
) -> Iterator[RangeAnswer]:
    """Ask for a file from byte `first` on; nothing but an allowed address is ever contacted.

    Raises:
        DownloadError: an address is forbidden, redirects go in circles, or the certificate is not
            trusted.
        ClockDoubt: the certificate's time and this device's clock do not fit.
        Interrupted: there was no answer.
    """
    for _ in range(MAX_REDIRECTS + 1):
        address = check_address(url, rules)
        with closing(_connection(address, rules.timeout_s, tls)) as connection:
            with _errors_translated():
                connection.request("GET", address.target, headers=_headers(first))
                response = connection.getresponse()
            with closing(response):
                target = redirect_target(response.status, response.headers, url, rules)
                if target is None:
                    yield RangeAnswer(response, address.text)
                    return
        url = target
    raise DownloadError(f"{url} redirects more than {MAX_REDIRECTS} times.")


def _headers(first: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "cropliq-edge-agent"}
    return headers | ({"Range": f"bytes={first}-"} if first else {})


def _connection(address: Address, timeout_s: float, tls: ssl.SSLContext) -> HTTPConnection:
    """Return a connection that is not open yet; proxies from the environment play no part."""
    if address.is_encrypted:
        return HTTPSConnection(address.host, address.port, timeout=timeout_s, context=tls)
    return HTTPConnection(address.host, address.port, timeout=timeout_s)


@contextmanager
def _errors_translated() -> Iterator[None]:
    """Turn what networks and servers do into `Interrupted`; a wrong certificate is final."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET_VALID, _HAS_EXPIRED):
            raise ClockDoubt(
                f"the server's certificate is not trusted ({error.verify_message}): here it is "
                f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC. If that is wrong, this clock "
                "has to be set (NTP); else the certificate has to be renewed",
                is_early=error.verify_code == _NOT_YET_VALID,
            ) from error
        raise DownloadError(
            f"Server not trusted: {error.verify_message}. Name its authority in [download] ca_file."
        ) from error
    except (OSError, HTTPException) as error:
        raise Interrupted(_plain(str(error)) or type(error).__name__) from error


def _plain(text: str) -> str:
    """Return a server's words fit for logs, messages and terminals: short, no control marks."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_WORDS])
