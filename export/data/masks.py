"""What a mask's numbers mark, whatever tool wrote them: one rule for training and evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_app.cameras.pictures import AnyArray

BoolArray = NDArray[np.bool_]

INDEX_TOP = 32
"""Masks whose largest value is no higher hold numbers of kinds, not grey levels."""


def marked_pixels(values: AnyArray) -> BoolArray:
    """Return which pixels a mask marks, bool (h, w).

    Masks of 0 and 1, and numbered ones (up to INDEX_TOP), mark with every number but 0; others
    where they exceed half of their own largest value, which leaves out a JPEG's noise. Alpha marks
    nothing.

    Args:
        values: (h, w) or (h, w, channels), the numbers as the file has them
            (`edge_app.cameras.pictures.read_values`): a 16-bit mask may hold 0 and 1.
    """
    if values.ndim == 3:
        colours = values.shape[2] - (values.shape[2] in (2, 4))
        values = values[:, :, :colours].max(axis=2)
    top = values.max(initial=0)
    return np.asarray(values > (0 if top <= INDEX_TOP else top / 2))
