"""The belt's speed is the densest group of the newest votes, however it is kept."""

from __future__ import annotations

import math
import random

import pytest

from edge_app.inspection.belt_speed import (
    HINT_SHARE,
    MAX_VOTES,
    TOLERANCE,
    VOTES_BESIDE_HINT,
    BeltSpeed,
    Speed,
)
from edge_app.records import BoxCxcywhr


def densest(votes: list[tuple[float, float, float]], hint: Speed | None) -> Speed | None:
    """Return what the newest votes say, every pair of them compared."""
    votes = votes[-MAX_VOTES:]
    if hint is not None:
        most = HINT_SHARE * math.hypot(*hint)
        votes = [v for v in votes if math.hypot(v[0] - hint[0], v[1] - hint[1]) <= most]
    groups = [[o for o in votes if math.hypot(v[0] - o[0], v[1] - o[1]) <= v[2]] for v in votes]
    needed = 1 if hint is None else VOTES_BESIDE_HINT
    ranked = sorted(
        (-len(group), math.hypot(*vote[:2]), i)
        for i, (vote, group) in enumerate(zip(votes, groups, strict=True))
        if len(group) >= needed
    )
    if not ranked:
        return hint
    group = groups[ranked[0][2]]
    return sum(v[0] for v in group) / len(group), sum(v[1] for v in group) / len(group)


@pytest.mark.parametrize("hint", [None, (300.0, 10.0)])
@pytest.mark.parametrize("seed", range(4))
def test_the_newest_votes_decide(seed: int, hint: Speed | None) -> None:
    """A belt that turns back, parts that come and go, more votes than are kept: frame by frame the
    speed is that of all pairs of the newest votes.
    """
    rng = random.Random(seed)
    belt, votes = BeltSpeed(hint), list[tuple[float, float, float]]()
    before: list[BoxCxcywhr] = []
    at_ns = 0
    for number in range(120):
        step_ns = rng.choice([200_000_000, 400_000_000])
        at_ns += step_ns
        speed = 300.0 if number < 70 else -40.0
        now: list[BoxCxcywhr] = [
            (
                130.0 * i + speed * at_ns / 1e9 % 100 + rng.gauss(0, 2),
                50.0 * i + rng.gauss(0, 2),
                100.0,
                40.0,
                0.0,
            )
            for i in range(rng.randrange(5))
        ]
        if number:
            for a in before:
                for b in now:
                    dt_s = step_ns / 1e9
                    reach = TOLERANCE * 100.0 / dt_s
                    votes.append(((b[0] - a[0]) / dt_s, (b[1] - a[1]) / dt_s, reach))
        belt.note(at_ns, now)
        before = now
        expected = densest(votes, hint)
        if expected is None:
            assert belt.px_per_s is None
        else:
            assert belt.px_per_s == pytest.approx(expected, abs=1e-9)
    assert len(votes) > MAX_VOTES
