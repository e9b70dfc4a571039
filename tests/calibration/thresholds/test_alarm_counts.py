"""How many alarms a limit may give among further good parts."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds.alarm_counts import alarm_chances, quantile
from calibration.thresholds.words import told_unlike


@pytest.mark.parametrize(("rank", "count", "judged"), [(1, 38, 14), (2, 76, 30), (5, 250, 100)])
def test_chances_are_those_of_a_simulation(rank: int, count: int, judged: int) -> None:
    """The rank-th largest of `count` uniform numbers, against further ones."""
    rng = np.random.default_rng(rank)
    limits = np.sort(rng.random((20_000, count)), axis=1)[:, -rank]
    alarms = (rng.random((20_000, judged)) >= limits[:, None]).sum(axis=1)
    seen = np.bincount(alarms, minlength=judged + 1) / len(alarms)
    assert np.abs(seen - alarm_chances(rank, count, judged)).max() < 0.02
    assert abs(quantile(alarm_chances(rank, count, judged), 0.99) - np.quantile(alarms, 0.99)) <= 1


def test_pictures_of_another_place_are_said_to_be_unlike_and_a_few_alarms_are_not() -> None:
    """Six of 22 are more than a limit of 53 good parts gives; three are not."""
    assert told_unlike(3, 22, 1, 53) is None
    told = told_unlike(6, 22, 1, 53)
    assert told is not None
    assert told.startswith("6 of 22 good pictures are alarmed on; a limit that is the largest")
    assert "another light, distance, focus" in told
    assert told_unlike(0, 0, 1, 53) is None
