"""One visible synthetic anomaly of a random or a named kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edge_app.errors import DataError
from edge_app.records import U8Array
from export.augment.cutpaste import cut_paste
from export.augment.liquify import crop_liq
from export.augment.scar import scar

Generator = Callable[
    [np.random.Generator, U8Array, U8Array | None],
    tuple[U8Array, U8Array],
]

GENERATORS: dict[str, Generator] = {"cropliq": crop_liq, "cutpaste": cut_paste, "scar": scar}

KINDS: tuple[str, ...] = tuple(GENERATORS)
"""Pretext classes 1, 2, 3; class 0 is the untouched crop."""

MIN_CHANGE_GREY = 3.0
"""Smallest median |change| inside the region, grey levels: less is invisible, its label noise."""

VISIBLE_DRAWS = 60
"""Draws before a crop is called featureless; screws need 1 to 4."""


class SyntheticAnomaly(NamedTuple):
    """A good crop with one synthetic anomaly.

    Attributes:
        crop_hwc: uint8 (h, w, 3).
        region_hw: uint8 (h, w), 255 where the crop was changed.
        kind: one of KINDS.
    """

    crop_hwc: U8Array
    region_hw: U8Array
    kind: str


def pseudo_anomaly(
    rng: np.random.Generator, crop_hwc: U8Array, mask_hw: U8Array | None, kind: str | None = None
) -> SyntheticAnomaly:
    """Return the crop with one visible pseudo-anomaly inside the product.

    Args:
        rng: source of all randomness.
        crop_hwc: uint8 (h, w, 3) BGR, a good crop.
        mask_hw: uint8 (h, w) product region, or None for the whole crop.
        kind: one of KINDS, or None to draw one.

    Raises:
        DataError: the kind is unknown, the mask does not fit, or no visible anomaly can be made.
    """
    if kind is not None and kind not in GENERATORS:
        raise DataError(f"Unknown pseudo-anomaly {kind!r}: choose one of {', '.join(KINDS)}.")
    name = kind or KINDS[int(rng.integers(len(KINDS)))]
    best: tuple[float, U8Array, U8Array] | None = None
    for _ in range(VISIBLE_DRAWS):
        changed, region = GENERATORS[name](rng, crop_hwc, mask_hw)
        change = median_change(crop_hwc, changed, region)
        if change >= MIN_CHANGE_GREY:
            return SyntheticAnomaly(changed, region, name)
        best = max(best or (-1.0, changed, region), (change, changed, region), key=_change)
    return _least_bad(best, name)


def median_change(before_hwc: U8Array, after_hwc: U8Array, region_hw: U8Array) -> float:
    """Return the median |difference| in grey levels inside the region; 0 for an empty region."""
    inside = region_hw > 0
    if not inside.any():
        return 0.0
    difference = np.abs(before_hwc.astype(np.int16) - after_hwc.astype(np.int16)).mean(2)
    return float(np.median(difference[inside]))


def _change(draw: tuple[float, U8Array, U8Array]) -> float:
    return draw[0]


def _least_bad(best: tuple[float, U8Array, U8Array] | None, kind: str) -> SyntheticAnomaly:
    if best is None or best[0] <= 0.0:
        raise DataError(
            f"No visible {kind} could be made in {VISIBLE_DRAWS} draws: the crop is featureless "
            "inside the product mask. Check that the crops show the product."
        )
    return SyntheticAnomaly(best[1], best[2], kind)
