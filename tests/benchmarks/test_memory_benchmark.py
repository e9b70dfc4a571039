"""The memory benchmark's slope."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.memory import fitted


def test_slope_of_a_straight_rise_is_exact() -> None:
    """Two megabytes in a thousand frames, without any noise, has no error."""
    slope = fitted([(frame, 100 + 0.002 * frame) for frame in range(100, 2000, 100)])
    assert slope.mb == pytest.approx(2.0)
    assert slope.error_mb == pytest.approx(0.0, abs=1e-9)


def test_the_error_holds_a_flat_line() -> None:
    """Over 400 noisy flat lines the slope lies within two errors of zero in about 95 of 100."""
    rng = np.random.default_rng(3)
    frames = np.arange(100, 20001, 100)
    within = 0
    for _ in range(400):
        slope = fitted(list(zip(frames.tolist(), 300 + rng.normal(0, 1, len(frames)), strict=True)))
        within += abs(slope.mb) < 2 * slope.error_mb
    assert 0.92 < within / 400 < 0.98
