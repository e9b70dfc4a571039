"""Two variants beside each other: the same frames through both lines, compared part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.parts.judged import JudgedParts
from calibration.parts.source import GoodSource
from edge_app.bundle.manifest import ParityFigures
from edge_app.cameras.protocol import Camera
from edge_app.errors import DataError
from edge_app.inspection.line import InspectionLine
from edge_app.model.loaded_model import LoadedModel, make_line, make_tracker
from edge_app.records import F64Array, Frame, FrameReport


@dataclass(frozen=True, slots=True, eq=False)
class PartPairs:
    """The same parts as two variants saw them.

    Attributes:
        names: (n) source names or part numbers, for people.
        reference, variant: (n,) float64 scores, the largest over the judged views.
        reference_peaks, variant_peaks: (m,) float64 map maxima of views judged by both.
        unmatched: parts that only one of the two judged.
    """

    names: tuple[str, ...]
    reference: F64Array
    variant: F64Array
    reference_peaks: F64Array
    variant_peaks: F64Array
    unmatched: int


@dataclass(frozen=True, slots=True)
class Flip:
    """One part with two verdicts.

    Attributes:
        reference_margin, variant_margin: score − threshold, as a fraction of the threshold.
    """

    name: str
    reference_margin: float
    variant_margin: float


def paired_scores(
    reference: LoadedModel,
    variants: Sequence[LoadedModel],
    source: GoodSource,
    progress: Callable[[int], None],
    parts: JudgedParts | None = None,
) -> list[PartPairs]:
    """Show all models every frame of a finite source; return each variant beside the reference.

    Args:
        parts: collects what the reference reports; the pairs are then of different parts of the
            bundle's product only (`JudgedParts.distinct`).

    Raises:
        DataError: the source stops before its end or has none, two models agree on no part, or
            the parts are too few or another product's.
    """
    sides = [_Side(model, source.camera) for model in (reference, *variants)]
    last: Frame | None = None
    for last in source.frames():
        for side in sides:
            report = side.look(last)
            if parts is not None and side is sides[0]:
                parts.take(report)
        source.enough(len(sides[0].scores))
        progress(len(sides[0].scores))
    if last is not None:
        for side in sides:
            report = side.take(side.line.finish(last))
            if parts is not None and side is sides[0]:
                parts.take(report)
    return [_paired(sides[0], side, parts) for side in sides[1:]]


def map_threshold(pairs: PartPairs, threshold: float) -> float:
    """Return the variant's map threshold: the reference's times the median ratio of the peaks."""
    is_up = pairs.reference_peaks > 0
    if not is_up.any():
        return threshold
    ratios = pairs.variant_peaks[is_up] / pairs.reference_peaks[is_up]
    return threshold * float(np.median(ratios))


def flips(pairs: PartPairs, threshold: float, variant_threshold: float) -> list[Flip]:
    """Return every part with two verdicts, each variant under its own threshold."""
    scale = abs(threshold) or 1.0
    mine = (pairs.reference - threshold) / scale
    other = (pairs.variant - variant_threshold) / scale
    found = np.flatnonzero((mine >= 0) != (other >= 0))
    return [Flip(pairs.names[i], float(mine[i]), float(other[i])) for i in found]


def figures(
    pairs: PartPairs, threshold: float, variant_threshold: float, source: str
) -> ParityFigures:
    """Return what travels in the manifest."""
    scale = abs(threshold) or 1.0
    moved = (pairs.variant - variant_threshold) - (pairs.reference - threshold)
    return ParityFigures(
        source=source,
        parts=len(pairs.names),
        flips=len(flips(pairs, threshold, variant_threshold)),
        unmatched=pairs.unmatched,
        score_difference_median=round(float(np.median(np.abs(moved))) / scale, 6),
        score_difference_largest=round(float(np.abs(moved).max()) / scale, 6),
    )


def expected_flips(reference: F64Array, variant: F64Array, threshold: float) -> float:
    """Return the share of parts expected to flip, smoother than counting a small sample.

    Every part's score is tried with every part's difference (less the median, which the
    threshold takes up): with few parts hardly one lies so near the threshold that it flips.

    Args:
        reference, variant: (n,) scores of the same parts.
    """
    moved = variant - reference
    shifts = moved - np.median(moved)  # (n,)
    is_bad = reference >= threshold
    after = reference[:, None] + shifts[None, :] >= threshold  # (n, n)
    return float((after != is_bad[:, None]).mean())


class _Side:
    """One model's line and what it has said so far."""

    def __init__(self, model: LoadedModel, camera: Camera) -> None:
        tracker = make_tracker(camera.describe(), "parity", model.fills_frame)
        self.line: InspectionLine = make_line(model, "parity", tracker, lambda: "parity")
        self.scores: dict[str, float] = {}
        self.names: dict[str, str] = {}
        self.peaks: dict[tuple[int, str], float] = {}

    def look(self, frame: Frame) -> FrameReport:
        """Judge a frame, remember its scores and return the report."""
        return self.take(self.line.inspect(frame))

    def take(self, report: FrameReport) -> FrameReport:
        """Remember what a report says and return it."""
        for verdict in report.finished:
            if verdict.score is not None:
                self.scores[verdict.part_id] = verdict.score
                self.names[verdict.part_id] = verdict.source_name or verdict.part_id
        for part_id, anomaly in report.anomalies.items():
            self.peaks[report.frame.frame_id, part_id] = float(anomaly.map_hw.max(initial=0.0))
        return report


def _paired(reference: _Side, variant: _Side, parts: JudgedParts | None) -> PartPairs:
    unmatched = len(set(reference.scores) ^ set(variant.scores))
    both = [part for part in reference.scores if part in variant.scores]
    if not both:
        raise DataError(
            f"The two variants judged no part in common ({len(reference.scores)} and "
            f"{len(variant.scores)} parts): the source shows no product, or a variant is broken."
        )
    if parts is not None:
        both = list(parts.distinct(both))
    views = [view for view in reference.peaks if view in variant.peaks]
    return PartPairs(
        tuple(reference.names[part] for part in both),
        np.array([reference.scores[part] for part in both]),
        np.array([variant.scores[part] for part in both]),
        np.array([reference.peaks[view] for view in views]),
        np.array([variant.peaks[view] for view in views]),
        unmatched,
    )
