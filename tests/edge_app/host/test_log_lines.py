"""What comes from outside stands in a log as text: it ends no line and nothing obeys it."""

from __future__ import annotations

import logging
import sys

import pytest

from edge_app.host.logging_setup import TEXT_FORMAT, MaskedFormatter
from edge_app.host.plain_text import HUGE, indented_lines, number_of

PART = "A7\n2026-11-30 05:00:00 ERROR edge_app: all is lost\x1b[2J\x9b31m\u202e\r\x07"


def line_of(message: str, *arguments: object, fails: bool = False) -> str:
    info = None
    if fails:
        try:
            raise ValueError("of a library")
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("x", logging.WARNING, "f", 1, message, arguments, info)
    return MaskedFormatter(TEXT_FORMAT).format(record)


def test_a_part_forges_no_line_and_reaches_no_terminal() -> None:
    """The second line is indented, the rest is escaped."""
    told = line_of("part %s: picture too large", PART)
    first, *rest = told.splitlines()
    assert first.endswith("part A7")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert told.replace("\n", "").isprintable()


def test_a_traceback_stays_readable() -> None:
    told = line_of("it failed", fails=True)
    assert told.splitlines()[1] == "Traceback (most recent call last):"
    assert told.endswith("ValueError: of a library")


def test_a_sentence_of_several_lines_stays_one() -> None:
    """A configuration's list of mistakes."""
    assert indented_lines("two problems:\n  - a\n  - b") == "two problems:\n      - a\n      - b"
    assert indented_lines("") == ""


@pytest.mark.parametrize(
    ("digits", "number"),
    [("0", 0), ("", 0), ("0042", 42), ("9" * 18, 10**18 - 1), ("9" * 19, HUGE), ("9" * 5000, HUGE)],
)
def test_digits_of_any_length_are_a_number(digits: str, number: int) -> None:
    assert number_of(digits) == number
