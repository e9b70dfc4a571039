"""Random damage to what a device keeps beside its outbox, each followed by a start."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.device_damage import PIECES, Kept, keep

STATES = 6
FOUND = {"watched folder": (14, 86, 142, 244, 284), "bundle store": (109, 289)}
"""Seeds that found a fault: numbers out of order, a picture never shown, another slot's record."""


@pytest.fixture(params=PIECES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def states(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> list[Kept]:
    caplog.set_level(logging.CRITICAL)
    piece = PIECES[name]
    return [keep(piece, tmp_path / str(seed), seed) for seed in range(STATES)]


def try_damages(states: list[Kept], seeds: Iterable[int]) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        done, wrong = rng.choice(states).attempt(rng)
        assert not wrong, f"seed {seed}: {done}: {wrong[0]}"


def test_a_damaged_piece_costs_itself(name: str, states: list[Kept]) -> None:
    """It starts, keeps what survived, and takes what is new."""
    try_damages(states, [*range(40), *FOUND.get(name, ())])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_more_damaged_pieces(name: str, states: list[Kept]) -> None:
    """The same with other seeds; CROPLIQ_DAMAGES sets how many in all."""
    count = int(os.environ.get("CROPLIQ_DAMAGES", "1000")) // len(PIECES)
    try_damages(states, range(1000, 1000 + count))
