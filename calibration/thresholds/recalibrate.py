"""New thresholds for an existing bundle, from good parts that pass the whole line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.parts.judged import JudgedParts, told_left_out
from calibration.parts.source import GoodSource
from calibration.thresholds.golden_check import (
    GOLDEN_MARGIN,
    Rejudged,
    check_rejudged,
    rejudged,
    told_golden,
)
from calibration.thresholds.keep import WriteRules, Written, write_changed
from calibration.thresholds.report_note import with_note
from calibration.thresholds.suspect import suspect_limit
from calibration.thresholds.threshold import (
    ThresholdChoice,
    choose_threshold,
    nominal_threshold,
)
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.bundle.manifest import Thresholds, Variant
from edge_app.cameras.protocol import Camera
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import F64Array, Frame

__all__ = ["GOLDEN_MARGIN", "MAP_QUANTILE", "REFERENCE", "recalibrate", "write_limits"]

MAP_QUANTILE = 0.995
"""Of good parts' map maxima: above it an area is a defect's outline. The build uses it too."""

REFERENCE = "fp32"
"""The variant that thresholds belong to first."""


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
class LimitChange:
    """What a new limit brings into the bundle.

    Attributes:
        note: one sentence on the limit and what it rests on, for provenance and report.
        calibration_sha256: digests of the picture files it was set from.
    """

    thresholds: Thresholds
    note: str
    calibration_sha256: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """The rewritten bundle and what its threshold promises.

    Attributes:
        sha256: of the bundle; "" on a dry run.
        old_alarms: of the good parts at or above the old limit.
        left_out: a sentence for everything that was shown and does not count.
        dropped: precisions that are no longer in it: their thresholds followed the old one.
        suspect_threshold: the new one; None where the bundle has none.
        golden: what became of the golden set.
        backup: what was replaced is kept there.
    """

    sha256: str
    choice: ThresholdChoice
    old_threshold: float
    old_alarms: int
    left_out: tuple[str, ...]
    dropped: tuple[str, ...]
    suspect_threshold: float | None
    golden: Rejudged
    backup: Path | None


def recalibrate(
    bundle_path: Path,
    camera: Camera | GoodSource,
    false_alarm_rate: float,
    progress: Callable[[int], None],
    out: Path | None = None,
    is_nominal: bool = False,
    rules: WriteRules | None = None,
) -> Recalibrated:
    """Judge every good part a source shows and set the thresholds from their scores.

    Works on the fp32 variant, from which the others are made; those have to be made again. A bundle
    with a suspect limit gets a new one from the same scores. What a cross-fitted limit says of its
    origin goes: the new limit has another. Near-duplicates count once, with the highest score.

    Args:
        camera: shows good parts only, and comes to an end.
        false_alarm_rate: budget, as a fraction of good parts.
        progress: called with the number of parts judged so far.
        out: where to write; None rewrites the bundle in place.
        is_nominal: the limit is the k-th largest score, k = max(1, round(rate · (n + 1))), as at
            build: the rate is to be expected, not guaranteed.
        rules: None: nothing is accepted, no backup.

    Raises:
        DataError: too few different parts, parts of another product or of the training, scores
            that are not finite, a golden defect that would be OK, or no golden picture left.
    """
    source = camera if isinstance(camera, GoodSource) else GoodSource(camera)
    bundle = read_bundle(bundle_path)
    model = load_model(bundle, precision=REFERENCE)
    parts = JudgedParts(bundle, model)
    judge_source(model, source, parts, progress)
    source.check_not_trained_on(bundle.manifest.provenance)
    distinct = parts.distinct()
    scores = parts.scores_of(distinct)
    choice = _chosen(scores, false_alarm_rate, is_nominal)
    old = bundle.variant(REFERENCE).thresholds
    suspect = None
    if old.suspect_threshold is not None:
        suspect = suspect_limit(scores, choice.threshold)
    thresholds = Thresholds(
        score_threshold=choice.threshold,
        map_threshold=float(np.quantile(parts.map_peaks, MAP_QUANTILE)),
        threshold_id=next_id(old.threshold_id),
        normalisation=old.normalisation,
        false_alarm_rate=false_alarm_rate,
        calibration_scores=tuple(sorted(float(s) for s in scores)),
        defects_from=old.defects_from,
        promise=choice.promise,
        softmax_threshold=old.softmax_threshold,
        suspect_threshold=suspect,
    )
    note = (
        f"{thresholds.threshold_id}: threshold {choice.threshold:.4f} (before "
        f"{old.score_threshold:.4f}) set from {choice.good_count} different good parts "
        f"({choice.false_alarms} above it, true rate at most {choice.rate_bound:.3%} at 95 % "
        f"confidence; {choice.promise})"
    )
    change = LimitChange(thresholds, note, source.digests)
    done, dropped, golden = write_limits(bundle, change, out or bundle_path, rules or WriteRules())
    return Recalibrated(
        done.sha256,
        choice,
        old.score_threshold,
        int(np.count_nonzero(scores >= old.score_threshold)),
        told_left_out(parts, len(distinct), source),
        dropped,
        suspect,
        golden,
        done.backup,
    )


def _chosen(scores: F64Array, rate: float, is_nominal: bool) -> ThresholdChoice:
    if is_nominal:
        return nominal_threshold(scores, rate, is_cross_fitted=False)
    return choose_threshold(scores, rate)


def write_limits(
    bundle: Bundle, changed: LimitChange, out: Path, rules: WriteRules
) -> tuple[Written, tuple[str, ...], Rejudged]:
    """Write the bundle with other thresholds of its fp32 variant; golden verdicts follow them.

    Returns:
        What was written; the precisions that are left out, since their limits followed the old
        one; what became of the golden set.

    Raises:
        DataError: a golden defect is OK at the new limit and nobody accepts that, or every golden
            picture lies too near it.
    """
    old = bundle.variant(REFERENCE)
    thresholds = changed.thresholds
    golden = rejudged(old.golden, thresholds.score_threshold)
    check_rejudged(golden, thresholds.score_threshold, rules.is_accepted)
    variant = old.model_copy(update={"thresholds": thresholds, "golden": golden.kept})
    provenance = bundle.manifest.provenance
    digests = {*provenance.calibration_sha256, *changed.calibration_sha256}
    manifest = bundle.manifest.model_copy(
        update={
            "variants": (variant,),
            "provenance": provenance.model_copy(
                update={
                    "notes": (*provenance.notes, changed.note),
                    "calibration_sha256": _in_order(provenance.calibration_sha256, digests),
                }
            ),
        }
    )
    dropped = tuple(v.precision for v in bundle.manifest.variants if v is not old)
    files = with_note(_files(bundle, variant), (changed.note, *told_golden(golden)))
    return write_changed(out, manifest, files, rules), dropped, golden


def _in_order(first: Sequence[str], all_of_them: set[str]) -> tuple[str, ...]:
    """Return the digests, those that were there first and the new ones sorted behind them."""
    return (*first, *sorted(all_of_them - set(first)))


def _files(bundle: Bundle, variant: Variant) -> dict[str, bytes]:
    """Return the members that a bundle with this one variant needs."""
    named = {variant.inspector, variant.detector, variant.classifier}
    named |= {g.file for g in (*variant.golden, variant.golden_regions) if g is not None}
    return {
        name: data
        for name, data in bundle.files.items()
        if name in named or not (name.startswith("golden/") or name.endswith(".onnx"))
    }


def score_stream(bundle_path: Path, camera: Camera, progress: Callable[[int], None]) -> PartScores:
    """Return the scores of every part a finite source shows, through the whole line, unchecked."""
    bundle = read_bundle(bundle_path)
    model = load_model(bundle, precision=REFERENCE)
    parts = JudgedParts(bundle, model)
    judge_source(model, GoodSource(camera), parts, progress)
    return PartScores(
        parts.scores_of(tuple(parts.scores)), np.array(parts.map_peaks), parts.not_inspected
    )


def judge_source(
    model: LoadedModel, source: GoodSource, parts: JudgedParts, progress: Callable[[int], None]
) -> None:
    """Let the whole line judge what a source shows, and collect it in `parts`.

    Raises:
        DataError: the source stops before its end, or has none.
    """
    tracker = make_tracker(source.camera.describe(), "calibration", model.fills_frame)
    line = make_line(model, "calibration", tracker, lambda: "calibration")
    last: Frame | None = None
    for last in source.frames():
        parts.take(line.inspect(last))
        source.enough(len(parts.scores))
        progress(len(parts.scores))
    if last is not None:
        parts.take(line.finish(last))
        progress(len(parts.scores))


def next_id(threshold_id: str) -> str:
    """Return the id of the set of thresholds after this one: calibrated-1 → calibrated-2."""
    name, _, number = threshold_id.rpartition("-")
    return f"{name or threshold_id}-{int(number) + 1 if number.isdigit() else 2}"
