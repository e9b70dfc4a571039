"""The candidate views that the direction cue compares."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.orientation import candidate_views, turned


@pytest.mark.parametrize("kind", ["two_way", "four_way"])
def test_half_a_turn_is_the_same_picture_backwards(kind: str) -> None:
    """The view half a turn on, made without a second cut, is the one that a cut would give."""
    rng = np.random.default_rng(4)
    small = rng.integers(0, 255, (60, 80, 3), np.uint8)
    frame = np.asarray(cv2.resize(small, (640, 480)), np.uint8)
    box, spec = (310.3, 240.8, 220.0, 70.0, 0.4), CropSpec((96, 288), 0.1)
    views = candidate_views(frame, box, kind, spec)
    count = len(views)
    for turn in range(count // 2, count):
        cut = candidate_views(frame, turned(box, kind, turn), kind, spec)[0]
        assert np.abs(views[turn] - cut).max() < 0.003
