"""The consumers that are tried with every kind of bad input.

To add one: write `Consumer(...)` into the tuple CONSUMERS of a file `consumers_SUBJECT.py` of this
folder. `test_every_consumer_is_registered` fails while a site that `consumer_sites` finds is in
none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Consumer:
    """One place that takes bytes from outside.

    Attributes:
        site: as `consumer_sites` names it.
        good: returns bytes that it takes.
        take: gives it bytes, in a fresh folder; True if it took them, False if it refused them in
            the project's own way. Whatever it raises is a fault.
        tested_in: instead of the two: the test file that tries it with bad input.
    """

    site: str
    good: Callable[[], bytes] | None = None
    take: Callable[[bytes, Path], bool] | None = None
    tested_in: str = ""


def registered() -> tuple[Consumer, ...]:
    """Return the consumers of all files of this folder."""
    files = sorted(Path(__file__).parent.glob("consumers_*.py"))
    return tuple(
        consumer for file in files for consumer in importlib.import_module(file.stem).CONSUMERS
    )
