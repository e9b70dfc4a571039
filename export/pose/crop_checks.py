"""Are these upright crops of one product? A check on what the good pictures show."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.records import F64Array, U8Array

SMALL_SIDE_PX = 24
COMPONENTS = 3

CLEAR_GAP = 6.0
"""Ashman's D of two groups along a principal axis. Two normal groups overlap below 2; a light that
is switched between two levels reaches 4 and is no second product."""

SMALLEST_SHARE = 0.05
"""A smaller group is a handful of odd parts, which the scores will show."""


def two_products(crops: Sequence[U8Array]) -> tuple[str, ...]:
    """Return a warning when the crops fall into two groups without anything between them.

    Args:
        crops: uint8 (h, w, 3) of one size, upright.
    """
    scores = _principal(np.stack([_small(crop) for crop in crops]))  # (n, k)
    for along in scores.T:
        count, gap = _two_groups(along)
        if gap >= CLEAR_GAP:
            few = min(count, len(along) - count)
            return (
                f"the good parts fall into two groups ({len(along) - few} and {few}) with nothing "
                "between them: two products, two sides of one, or two cameras? Build one bundle "
                "for each",
            )
    return ()


def _small(crop: U8Array) -> F64Array:
    """Return the crop at a handful of pixels, its own brightness and contrast taken out."""
    h, w = crop.shape[:2]
    scale = SMALL_SIDE_PX / max(h, w)
    size = (max(2, round(w * scale)), max(2, round(h * scale)))
    values = cv2.resize(crop, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray((values - values.mean()) / (values.std() + 1.0)).ravel()


def _principal(rows: F64Array) -> F64Array:
    """Return (n, k) coordinates along the first principal axes."""
    centred = rows - rows.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    k = min(COMPONENTS, len(s))
    return np.asarray(u[:, :k] * s[:k])


def _two_groups(values: F64Array) -> tuple[int, float]:
    """Return (size of the lower group, Ashman's D) of the best split of a line in two."""
    ordered = np.sort(values)
    best = (0, 0.0)
    fewest = max(2, round(SMALLEST_SHARE * len(ordered)))
    for count in range(fewest, len(ordered) - fewest + 1):
        low, high = ordered[:count], ordered[count:]
        spread = float(np.sqrt((low.var() + high.var()) / 2))
        gap = float(high.mean() - low.mean()) / max(spread, 1e-9) if spread > 0 else 0.0
        best = max(best, (count, gap), key=lambda found: found[1])
    return best
