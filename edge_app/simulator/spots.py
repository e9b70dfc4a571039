"""A benign appearance that training has not seen: white spots, as of dried coolant.

They are no defect: the truth of a part says nothing of them. A line has them only where it is asked
for (`spot_rate`), and every other pixel stays as it is without.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.simulator.look import Look, altered
from edge_app.simulator.texture import Pen, f32

SPOTS = (4, 9)
"""Fewest, and one more than most on a part."""

RADIUS_PX = (2.5, 5.0)
BRIGHTER = (25.0, 45.0)
"""Grey levels that a spot adds."""

_STREAM = 905
"""Third word of the entropy, see scene.py: whether a part has spots draws from nothing else's."""


def with_spots(look: Look, seed: int, number: int, spot_rate: float) -> Look:
    """Return the look of part `number` with white spots, if it is one of those that have them."""
    if spot_rate <= 0 or not has_spots(seed, number, spot_rate):
        return look
    rng = _generator(seed, number)
    rng.random()
    pen = Pen((look.mask.shape[0], look.mask.shape[1]))
    inner = np.flatnonzero(cv2.erode((look.mask > 0.98).astype(np.uint8), np.ones((9, 9))))
    change = np.zeros(look.mask.shape, np.float32)
    for place in rng.choice(inner, int(rng.integers(*SPOTS))):
        y, x = np.unravel_index(int(place), look.mask.shape)
        at_x, at_y = float(x) - pen.middle_xy[0], float(y) - pen.middle_xy[1]
        disc = pen.disc(at_x, at_y, float(rng.uniform(*RADIUS_PX)))
        change = np.maximum(change, f32(disc * np.float32(rng.uniform(*BRIGHTER))))
    return altered(look, f32(np.repeat(change[..., None], 3, axis=2)), np.zeros_like(look.mask))


def has_spots(seed: int, number: int, spot_rate: float) -> bool:
    """Tell whether part `number` of a line has white spots."""
    return bool(_generator(seed, number).random() < spot_rate)


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number, _STREAM])))
