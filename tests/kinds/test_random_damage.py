"""Random damage to the outbox' files, each followed by starts: nothing twice, nothing silent."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.outbox_damage import BOOT, NEXT_BOOT, State, do_damage, make_state, start_again

STATES = 12
FOUND = (1475, 2751, 3173, 2166, 3520)
"""Where 5,000 tries found a fault: half a last-number file, a damaged table definition, a table
that is gone while 200,000 numbers were asked for, a definition that is no UTF-8."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    folder = tmp_path_factory.mktemp("states")
    return [make_state(folder / f"state-{seed}" / "s", seed) for seed in range(STATES)]


def try_damages(states: list[State], folder: Path, seeds: Iterable[int]) -> Counter[str]:
    """Damage, start, check; return the figures."""
    figures: Counter[str] = Counter()
    for seed in seeds:
        rng = random.Random(seed)
        state = rng.choice(states)
        place = folder / f"try-{seed}"
        shutil.copytree(state.folder, place)
        done = do_damage(place, rng)
        boot = rng.choice((BOOT, BOOT, NEXT_BOOT))
        outcome = start_again(state, place, boot)
        story = f"seed {seed}, {boot}: {done}, {outcome}"
        assert not outcome.repeated, story
        assert not outcome.survived, story
        assert not outcome.lost or outcome.announced or outcome.is_marked, story
        figures.update(
            tries=1,
            waiting=len(state.waiting),
            lost=outcome.lost,
            tries_with_loss=bool(outcome.lost),
            announced=outcome.announced,
            marked_only=bool(outcome.lost and not outcome.announced),
            revived=outcome.revived,
        )
        shutil.rmtree(place)
    return figures


def test_a_hundred_damages(
    states: list[State], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every alert whose bytes survive is delivered, every loss is told."""
    caplog.set_level(logging.CRITICAL)
    try_damages(states, tmp_path, [*range(100), *FOUND])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_damages(
    states: list[State], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same with other seeds; CROPLIQ_DAMAGES sets how many."""
    caplog.set_level(logging.CRITICAL)
    count = int(os.environ.get("CROPLIQ_DAMAGES", "1000"))
    print(dict(try_damages(states, tmp_path, range(1000, 1000 + count))))
