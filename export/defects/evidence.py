"""What a limit and a choice rest on: good crops judged by a model that has not seen them.

Cross-fitting (cross-conformal prediction; Hennhöfer and Preisach, Leave-One-Out-, Bootstrap- and
Cross-Conformal Anomaly Detectors, arXiv 2402.16388): the good crops are cut into folds, each fold
is scored by what was fitted to the others, and the model that is shipped is fitted to all of them.
So no good picture is spent on the limit alone. Near-duplicates lie in one fold, or a crop's twin
would vouch for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.thresholds.threshold import nominal_rank
from edge_app.errors import ShapeError
from edge_app.records import F32Array, F64Array, U8Array

I64Array = NDArray[np.int64]

FOLDS_FEW, FOLDS_MANY = 10, 5
MANY_CROPS = 150
"""With fewer good crops there are ten folds: what is fitted to nine tenths is nearly what is
shipped. With more a fifth less hardly matters, and each fold costs time."""

MAPS_KEPT = 48
"""Maps of good crops that are kept: more than are shown, since a person may have decided on some
of them, and near-duplicates share one place."""

CHOICE_RATE = 0.02
"""Nominal false-alarm rate at which ways to the crop are compared by their recall."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The good crops' groups, and good crops with one synthetic defect each.

    Attributes:
        groups: (n,) int64, near-duplicates among the good crops share a number.
        defects: uint8 (m, h, w, 3), cut by the same way as the good ones.
        defect_of: (m,) int64, the number of the synthetic defect a crop shows; one defect may be
            in several crops, and one that the way to the crop lost is in none.
        defect_groups: (d,) int64, the group of the picture each defect was drawn on.
        labels: (d,) pairs (kind, size).
    """

    groups: I64Array
    defects: U8Array
    defect_of: I64Array
    defect_groups: I64Array
    labels: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        count = len(self.labels)
        if len(self.defects) != len(self.defect_of) or len(self.defect_groups) != count:
            raise ShapeError("every defect crop and every defect needs its number and its group")

    @property
    def sha256(self) -> str:
        """Hex digest of all that is in it."""
        digest = hashlib.sha256(repr(self.labels).encode())
        for array in (self.groups, self.defects, self.defect_of, self.defect_groups):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """Scores by models that have not seen the picture.

    Attributes:
        folds: how many models there were.
        groups: (n,) int64 as in Evidence.
        good, good_peaks: (n,) score and map maximum of each good crop.
        defects: (d,) the largest score of each synthetic defect's crops; −inf for one in no crop.
        labels: (d,) pairs (kind, size).
        odd: (k,) int64, the good crops of the largest scores, the largest first.
        odd_maps: (k, mh, mw) float32, the maps of these crops; what is odd about a crop only a
            model that has not seen it can show.
    """

    folds: int
    groups: I64Array
    good: F64Array
    good_peaks: F64Array
    defects: F64Array
    labels: tuple[tuple[str, str], ...]
    odd: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    odd_maps: F32Array = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))

    def save(self, file: Path) -> None:
        """Write it to an .npz file."""
        labels = np.array([f"{kind}|{size}" for kind, size in self.labels], np.str_)
        np.savez(
            file, folds=self.folds, groups=self.groups, good=self.good,
            good_peaks=self.good_peaks, defects=self.defects, labels=labels,
            odd=self.odd, odd_maps=self.odd_maps,
        )  # fmt: skip


class OddMaps:
    """Collects good crops' scores and maps fold by fold, and keeps the maps that are shown."""

    def __init__(self, count: int) -> None:
        self.scores, self.peaks = np.zeros(count), np.zeros(count)
        self._maps: dict[int, F32Array] = {}

    def add(self, at: I64Array, scores: F64Array, maps: F32Array) -> None:
        """Take in the crops with these numbers: (m,) scores and (m, mh, mw) maps."""
        self.scores[at], self.peaks[at] = scores, maps.max((1, 2))
        self._maps.update(zip(at.tolist(), maps, strict=True))
        if len(self._maps) > 2 * MAPS_KEPT:
            self._maps = {i: self._maps[i] for i in self._oddest()}

    def kept(self) -> tuple[I64Array, F32Array]:
        """Return the numbers of the MAPS_KEPT oddest crops, the oddest first, and their maps."""
        oddest = self._oddest()
        maps = [self._maps[i] for i in oddest]
        return np.array(oddest, np.int64), np.stack(maps).astype(np.float32)

    def _oddest(self) -> list[int]:
        return sorted(self._maps, key=lambda i: (-self.scores[i], i))[:MAPS_KEPT]


def load_cross_fitted(file: Path) -> CrossFitted:
    """Return what `save` wrote."""
    with np.load(file, allow_pickle=False) as kept:
        pairs = [str(text).split("|", 1) for text in kept["labels"]]
        labels = tuple((kind, size) for kind, size in pairs)
        return CrossFitted(
            int(kept["folds"]),
            kept["groups"],
            kept["good"],
            kept["good_peaks"],
            kept["defects"],
            labels,
            *((kept["odd"], kept["odd_maps"]) if "odd" in kept else ()),  # not before 0.2.0
        )


def folds_of(groups: I64Array) -> I64Array:
    """Return (n,) the fold of each crop: whole groups, evenly filled, the largest first.

    Args:
        groups: (n,) int64, in the build's own order (`export/data/stable_order.py`), so that
            neither order nor names of the files change the folds.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(index)
    ordered = sorted(members.values(), key=lambda rows: (-len(rows), rows[0]))
    count = min(FOLDS_FEW if len(groups) < MANY_CROPS else FOLDS_MANY, len(ordered))
    filled = [0] * count
    folds = np.zeros(len(groups), np.int64)
    for rows in ordered:
        fold = filled.index(min(filled))
        folds[rows] = fold
        filled[fold] += len(rows)
    return folds


def folds_of_defects(evidence: Evidence, folds: I64Array) -> I64Array:
    """Return (d,) the fold of the group each defect was drawn on; 0 for a group without crops."""
    of_group = dict(zip(evidence.groups.tolist(), folds.tolist(), strict=True))
    return np.array([of_group.get(g, 0) for g in evidence.defect_groups.tolist()], np.int64)


def with_missing_caught(found: CrossFitted, kind: str) -> CrossFitted:
    """Return the same where a picture without its product is NG by itself, without a score.

    Args:
        kind: what the pictures without a product are called in the labels.
    """
    is_absent = np.array([label[0] == kind for label in found.labels], bool)
    caught = np.where(is_absent & np.isneginf(found.defects), np.inf, found.defects)
    return replace(found, defects=caught)


def per_group(values: F64Array, groups: I64Array) -> F64Array:
    """Return one value per group, its largest, in the order of the groups' numbers."""
    numbers, inverse = np.unique(groups, return_inverse=True)
    largest = np.full(len(numbers), -np.inf)
    np.maximum.at(largest, inverse, values)
    return largest


def per_defect(scores: F64Array, defect_of: I64Array, count: int) -> F64Array:
    """Return (count,) the largest of each defect's crops' scores, −inf where it has no crop."""
    found = np.full(count, -np.inf)
    np.maximum.at(found, defect_of, scores)
    return found


def recall_at(good: F64Array, defects: F64Array, rate: float) -> float:
    """Return the share of defects at or above the limit of a nominal rate (PB2 for 0.02)."""
    if len(defects) == 0:
        return 0.0
    limit = np.sort(good)[::-1][nominal_rank(len(good), rate) - 1]
    return float((defects >= limit).mean())
