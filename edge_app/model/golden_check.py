"""The self-check: a bundle's golden pictures must come out here as they did where it was built."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture, Tolerances, Variant
from edge_app.errors import EdgeError
from edge_app.imaging.oriented_box import rotated_iou
from edge_app.inspection.judge import judge_score
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import Look, look_at


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """What the golden set came out as.

    Attributes:
        reason: why it failed, with the picture's name; "" when all came out as expected.
        pictures: judged so far; all of them when it passed.
        worst_iou: of a box with its expectation, 0..1; 1 while none was compared.
        worst_score_difference: as `Tolerances.score_relative` counts it.
        latency_ms: median of one picture, detector to score; None when none was judged.
    """

    reason: str
    pictures: int
    worst_iou: float = 1.0
    worst_score_difference: float = 0.0
    latency_ms: float | None = None

    @property
    def is_ok(self) -> bool:
        return not self.reason


@dataclass(slots=True)
class _Tally:
    worst_iou: float = 1.0
    worst_score_difference: float = 0.0


def check_golden(
    model: LoadedModel,
    bundle: Bundle,
    budget_ms: float | None = None,
    before_each: Callable[[], None] = lambda: None,
    clock_s: Callable[[], float] = time.perf_counter,
) -> GoldenResult:
    """Judge the golden set of the model's variant: boxes, scores, verdicts, classes and time.

    Args:
        model: loaded from the bundle; its thresholds must be the bundle's own.
        budget_ms: the line's own limit for one picture; the bundle may name a stricter one.
        before_each: called before every picture, e.g. to let live parts go first.
    """
    variant = bundle.variant(model.identity.precision)
    if not variant.golden:
        return GoldenResult(
            "the bundle has no golden pictures, so nothing shows that it works here; build it "
            "again with edge-export",
            0,
        )
    tally, times_ms = _Tally(), list[float]()
    for picture in variant.golden:
        before_each()
        reason, took_ms = _check_picture(model, bundle, variant, picture, tally, clock_s)
        times_ms.append(took_ms)
        if reason:
            break
    latency_ms = float(np.median(times_ms))
    reason = reason or _check_regions(model, bundle, variant)
    reason = reason or _too_slow(latency_ms, variant.tolerances.latency_ms, budget_ms)
    return GoldenResult(
        reason, len(times_ms), tally.worst_iou, tally.worst_score_difference, latency_ms
    )


def _check_regions(model: LoadedModel, bundle: Bundle, variant: Variant) -> str:
    """Return the first golden region that gets another defect class, in words; "" if none does."""
    expected = variant.golden_regions
    if expected is None or model.defect_classifier is None:
        return ""
    data = np.frombuffer(bundle.files[expected.file], np.uint8)
    sheet = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if sheet is None or sheet.shape[0] % len(expected.kinds):
        return f"{expected.file} is no picture of {len(expected.kinds)} regions"
    regions = np.asarray(sheet, np.uint8).reshape(len(expected.kinds), -1, *sheet.shape[1:])
    try:
        guesses = [g for r in regions for g in model.defect_classifier.guess(r[None])]
    except EdgeError as error:
        return f"{expected.file}: {error}"
    for number, (guess, kind) in enumerate(zip(guesses, expected.kinds, strict=True), 1):
        if guess.kind != kind:
            return (
                f"{expected.file}: region {number} is called {guess.kind} "
                f"({guess.probability:.2f}), expected {kind}"
            )
    return ""


def _too_slow(latency_ms: float, of_bundle_ms: float | None, of_line_ms: float | None) -> str:
    budgets = [b for b in (of_bundle_ms, of_line_ms) if b is not None]
    if not budgets or latency_ms <= min(budgets):
        return ""
    return f"a picture takes {latency_ms:.0f} ms here, {min(budgets):.0f} ms are allowed"


def _check_picture(
    model: LoadedModel,
    bundle: Bundle,
    variant: Variant,
    picture: GoldenPicture,
    tally: _Tally,
    clock_s: Callable[[], float],
) -> tuple[str, float]:
    """Return what is wrong with one picture ("" if nothing), and its time in ms."""
    data = np.frombuffer(bundle.files[picture.file], np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if decoded is None:
        return f"{picture.file} is no readable picture", 0.0
    started_s = clock_s()
    try:
        looks = look_at(model, np.asarray(decoded, np.uint8))
    except EdgeError as error:
        return f"{picture.file}: {error}", 0.0
    took_ms = (clock_s() - started_s) * 1e3
    reason = _compare(looks, picture.parts, model, variant.tolerances, tally)
    return (f"{picture.file}: {reason}" if reason else ""), took_ms


def _compare(
    looks: Sequence[Look],
    expected: Sequence[GoldenPart],
    model: LoadedModel,
    tolerances: Tolerances,
    tally: _Tally,
) -> str:
    """Return the first difference that matters, in words; "" when there is none."""
    if len(looks) != len(expected):
        return f"{len(looks)} products found, {len(expected)} expected"
    left = list(looks)
    for part in expected:
        look = max(left, key=lambda k: rotated_iou(k.box_cxcywhr, part.box_cxcywhr))
        left.remove(look)
        iou = rotated_iou(look.box_cxcywhr, part.box_cxcywhr)
        tally.worst_iou = min(tally.worst_iou, iou)
        if iou < tolerances.box_min_iou:
            return f"box overlaps its expectation by {iou:.2f}, {tolerances.box_min_iou} is allowed"
        reason = _compare_score(look.anomaly.score, part, model, tolerances, tally)
        if reason:
            return reason
    return ""


def _compare_score(
    score: float, part: GoldenPart, model: LoadedModel, tolerances: Tolerances, tally: _Tally
) -> str:
    if not math.isfinite(score):
        return f"the score is {score}, expected {part.score:.4g}"
    scale = max(abs(part.score), abs(model.limits.score_threshold)) or 1.0
    difference = abs(score - part.score) / scale
    tally.worst_score_difference = max(tally.worst_score_difference, difference)
    verdict = judge_score(score, model.limits)[0].value
    if verdict != part.verdict:
        return f"the verdict is {verdict} ({score:.4g}), expected {part.verdict} ({part.score:.4g})"
    if difference > tolerances.score_relative:
        return (
            f"the score {score:.4g} differs from {part.score:.4g} by {difference:.1%}, "
            f"{tolerances.score_relative:.1%} is allowed"
        )
    return ""
