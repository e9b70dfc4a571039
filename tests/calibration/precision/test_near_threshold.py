"""How scores move at the threshold, read from parts near it."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.precision.near_threshold import NEAREST, movement_near, nearest_parts


def test_a_common_shift_is_read_whatever_one_slipped_box_does() -> None:
    """Nine scores move by 0.5 and one by 89: the shift is 0.5."""
    reference = np.arange(1.0, 11.0)
    variant = np.append(reference[:-1] + 0.5, 99.0)
    assert movement_near(reference, variant, 5.2).shift == pytest.approx(0.5, abs=0.01)


def test_a_trend_is_followed_to_the_threshold() -> None:
    """Good parts far below move up by 0.7, less the nearer they lie: at the threshold by 0.0."""
    reference = np.linspace(-4.0, 3.0, 60)
    moved = 0.1 * (3.0 - reference)
    found = movement_near(reference, reference + moved, 3.0)
    assert found.shift == pytest.approx(0.0, abs=1e-9)
    assert found.noise == pytest.approx(0.0, abs=1e-9)


def test_the_shift_goes_no_further_than_any_part_moved() -> None:
    """With all parts far on one side the line is not followed beyond what was seen."""
    reference = np.linspace(0.0, 1.0, 20)
    found = movement_near(reference, reference + 1.0 - reference, 50.0)
    assert found.shift == pytest.approx(0.0)


def test_noise_is_that_of_the_nearest_parts_only() -> None:
    """Parts far below the threshold scatter ten times as much, and do not count."""
    rng = np.random.default_rng(5)
    reference = np.concatenate([rng.uniform(-9, -5, 300), rng.uniform(4, 6, NEAREST)])
    moved = np.concatenate([rng.normal(0, 1.0, 300), rng.normal(0, 0.1, NEAREST)])
    found = movement_near(reference, reference + moved, 5.0)
    assert 0.06 < found.noise < 0.14


@pytest.mark.parametrize("count", [1, 2])
def test_equal_scores_have_no_slope(count: int) -> None:
    """One part, or two with one score, give their own difference."""
    reference = np.full(count, 2.0)
    assert movement_near(reference, reference + 0.25, 5.0).shift == pytest.approx(0.25)


def test_nearest_come_first() -> None:
    """Distances count on both sides of the threshold."""
    assert nearest_parts(np.array([0.0, 9.0, 4.0, 6.5]), 5.0).tolist() == [2, 3, 1, 0]
