"""A share of the tests, to be run again and again (`make test-often`): `--share 3/50`.

All tests fifty times take days; a fiftieth of them, another one each night, takes an hour. Which
share a test is in depends on its file and function alone, so that each comes once in fifty nights.
A pytest plugin: tests/conftest.py loads it. Repeating is pytest-repeat's (`--count`).
"""

from __future__ import annotations

import argparse
import zlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", metavar="K/N", type=_share, help="run one share of N of the tests, 1 to N"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is in other shares."""
    share: tuple[int, int] | None = config.getoption("--share")
    if share is None:
        return
    number, shares = share
    others = [item for item in items if share_of(item.nodeid, shares) != number]
    items[:] = [item for item in items if share_of(item.nodeid, shares) == number]
    config.hook.pytest_deselected(items=others)


def share_of(nodeid: str, shares: int) -> int:
    """Return the share, 1 to `shares`, of a test, whatever its parameters."""
    return zlib.crc32(nodeid.partition("[")[0].encode()) % shares + 1


def _share(text: str) -> tuple[int, int]:
    number, _, shares = text.partition("/")
    if not (number.isdigit() and shares.isdigit() and 1 <= int(number) <= int(shares)):
        message = f"{text!r} is no share: give K/N with K from 1 to N, such as 3/50"
        raise argparse.ArgumentTypeError(message)
    return int(number), int(shares)
