"""The good parts whose scores set the limit, and the oddest of them: a person's decision.

A limit forgives a stated number of good parts. Whether the oddest ones are good, defective or
merely dirty nobody but a person can tell, and what each of them costs is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.thresholds.threshold import nominal_threshold
from edge_app.records import F64Array, U8Array
from export.bundle_build.records import CutParts, Labelled
from export.calibrate.thresholds import Calibration

SHOWN = 12
"""Odd parts that are shown: as many as a person looks at in a minute."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedParts:
    """The parts behind the calibration's scores, in their order.

    Attributes:
        names: of their pictures; of near-duplicates the first.
        crops: uint8 (h, w, 3) each.
    """

    names: list[str]
    crops: list[U8Array]


@dataclass(frozen=True, slots=True, eq=False)
class OddPart:
    """One of the most anomalous good parts.

    Attributes:
        name: of its picture, relative to the folder of good parts.
        score: by a model that had not seen it.
        is_alarmed: its score reaches the limit.
        limit_without: the limit if this part were not among the good ones.
    """

    name: str
    crop: U8Array
    score: float
    is_alarmed: bool
    limit_without: float


def calibrated_parts(labelled: Labelled, cut: CutParts) -> CalibratedParts:
    """Return the parts whose scores set the limit, in the order of those scores."""
    if cut.hold_out_parts:
        names = [labelled.hold_out[p.picture].name for p in cut.hold_out_parts]
        return CalibratedParts(names, cut.hold_out_crops)
    first: dict[int, tuple[str, U8Array]] = {}
    groups = range(len(cut.parts)) if cut.evidence is None else cut.evidence.groups.tolist()
    for part, crop, group in zip(cut.parts, cut.crops, groups, strict=True):
        first.setdefault(group, (labelled.training[part.picture].name, crop))
    ordered = [first[group] for group in sorted(first)]
    return CalibratedParts([name for name, _ in ordered], [crop for _, crop in ordered])


def odd_parts(parts: CalibratedParts, found: Calibration) -> list[OddPart]:
    """Return the SHOWN most anomalous good parts, the most anomalous first."""
    scores = found.good.scores
    return [
        OddPart(
            parts.names[i],
            parts.crops[i],
            float(scores[i]),
            bool(scores[i] >= found.choice.threshold),
            _limit_without(scores, i, found),
        )
        for i in np.argsort(scores)[::-1][:SHOWN].tolist()
    ]


def _limit_without(scores: F64Array, index: int, found: Calibration) -> float:
    rest = np.delete(scores, index)
    if len(rest) == 0:
        return found.choice.threshold
    return nominal_threshold(rest, found.choice.budget_rate, found.choice.is_cross_fitted).threshold
