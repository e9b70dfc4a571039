"""What the pictures of a station look like, so that a device knows a sound picture from another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_app.bundle.manifest import StationSpec
from edge_app.inspection.station import frame_figures
from export.data.crops import PartsFound
from export.data.dataset import Picture


def station_of(pictures: Sequence[Picture], found: PartsFound | None = None) -> StationSpec:
    """Return the figures of good pictures, each over all of them.

    Args:
        pictures: of good parts, at least one.
        found: what the detector found in them. A missing product is NG only where it found one in
            every picture; without a detector nothing can be missing.
    """
    seen = [frame_figures(picture.read()) for picture in pictures]
    rows = np.array([(f.grey_mean, f.grey_std, f.sharpness) for f in seen])
    low, high = rows.min(axis=0), rows.max(axis=0)
    mean, std, sharpness = ((float(a), float(b)) for a, b in zip(low, high, strict=True))
    return StationSpec(
        missing_is_ng=found is not None and bool(found.parts) and not found.empty,
        grey_mean=mean,
        grey_std=std,
        sharpness=sharpness,
    )
