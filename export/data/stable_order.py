"""An order of pictures by what they show: new names or another encoding hardly change it.

A build draws at random (folds, synthetic defects, patches to remember) over its list of pictures.
Sorted by name or by digest the same pictures, renamed or saved again, would draw otherwise, and
limits would move for no reason that a person sees.
"""

from __future__ import annotations

import numpy as np

from edge_app.records import F32Array
from export.data.dataset import GoodPictures, Picture

WAVES = 4
"""Waves along each side that a thumbnail is compared with: coarse ones that no encoder touches."""


def in_stable_order(good: GoodPictures) -> list[Picture]:
    """Return the pictures sorted by a coarse feature of their pixels, equal ones by digest."""
    keys = [content_key(thumb) for thumb in good.thumbs]
    pairs = sorted(
        zip(keys, good.pictures, strict=True), key=lambda pair: (pair[0], pair[1].sha256)
    )
    return [picture for _, picture in pairs]


def content_key(thumb: F32Array) -> float:
    """Return one number of a (48, 48) thumbnail that is less its mean."""
    return float((thumb * _pattern(thumb.shape[0])).mean())


def _pattern(side: int) -> F32Array:
    """Return (side, side) float32: a fixed mixture of slow waves."""
    at = np.arange(side) / side
    waves = range(1, WAVES + 1)
    rows = np.sum([np.cos(np.pi * k * (at + 0.37)) / k for k in waves], axis=0)
    columns = np.sum([np.sin(np.pi * k * (at + 0.21)) / k for k in waves], axis=0)
    return np.asarray(np.add.outer(rows, columns) + np.outer(rows, columns), np.float32)
