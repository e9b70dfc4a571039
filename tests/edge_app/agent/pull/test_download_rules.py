"""Which addresses a device fetches from."""

from __future__ import annotations

from email.message import Message

import pytest

from edge_app.agent.pull.download_rules import DownloadRules, check_address, first_byte_of
from edge_app.errors import DownloadError

RULES = DownloadRules(("station.plant", "files.plant:8443", "127.0.0.1", "[::1]:9000"), 1)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://station.plant/a.bundle", "station.plant", 443, "/a.bundle"),
        ("https://STATION.plant:99/a?token=1", "station.plant", 99, "/a?token=1"),
        ("https://files.plant:8443/a", "files.plant", 8443, "/a"),
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/"),
        ("http://[::1]:9000/a", "::1", 9000, "/a"),
    ],
)
def test_allowed_addresses_pass(url: str, host: str, port: int, target: str) -> None:
    """Listed hosts over https, and loopback in plain http."""
    address = check_address(url, RULES)
    assert (address.host, address.port, address.target) == (host, port, target)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://station.plant/a", "expected https"),
        ("ftp://station.plant/a", "expected https"),
        ("file:///etc/passwd", "without a login"),
        ("station.plant/a", "without a login"),
        ("https:///a", "without a login"),
        ("https://files.plant/a", "fetches from"),
        ("https://files.plant:443/a", "fetches from"),
        ("https://evil.plant/station.plant", "fetches from"),
        ("https://station.plant.evil.example/a", "fetches from"),
        ("https://xstation.plant/a", "fetches from"),
        ("https://station.plant@evil.example/a", "without a login"),
        ("https://user:word@station.plant/a", "without a login"),
        ("https://evil.example\\@station.plant/a", "no well-formed URL"),
        ("https://evil.example\\.station.plant/a", "no well-formed URL"),
        ("https://evil.example#@station.plant/a", "fetches from"),
        ("https://evil.example?@station.plant/a", "fetches from"),
        ("https://station.plant:x/a", "refused: Port"),
        ("https://station.plant:99999/a", "refused: Port"),
        ("https://[::1/a", "refused: Invalid IPv6"),
        ("https://station.plant/a b", "no well-formed URL"),
        ("https://station.plant/a\r\nHost: evil.example", "no well-formed URL"),
        ("https://stätion.plant/a", "no well-formed URL"),
        ("https://station.plant/" + "a" * 3000, "no well-formed URL"),
        ("http://[::1]:9001/a", "fetches from"),
        ("http://2130706433/a", "expected https"),
    ],
)
def test_other_addresses_are_refused(url: str, why: str) -> None:
    """Look-alikes, logins, other schemes and odd characters are refused with the reason."""
    with pytest.raises(DownloadError, match=why):
        check_address(url, RULES)


def test_no_host_listed_means_no_download() -> None:
    """The list is empty by default, and the message says where to add a host."""
    with pytest.raises(DownloadError, match=r"no host only.*\[download\] allowed_hosts"):
        check_address("https://station.plant/a", DownloadRules((), 1))


@pytest.mark.parametrize("digits", ["9" * 30, "9" * 5000])
def test_numbers_of_any_length_from_a_server_are_refused_in_words(digits: str) -> None:
    """Python refuses to read more than 4,300 digits: still another length, and no traceback."""
    told = Message()
    told["Content-Length"] = digits
    with pytest.raises(DownloadError):
        first_byte_of(200, told, 0, 100, "here")
    for text in (f"bytes {digits}-99/100", f"bytes 10-99/{digits}"):
        told = Message()
        told["Content-Range"] = text
        with pytest.raises(DownloadError):
            first_byte_of(206, told, 10, 100, "here")
