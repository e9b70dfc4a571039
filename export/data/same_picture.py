"""The same photograph saved twice: what two copies have in common and two photographs have not.

Stricter than `groups.py`: a part before and after it was scratched differs in one small place, and
both pictures are right where they lie. A copy (another format, JPEG from quality 90, a grey level
brighter) differs nowhere by more than `COPY` at full size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from calibration.parts.groups import thumbnail
from edge_app.records import F32Array, U8Array

COPY = 5.0
"""Grey levels between means of 5 × 5 pixels; a hair scratch of 25 levels changes them by 10."""

_NEAR = 1.0
"""Grey levels between thumbnails, root mean square; JPEG of quality 75 stays below 0.8."""

_AROUND = 5


def copies_among(
    thumbs: Sequence[F32Array],
    read: Callable[[int], U8Array],
    others: Sequence[Callable[[], U8Array]],
) -> list[tuple[int, int]]:
    """Return (index, other index) of every picture that is also among the others.

    Args:
        thumbs: of the pictures, (48, 48) float32 from `groups.thumbnail`.
        read: gives the picture with that index, uint8 (h, w, 3).
        others: give the other pictures.
    """
    if not thumbs:
        return []
    flat = np.stack(thumbs).reshape(len(thumbs), -1)
    found = []
    for number, read_other in enumerate(others):
        pixels = read_other()
        rms = np.sqrt(np.mean((flat - thumbnail(pixels).ravel()) ** 2, axis=1))
        near = np.flatnonzero(rms <= _NEAR)
        found += [(int(i), number) for i in near if is_copy(read(int(i)), pixels)]
    return found


def is_copy(one: U8Array, other: U8Array) -> bool:
    """Tell whether two pictures, uint8 (h, w, 3), are the same photograph; sizes must be equal."""
    if one.shape != other.shape:
        return False
    a, b = (cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32) for pixels in (one, other))
    change = cv2.blur(b - a, (_AROUND, _AROUND)) - float(np.mean(b - a))
    return bool(np.abs(change).max() <= COPY)
