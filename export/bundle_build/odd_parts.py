"""The good parts whose scores set the limit, and the oddest of them: a person's decision.

A limit forgives a stated number of good parts. Whether the oddest ones are good, defective or
merely dirty nobody but a person can tell, and what each of them costs is said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.thresholds.threshold import nominal_threshold
from edge_app.records import F32Array, F64Array, U8Array
from export.bundle_build.records import CutParts, Labelled
from export.calibrate.thresholds import Calibration
from export.data.picture import Picture
from export.defects.evidence import CrossFitted

SHOWN = 12
"""Odd parts that are shown: as many as a person looks at in a minute."""

FAR_SPREADS = 8.0
"""A good part this many robust standard deviations above the median is far from the rest."""

MANY_FAR = 0.1
"""A larger share of them among the good parts looks like a folder that is not good parts alone."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedPart:
    """A part behind one of the calibration's scores.

    Attributes:
        pictures: those that show it, first the one with the largest score, then near-duplicates.
        crop: uint8 (h, w, 3), from the first of them.
        map_hw: float32 (mh, mw), by a model that had not seen it; None: the shipped model has not.
    """

    pictures: tuple[Picture, ...]
    crop: U8Array
    map_hw: F32Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OddPart:
    """One of the most anomalous good parts that no person has decided on.

    Attributes:
        part: its pictures and its crop.
        score: by a model that had not seen it.
        percent: the same as a share of the limit, see `percent_of_limit`.
        is_alarmed: its score reaches the limit.
        is_far: it scores far higher than the rest.
        limit_without: the limit if this part were not among the good ones.
        percent_without: the same as a share of today's limit.
    """

    part: CalibratedPart
    score: float
    percent: float
    is_alarmed: bool
    is_far: bool
    limit_without: float
    percent_without: float

    @property
    def name(self) -> str:
        """Of its picture, relative to the folder of good parts."""
        return self.part.pictures[0].name

    @property
    def looks_odd(self) -> bool:
        """A person should look at it, whoever has time for no more."""
        return self.is_alarmed or self.is_far


@dataclass(frozen=True, slots=True, eq=False)
class OddParts:
    """What a person is asked, and what was answered before.

    Attributes:
        shown: at most SHOWN, the most anomalous first.
        odd: how many undecided good parts reach the limit or lie far above the rest.
        far: names of the undecided ones far above the rest, the most anomalous first.
        harmless: parts behind the limit that a person called good or harmless.
        count: all parts behind the limit.
    """

    shown: tuple[OddPart, ...]
    odd: int
    far: tuple[str, ...]
    harmless: int
    count: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence where good parts lie far above the rest: perhaps defects among the good."""
        if not self.far:
            return ()
        named = ", ".join(self.far[:5]) + (", ..." if len(self.far) > 5 else "")
        what = f"{len(self.far)} of {self.count} good parts score far higher than the rest"
        if len(self.far) > MANY_FAR * self.count:
            return (f"{what}: is this a folder of good parts only? Look at {named}",)
        return (f"{what}: good, defective or dirty? Say so with edge-export review: {named}",)


def calibrated_parts(
    labelled: Labelled, cut: CutParts, judged: CrossFitted | None
) -> list[CalibratedPart]:
    """Return the parts whose scores set the limit, in the order of those scores.

    Args:
        judged: how folds judged the crops; None where held-out parts set the limit.
    """
    if judged is None:
        return [
            CalibratedPart((labelled.hold_out[part.picture],), crop)
            for part, crop in zip(cut.hold_out_parts, cut.hold_out_crops, strict=True)
        ]
    members: dict[int, list[int]] = {}
    for index, group in enumerate(judged.groups.tolist()):
        members.setdefault(group, []).append(index)
    maps = dict(zip(judged.odd.tolist(), judged.odd_maps, strict=True))
    return [
        CalibratedPart(
            _once([labelled.training[cut.parts[i].picture] for i in rows]),
            cut.crops[rows[0]],
            maps.get(rows[0]),
        )
        for group in sorted(members)
        for rows in (sorted(members[group], key=lambda i: -judged.good[i]),)
    ]


def _once(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Return each picture once: several parts may lie in one."""
    return tuple({p.sha256: p for p in pictures}.values())


def odd_parts(
    parts: Sequence[CalibratedPart], found: Calibration, kept: frozenset[str] = frozenset()
) -> OddParts:
    """Return the most anomalous good parts that no person has decided on.

    Args:
        parts: one for each of the calibration's scores of good parts.
        kept: digests of pictures that a person called good or harmless.
    """
    scores = found.good.scores
    is_far = far_above(scores)
    is_kept = [any(p.sha256 in kept for p in part.pictures) for part in parts]
    order = [i for i in np.argsort(scores, kind="stable")[::-1].tolist() if not is_kept[i]]
    reached = scores >= found.choice.threshold
    return OddParts(
        tuple(_odd_part(parts[i], i, found, bool(is_far[i])) for i in order[:SHOWN]),
        int(sum(bool(reached[i] or is_far[i]) for i in order)),
        tuple(parts[i].pictures[0].name for i in order if is_far[i]),
        sum(is_kept),
        len(parts),
    )


def far_above(scores: F64Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which of (n,) scores lie more than FAR_SPREADS robust deviations above the median."""
    middle = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - middle)))
    return np.asarray(scores > middle + FAR_SPREADS * max(spread, 1e-9))


def _odd_part(part: CalibratedPart, index: int, found: Calibration, is_far: bool) -> OddPart:
    scores, limit = found.good.scores, found.choice.threshold
    score, without = float(scores[index]), _limit_without(scores, index, found)
    middle = float(np.median(scores))
    return OddPart(
        part,
        score,
        percent_of_limit(score, middle, limit),
        score >= limit,
        is_far,
        without,
        percent_of_limit(without, middle, limit),
    )


def percent_of_limit(score: float, middle: float, limit: float) -> float:
    """Return 100 · (score − middle) / (limit − middle), at least 0: what an operator reads.

    Args:
        middle: the median of the calibration scores.
    """
    if limit <= middle:
        return 100.0 if score >= limit else 0.0
    return max(0.0, 100 * (score - middle) / (limit - middle))


def _limit_without(scores: F64Array, index: int, found: Calibration) -> float:
    rest = np.delete(scores, index)
    if len(rest) == 0:
        return found.choice.threshold
    return nominal_threshold(rest, found.choice.budget_rate, found.choice.is_cross_fitted).threshold
