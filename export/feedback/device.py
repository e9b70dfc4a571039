"""A device's reviewed parts and their pictures, over its page's API."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from edge_app.errors import BrokerError, ConfigError, DataError

API = "/api/v1"
PAGE = 200
MAX_PICTURE_BYTES = 64 << 20
TIMEOUT_S = 20.0
TRIES = 4
"""A plant's Wi-Fi drops a request now and then."""


class GoneError(Exception):
    """The device no longer keeps this picture."""


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where a device's page is and what opens it.

    Attributes:
        url: https://HOST:PORT, or http:// on a network that is trusted.
        token: of an API token with scope viewer or more; "" on loopback.
        ca_file: the certificate, or its authority, of a page with its own; None: the system's.
        name: for file names and provenance; "": HOST_PORT.
    """

    url: str
    token: str = ""
    ca_file: Path | None = None
    name: str = ""

    @property
    def shown_name(self) -> str:
        """Return the name for people and files."""
        parts = urlsplit(self.url)
        port = f"_{parts.port}" if parts.port else ""
        return self.name or f"{parts.hostname or 'device'}{port}"


class Device:
    """A connection to one device; use as a context manager.

    Args:
        pause: waits between tries, in seconds.

    Raises:
        ConfigError: the address is none, or its certificate file cannot be used.
    """

    def __init__(self, address: DeviceAddress, pause: Callable[[float], None] = time.sleep) -> None:
        _check(address)
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self.name = address.shown_name
        self._pause, self._url = pause, address.url
        self._client = httpx.Client(
            base_url=address.url.rstrip("/"),
            headers=headers,
            timeout=TIMEOUT_S,
            verify=_trust(address.ca_file),
            trust_env=False,
        )

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def reviewed_parts(self) -> Iterator[object]:
        """Yield every part that somebody marked, the newest first, as it came.

        Raises:
            BrokerError: the device does not answer.
            ConfigError: it refuses this token, or has no such API.
            DataError: it answers with something else.
        """
        cursor = ""
        while True:
            after = f"&cursor={cursor}" if cursor else ""
            page = self._json(f"{API}/parts?reviewed=true&limit={PAGE}{after}")
            parts = page.get("parts")
            if not isinstance(parts, list):
                raise DataError(f"{self._url} answers with no list of parts: is it a device?")
            yield from parts
            cursor = str(page.get("next") or "")
            if not cursor.isdigit():
                return

    def picture(self, evidence_url: str) -> bytes:
        """Return a picture's bytes.

        Args:
            evidence_url: as the part names it; only its end counts: the picture is asked of the
                device that was named, never of another host.

        Raises:
            GoneError: it is not kept any more.
            BrokerError, ConfigError, DataError: as `reviewed_parts`.
        """
        end = evidence_url.partition("/evidence/")[2]
        if not end:
            raise GoneError
        answer = self._get(f"{API}/evidence/{quote(end)}")
        if answer.status_code == 404:
            raise GoneError
        _refuse(answer, self._url)
        if len(answer.content) > MAX_PICTURE_BYTES:
            raise DataError(f"{end} has more than {MAX_PICTURE_BYTES >> 20} MB.")
        return answer.content

    def _json(self, path: str) -> dict[str, Any]:
        answer = self._get(path)
        _refuse(answer, self._url)
        try:
            found = answer.json()
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._url} does not answer in JSON: is it a device?") from error
        if not isinstance(found, dict):
            raise DataError(f"{self._url} answers with no list of parts: is it a device?")
        return found

    def _get(self, path: str) -> httpx.Response:
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._client.get(path)
            except httpx.HTTPError as error:
                if attempt == TRIES or _is_of_certificate(error):
                    raise BrokerError(_unreached(self._url, error)) from error
            else:
                if answer.status_code not in (429, 502, 503, 504) or attempt == TRIES:
                    return answer
            self._pause(2.0 ** (attempt - 1))
        raise AssertionError("unreachable")


def _check(address: DeviceAddress) -> None:
    try:
        parts = urlsplit(address.url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and parts.username is None and not parts.query
        _ = parts.port
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(
            f"--device {address.url[:200]!r} is no address of a device's page; expected "
            "https://HOST:PORT or http://HOST:PORT, without a token in it."
        )
    if not address.token.isascii() or not address.token.isprintable():
        raise ConfigError("--token-file: expected a token of printable ASCII characters.")


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"--ca-file {ca_file} is no certificate: {error}.") from error
        if hasattr(ssl, "VERIFY_X509_PARTIAL_CHAIN"):  # a page's own certificate signs nothing
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _is_of_certificate(error: httpx.HTTPError) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _unreached(url: str, error: httpx.HTTPError) -> str:
    if _is_of_certificate(error):
        return (
            f"{url} has a certificate that is not trusted here. Copy it from the device and name "
            "it with --ca-file."
        )
    return (
        f"{url} does not answer: {error or type(error).__name__}. Is the device on, and is its "
        "page on this address?"
    )


def _refuse(answer: httpx.Response, url: str) -> None:
    if answer.status_code in (401, 403):
        raise ConfigError(
            f"{url} refuses this token. Make one on the device with `edge-app tokens add`, and "
            "name its file with --token-file."
        )
    if answer.status_code == 404:
        raise ConfigError(
            f"{url} has no {API}: it is no device, or a release without decisions of people. "
            "Update the device."
        )
    if answer.status_code == 400:
        raise ConfigError(
            f"{url} does not know decisions of people: its release is too old. Update the device."
        )
    if answer.status_code != 200:
        raise BrokerError(f"{url} answered {answer.status_code}. Try again later.")
