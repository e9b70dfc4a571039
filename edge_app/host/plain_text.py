"""Text from outside, made fit for a terminal or a log: one line, nothing that a terminal obeys."""

from __future__ import annotations

from typing import TextIO

MAX_CHARS = 1000
"""Of one text: a line of a log or a table cell that nobody reads further."""


MAX_LINE_CHARS = 32_000
MAX_DIGITS = 18
HUGE = 2**63 - 1
"""Larger than any file and any number of ours."""


def one_line(text: str, max_chars: int = MAX_CHARS) -> str:
    r"""Return text with everything that is no printable character escaped, as in `\x1b` or `\n`.

    Line breaks, terminal escapes (also the eight-bit ones, U+0080 to U+009F), marks that reverse
    the direction of writing, and lone surrogates are all not printable. What is longer than
    `max_chars` is cut, with a mark.
    """
    cut = text[:max_chars] + ("…" if len(text) > max_chars else "")
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def indented_lines(text: str) -> str:
    """Return text of several lines, each made fit; none but the first begins at the left edge."""
    lines = (one_line(line, MAX_LINE_CHARS) for line in text.splitlines())
    return "\n    ".join(lines)


def number_of(digits: str) -> int:
    """Return the number that ASCII digits are, HUGE for one that is larger.

    Python itself refuses more than 4,300 digits with a ValueError.
    """
    shown = digits.lstrip("0")
    return int(shown or "0") if len(shown) <= MAX_DIGITS else HUGE


def write_line(stream: TextIO, text: str) -> None:
    """Write one line and flush; what the stream's encoding lacks is escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
