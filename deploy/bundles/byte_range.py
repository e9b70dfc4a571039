"""Which bytes an HTTP Range header asks for (RFC 9110, section 14). No IO."""

from __future__ import annotations

import re

from edge_app.host.plain_text import number_of

_ONE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


class UnsatisfiableRange(Exception):
    """The range begins behind the end of the file: answer 416."""


def parse_range(header: str | None, length: int) -> tuple[int, int] | None:
    """Return (first, last) byte, both included; None for the whole file.

    What is no single well-formed range asks for the whole file, as the RFC allows.

    Args:
        length: of the file, in bytes.

    Raises:
        UnsatisfiableRange: it includes no byte of the file.
    """
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last n bytes
        first, last = max(0, length - number_of(found[2])), length - 1
    else:
        first = number_of(found[1])
        last = min(number_of(found[2]), length - 1) if found[2] else length - 1
        if found[2] and number_of(found[2]) < first:
            return None
    if first >= length or not length:
        raise UnsatisfiableRange
    return first, last
