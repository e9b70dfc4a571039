"""Which terms make the score and which map to export: decided on hold-out crops, written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import cv2
import numpy as np

from edge_app.records import F32Array, F64Array, U8Array
from export.methods.cropliq.graph import MapKind

Weights = tuple[float, float, float, float]

WEIGHT_CANDIDATES: dict[str, Weights] = {
    "detail": (1, 0, 0, 0),
    "context": (0, 1, 0, 0),
    "statistics": (0, 0, 1, 0),
    "detail+context": (1, 1, 0, 0),
    "detail+statistics": (1, 0, 1, 0),
    "context+statistics": (0, 1, 1, 0),
    "detail+context+statistics": (1, 1, 1, 0),
}
"""Sets of standardised terms that compete for a product with an outline, in the order of
TERM_NAMES. Of several the largest counts: a crop is as anomalous as its most anomalous term. On
magnetic tiles the sum of statistics and context cost the statistics' 97.5 AUROC one to three
points, the largest of the two did not (97.6).
"""

WHOLE_FRAME_CANDIDATES: dict[str, Weights] = {
    "statistics+regional": (0, 0, 0.5, 1),
    "detail+statistics+regional": (1, 0, 0.5, 1),
    "context+statistics+regional": (0, 1, 0.5, 1),
    "detail+context+statistics+regional": (1, 1, 0.5, 1),
}
"""The same for a product that fills the crop: the regions judge what differs within it, the
statistics what all regions share. Synthetic anomalies, all local, cannot judge either, so both
always count. The statistics at half weight: on magnetic tiles (three draws, frozen) the regions
alone have an image AUROC of 98.8, with the statistics at full weight 98.2, at half weight 98.7.
"""

TIE, TIE_WHOLE_FRAME = 0.002, 0.01
"""AUROC difference that counts as a tie; fewer terms win one. For a product with an outline: the
statistics term sees the background in the crop's corners too, and on the simulated line's
calibration stream adding it and the context to the detail term took recall at 1 % false alarms from
96 to 88 %. For a product that fills the crop synthetic anomalies, all local, favour the local
terms: on magnetic tiles by 0.01, where `detail` and `context` beside `statistics` cost 4 points."""

MAP_KINDS: tuple[MapKind, ...] = get_args(MapKind)


def choose_weights(
    good: F64Array, bad: F64Array, fills_crop: bool
) -> tuple[F64Array, dict[str, float]]:
    """Return the (4,) weights with the best AUROC (ties: see TIE) and every candidate's AUROC.

    Args:
        good: (n, 4) standardised terms of hold-out good crops; one that was not fitted is 0.
        bad: (m, 4) the same of their copies with an anomaly.
        fills_crop: the product does, and has the regional term.
    """
    candidates = WHOLE_FRAME_CANDIDATES if fills_crop else WEIGHT_CANDIDATES
    table = {
        name: round(auroc(_highest_scores(good, w), _highest_scores(bad, w)), 4)
        for name, w in candidates.items()
    }
    top = max(table.values())
    tie = TIE_WHOLE_FRAME if fills_crop else TIE
    tied = [name for name in candidates if table[name] >= top - tie]
    best = min(tied, key=lambda name: (sum(candidates[name]), -table[name]))
    return np.array(candidates[best], np.float64), table


def _highest_scores(terms: F64Array, weights: Weights) -> F64Array:
    """Return (n,) the largest of the chosen weighted terms."""
    chosen = [i for i, weight in enumerate(weights) if weight]
    return np.asarray((terms * weights)[:, chosen].max(axis=1))


def choose_map(
    maps: Mapping[str, F32Array], regions_nhw: U8Array, weights: F64Array
) -> tuple[MapKind, dict[str, float]]:
    """Return the map kind that separates anomalous pixels best and each kind's mean AUROC.

    The AUROC is taken within each crop and averaged: it asks where, not how anomalous. All kinds
    that were fitted are measured; only those of terms in the score may win, so that the map
    explains it.
    """
    table = {str(k): round(_localisation(maps[k], regions_nhw), 4) for k in MAP_KINDS if k in maps}
    eligible = [k for k, w in zip(MAP_KINDS[:4], weights, strict=True) if w > 0]
    return max(eligible, key=lambda kind: table[kind]), table


def _localisation(map_ngg: F32Array, regions_nhw: U8Array) -> float:
    hw = (map_ngg.shape[2], map_ngg.shape[1])
    values = []
    for values_hw, region_hw in zip(map_ngg, regions_nhw, strict=True):
        small = cv2.resize(region_hw, hw, interpolation=cv2.INTER_AREA) > 127
        if small.any() and not small.all():
            values.append(auroc(values_hw[~small].astype(float), values_hw[small].astype(float)))
    return float(np.mean(values)) if values else 0.5


def auroc(good: F64Array, bad: F64Array) -> float:
    """Return P(bad > good) + ½ P(bad = good), 0..1."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.sum() / (2 * len(good) * len(bad)))
