"""New thresholds for an existing bundle, from good parts that pass the whole line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.thresholds.suspect import suspect_limit
from calibration.thresholds.threshold import (
    ThresholdChoice,
    choose_threshold,
    nominal_threshold,
)
from edge_app.bundle.archive import Bundle, read_bundle, write_bundle
from edge_app.bundle.manifest import GoldenPicture, Thresholds, Variant
from edge_app.cameras.protocol import Camera
from edge_app.errors import DataError, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.inspection.line import InspectionLine
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.records import F64Array, FrameReport

MAP_QUANTILE = 0.995
"""Of good parts' map maxima: above it an area is a defect's outline. The build uses it too."""

GOLDEN_MARGIN = 0.05
"""A golden score keeps this distance from the threshold, as a fraction of it."""

READ_TIMEOUT_S = 10.0

REFERENCE = "fp32"
"""The variant that thresholds belong to first."""

MIN_PARTS = 50
"""Fewer good parts than this say nothing about a false-alarm rate worth having."""


@dataclass(frozen=True, slots=True, eq=False)
class PartScores:
    """One score per part, as the line saw it: the largest over the judged views.

    Attributes:
        scores: (n,) float64.
        map_peaks: (m,) float64, one per judged view.
        not_inspected: parts that left without a judged view.
    """

    scores: F64Array
    map_peaks: F64Array
    not_inspected: int


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """The rewritten bundle and what its threshold promises.

    Attributes:
        dropped: precisions that are no longer in it: their thresholds followed the old one.
        suspect_threshold: the new one; None where the bundle has none.
    """

    sha256: str
    choice: ThresholdChoice
    not_inspected: int
    dropped: tuple[str, ...]
    suspect_threshold: float | None = None


def recalibrate(
    bundle_path: Path,
    camera: Camera,
    false_alarm_rate: float,
    progress: Callable[[int], None],
    out: Path | None = None,
    is_nominal: bool = False,
) -> Recalibrated:
    """Judge every good part a source shows and set the thresholds from their scores.

    Works on the fp32 variant, from which the others are made; those have to be made again. A bundle
    with a suspect limit gets a new one from the same scores. What a cross-fitted limit says of its
    origin goes: the new limit has another.

    Args:
        camera: shows good parts only, and comes to an end.
        false_alarm_rate: budget, as a fraction of good parts.
        progress: called with the number of parts judged so far.
        out: where to write; None rewrites the bundle in place.
        is_nominal: the limit is the k-th largest score, k = max(1, round(rate · (n + 1))), as at
            build: the rate is to be expected, not guaranteed.

    Raises:
        DataError: too few parts, scores that are not finite, or no golden picture left.
    """
    bundle = read_bundle(bundle_path)
    found = score_stream(bundle_path, camera, progress)
    if len(found.scores) < MIN_PARTS:
        raise DataError(
            f"Only {len(found.scores)} good parts were judged, at least {MIN_PARTS} are needed: "
            "record a longer stream of good parts."
        )
    if is_nominal:
        choice = nominal_threshold(found.scores, false_alarm_rate, is_cross_fitted=False)
    else:
        choice = choose_threshold(found.scores, false_alarm_rate)
    old = bundle.variant(REFERENCE).thresholds
    suspect = None
    if old.suspect_threshold is not None:
        suspect = suspect_limit(found.scores, choice.threshold)
    thresholds = Thresholds(
        score_threshold=choice.threshold,
        map_threshold=float(np.quantile(found.map_peaks, MAP_QUANTILE)),
        threshold_id=next_id(old.threshold_id),
        normalisation=old.normalisation,
        false_alarm_rate=false_alarm_rate,
        calibration_scores=tuple(sorted(float(s) for s in found.scores)),
        defects_from=old.defects_from,
        promise=choice.promise,
        softmax_threshold=old.softmax_threshold,
        suspect_threshold=suspect,
    )
    note = (
        f"{thresholds.threshold_id}: threshold {choice.threshold:.4f} set from "
        f"{choice.good_count} good parts ({choice.false_alarms} above it, true rate at most "
        f"{choice.rate_bound:.3%} at 95 % confidence; {choice.promise}); the report shows the one "
        "set at build"
    )
    digest, dropped = write_limits(bundle, thresholds, note, out or bundle_path)
    return Recalibrated(digest, choice, found.not_inspected, dropped, suspect)


def write_limits(
    bundle: Bundle, thresholds: Thresholds, note: str, out: Path
) -> tuple[str, tuple[str, ...]]:
    """Write the bundle with other thresholds of its fp32 variant; golden verdicts follow them.

    Args:
        note: goes into the provenance.

    Returns:
        The new sha256, and the precisions that are left out: their limits followed the old one.

    Raises:
        DataError: every golden picture lies too near the new limit.
    """
    variant = bundle.variant(REFERENCE)
    golden = _rejudged(variant.golden, thresholds.score_threshold)
    if variant.golden and not golden:
        raise DataError(
            f"All {len(variant.golden)} golden pictures score within {GOLDEN_MARGIN:.0%} of the "
            f"limit {thresholds.score_threshold:.4f}: no device could check the bundle by them. "
            "Choose another rate, or build again with this --false-alarm-rate."
        )
    changed = variant.model_copy(update={"thresholds": thresholds, "golden": golden})
    provenance = bundle.manifest.provenance
    manifest = bundle.manifest.model_copy(
        update={
            "variants": (changed,),
            "provenance": provenance.model_copy(update={"notes": (*provenance.notes, note)}),
        }
    )
    dropped = tuple(v.precision for v in bundle.manifest.variants if v is not variant)
    return write_bundle(out, manifest, _files(bundle, changed)), dropped


def _files(bundle: Bundle, variant: Variant) -> dict[str, bytes]:
    """Return the members that a bundle with this one variant needs."""
    named = {variant.inspector, variant.detector, variant.classifier}
    named |= {g.file for g in (*variant.golden, variant.golden_regions) if g is not None}
    return {
        name: data
        for name, data in bundle.files.items()
        if name in named or not (name.startswith("golden/") or name.endswith(".onnx"))
    }


def _rejudged(golden: Sequence[GoldenPicture], threshold: float) -> tuple[GoldenPicture, ...]:
    """Return the golden pictures with their verdicts under a new threshold.

    Those with a score too near the threshold are left out: rounding must not flip a verdict.
    """
    kept = []
    for picture in golden:
        if any(abs(p.score - threshold) < GOLDEN_MARGIN * abs(threshold) for p in picture.parts):
            continue
        parts = tuple(
            p.model_copy(update={"verdict": "NG" if p.score >= threshold else "OK"})
            for p in picture.parts
        )
        kept.append(picture.model_copy(update={"parts": parts}))
    return tuple(kept)


def score_stream(bundle_path: Path, camera: Camera, progress: Callable[[int], None]) -> PartScores:
    """Return the scores of every part a finite source shows, through the whole line."""
    model = load_model(read_bundle(bundle_path), precision=REFERENCE)
    info = camera.describe()
    tracker = make_tracker(info, "calibration", model.fills_frame)
    line = make_line(model, "calibration", tracker, lambda: "calibration")
    scores: list[float] = []
    peaks: list[float] = []
    not_inspected = 0
    for report in _reports(camera, line):
        for verdict in report.finished:
            if verdict.score is None:
                not_inspected += 1
            else:
                scores.append(verdict.score)
        peaks += [float(a.map_hw.max()) for a in report.anomalies.values()]
        progress(len(scores))
    return PartScores(np.array(scores), np.array(peaks), not_inspected)


def _reports(camera: Camera, line: InspectionLine) -> Iterator[FrameReport]:
    camera.open()
    last: FrameReport | None = None
    try:
        while True:
            try:
                last = line.inspect(camera.read(READ_TIMEOUT_S))
            except EndOfStream:
                break
            except FrameTimeout as error:
                raise DataError(f"The source stopped before its end: {error}") from error
            except FrameCorrupt:
                continue
            yield last
    finally:
        camera.close()
    if last is not None:
        yield line.finish(last.frame)


def next_id(threshold_id: str) -> str:
    """Return the id of the set of thresholds after this one: calibrated-1 → calibrated-2."""
    name, _, number = threshold_id.rpartition("-")
    return f"{name or threshold_id}-{int(number) + 1 if number.isdigit() else 2}"
