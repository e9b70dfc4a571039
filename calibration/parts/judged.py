"""The judged good parts of a source: checked against the bundle, copies counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.parts.identity import GoldenLooks, check_judged, check_product, golden_looks_of
from calibration.parts.looks import PartLooks
from calibration.parts.source import GoodSource
from edge_app.bundle.archive import Bundle
from edge_app.errors import DataError
from edge_app.inspection.plausibility import IMPLAUSIBLE
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import F64Array, FrameReport

MIN_PARTS = 50
"""Fewer different good parts than this say nothing about a false-alarm rate worth having."""


class JudgedParts:
    """Collects what the line reports of good parts.

    Attributes:
        scores: by part id, the largest over the judged views.
        map_peaks: one per judged view.
        not_inspected: parts that left without a judged view.
        unlike: those of them whose pictures can be none of the product.
    """

    def __init__(self, bundle: Bundle, model: LoadedModel) -> None:
        self.scores: dict[str, float] = {}
        self.map_peaks: list[float] = []
        self.not_inspected = self.unlike = 0
        self._bundle, self._precision = bundle, model.identity.precision
        self._golden: GoldenLooks = golden_looks_of(bundle, model)
        self._looks = PartLooks(model.spec)

    def take(self, report: FrameReport) -> None:
        """Take what one frame brought."""
        self._looks.take(report)
        for verdict in report.finished:
            if verdict.score is None:
                self.not_inspected += 1
                self.unlike += verdict.reason == IMPLAUSIBLE
            else:
                self.scores[verdict.part_id] = verdict.score
        self.map_peaks += [float(a.map_hw.max()) for a in report.anomalies.values()]

    def distinct(self, part_ids: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return one part for each group of near-duplicates, the one that scores highest.

        In the order of the groups' first parts; `part_ids`: only of these, None: of all.

        Raises:
            DataError: too few different parts, or they are not the bundle's product.
        """
        parts = list(self.scores) if part_ids is None else list(part_ids)
        usual = self._golden.usual_rms[1 if self._looks.is_of_crops else 0]
        groups = self._looks.groups_of(parts, usual)
        chosen = highest_of_each(dict(zip(parts, groups, strict=True)), self.scores)
        product = self._bundle.manifest.product
        check_judged(product, len(parts), self.not_inspected, self.unlike)
        if len(chosen) < MIN_PARTS:
            raise DataError(_too_few(len(chosen), len(parts), self.not_inspected))
        check_product(
            product,
            self._golden,
            self._looks.coarse_of(chosen),
            self.scores_of(chosen),
            self._bundle.variant(self._precision).thresholds,
        )
        return chosen

    def scores_of(self, part_ids: Sequence[str]) -> F64Array:
        """Return (n,) float64."""
        return np.array([self.scores[part] for part in part_ids], np.float64)


def highest_of_each(groups: Mapping[str, int], scores: Mapping[str, float]) -> tuple[str, ...]:
    """Return the highest-scoring part of each group, in the order of the groups' numbers."""
    best: dict[int, str] = {}
    for part, group in groups.items():
        if group not in best or scores[part] > scores[best[group]]:
            best[group] = part
    return tuple(best[group] for group in sorted(best))


def told_left_out(parts: JudgedParts, distinct: int, source: GoodSource) -> tuple[str, ...]:
    """Return a sentence for everything that was shown and does not count."""
    told = []
    copies = len(parts.scores) - distinct
    if copies:
        told.append(f"{copies} near-duplicates left out: copies of a part count once")
    if parts.not_inspected:
        told.append(f"{parts.not_inspected} parts could not be judged")
    if source.corrupt:
        names = ", ".join(source.corrupt[:3]) + (", ..." if len(source.corrupt) > 3 else "")
        told.append(f"{len(source.corrupt)} pictures could not be read: {names}")
    return tuple(told)


def _too_few(distinct: int, judged: int, not_inspected: int) -> str:
    copies = f" among {judged} (near-duplicates count once)" if judged != distinct else ""
    lost = f"; {not_inspected} could not be judged" if not_inspected else ""
    return (
        f"Only {distinct} different good parts were judged{copies}{lost}, at least {MIN_PARTS} are "
        "needed: record a longer stream of different good parts of this product."
    )
