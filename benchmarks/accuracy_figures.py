"""The field's figures of merit of one method on one test set."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import F32Array, F64Array, U8Array
from export.evaluation.data import GOOD
from export.evaluation.image_metrics import (
    auroc,
    auroc_interval,
    average_precision,
    best_f1,
    score_curve,
)
from export.evaluation.pixel_metrics import PixelCounts


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares 0..1.

    Attributes:
        auroc: over pictures.
        interval: its bootstrap 95 % interval.
        aupr: average precision, defective pictures positive.
        f1_max: over all thresholds, chosen on the test pictures: an upper limit.
        pixel_auroc: over all pixels of all pictures; None where no defect is marked.
        pro: mean per-region overlap up to a false-positive rate of 0.3; None likewise.
    """

    auroc: float
    interval: tuple[float, float]
    aupr: float
    f1_max: float
    pixel_auroc: float | None
    pro: float | None


def figures_of(
    scores: F64Array, maps_nhw: F32Array, kinds: np.ndarray, regions: U8Array | None
) -> Figures:
    """Return all figures.

    Args:
        scores: (n,) larger is more anomalous.
        maps_nhw: float32 (n, mh, mw), >= 0; enlarged to the regions' size.
        kinds: (n,) strings, "good" or a defect's kind.
        regions: uint8 (n, h, w), > 0 on the defect, or None.

    Raises:
        DataError: good or defective pictures are missing, or a score is NaN.
    """
    good, bad = scores[kinds == GOOD], scores[kinds != GOOD]
    curve = score_curve(good, bad)
    pixels = None if regions is None else _counted(maps_nhw, kinds, regions)
    return Figures(
        auroc=auroc(good, bad),
        interval=auroc_interval(good, bad),
        aupr=average_precision(curve),
        f1_max=best_f1(curve)[0],
        pixel_auroc=None if pixels is None else pixels.auroc(),
        pro=None if pixels is None else pixels.pro(),
    )


def _counted(maps_nhw: F32Array, kinds: np.ndarray, regions: U8Array) -> PixelCounts:
    counts = PixelCounts()
    hw = (regions.shape[1], regions.shape[2])
    for map_hw, kind, region in zip(maps_nhw, kinds, regions, strict=True):
        whole = cv2.resize(map_hw, hw[::-1], interpolation=cv2.INTER_LINEAR)
        if kind == GOOD:
            counts.add_good(whole)
        elif region.any():  # a defect too small for the crop's pixels is marked nowhere
            counts.add_bad(str(kind), whole, region > 0)
    return counts
