"""Times and ids in the form that messages use.

RFC 3339 text with nine decimals instead of integers of nanoseconds: those exceed 2^53 and lose
their last digits in every JavaScript consumer (Node-RED, a page).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

RFC3339_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$"
UUID7_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_NS_PER_S = 1_000_000_000


def rfc3339(at_ns: int) -> str:
    """Return nanoseconds since the epoch as UTC text, e.g. 2026-11-22T05:02:14.123456789Z."""
    seconds, ns = divmod(at_ns, _NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def epoch_ns(text: str) -> int:
    """Return the nanoseconds since the epoch that `rfc3339` wrote.

    Raises:
        ValueError: the text is not such a time.
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        stamp = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        raise ValueError(f"{text!r} is no time") from None
    return int(stamp.timestamp()) * _NS_PER_S + int(fraction)


def check_rfc3339(text: str) -> str:
    """Return the text if it is a time: the pattern alone lets the 31st of February pass.

    Raises:
        ValueError: it is none.
    """
    if not text.isascii():
        raise ValueError("a time has the digits 0 to 9 only")
    epoch_ns(text)
    return text


def uuid7(now_ns: int, random_bits: Callable[[int], int]) -> str:
    """Return a UUID version 7: unique, and sortable by the quarter microsecond it was made in.

    Args:
        now_ns: nanoseconds since the epoch.
        random_bits: gives that many random bits, e.g. `secrets.randbits`.

    Source: RFC 9562, sections 5.7 and 6.2, method 3: the 12 bits after the millisecond are its
    4096th parts (Python's own uuid7 came with 3.14).
    """
    milliseconds, rest_ns = divmod(now_ns, 1_000_000)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (rest_ns * 4096 // 1_000_000) << 64
    value |= 0b10 << 62 | random_bits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
