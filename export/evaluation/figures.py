"""From judged pictures to the figures of an evaluation: one JSON object."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_app.model.loaded_model import LoadedModel
from edge_app.records import F64Array, JsonObject, VerdictState
from export.evaluation.data import TestPictures
from export.evaluation.image_metrics import (
    auroc,
    auroc_interval,
    average_precision,
    best_f1,
    rate_interval,
    score_curve,
)
from export.evaluation.judge import Judged
from export.evaluation.operating_point import Verdicts, operating_figures
from export.evaluation.pixel_metrics import PixelCounts


def scores_of(judged: Sequence[Judged]) -> F64Array:
    """Return (n,) scores; +inf for pictures that were not inspected."""
    return np.array([j.rank_score for j in judged], np.float64)


def good_and_bad(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Return the good pictures and the defective ones."""
    good = [j for j in judged if j.picture.is_good]
    return good, [j for j in judged if not j.picture.is_good]


def figures_of(
    model: LoadedModel,
    pictures: TestPictures,
    judged: Sequence[Judged],
    pixels: PixelCounts,
    warnings: Sequence[str],
) -> JsonObject:
    """Return every figure; rates are fractions, keys are explained in docs/evaluation.md."""
    good, bad = good_and_bad(judged)
    return {
        **_score_figures(good, bad),
        **_pixel_figures(bad, pixels, None),
        **_threshold_figures(model, good, bad),
        "good": len(good),
        "bad": len(bad),
        "excluded": len(pictures.excluded),
        "excluded_pictures": [p.name for p in pictures.excluded],
        **_near_training(pictures, good),
        "kinds": [_kind_figures(good, bad, kind, pixels) for kind in _kinds(bad)],
        "picture_ms": _times(judged),
        "product": model.identity.product,
        "serial": model.identity.serial,
        "bundle_sha256": model.identity.bundle_sha256,
        "precision": model.identity.precision,
        "warnings": list(warnings),
    }


def _near_training(pictures: TestPictures, good: Sequence[Judged]) -> JsonObject:
    """Return the near-duplicates of training pictures, and the false alarms without them."""
    near = set(pictures.near_training)
    apart = [j for j in good if j.picture not in near]
    return {
        "near_training": len(near),
        "near_training_pictures": [p.name for p in pictures.near_training],
        "apart_from_training": {
            "good": len(apart),
            "inspected": _inspected(apart),
            "false_alarms": sum(j.is_ng for j in apart),
        },
    }


def _score_figures(good: Sequence[Judged], bad: Sequence[Judged]) -> JsonObject:
    good_scores, bad_scores = scores_of(good), scores_of(bad)
    curve = score_curve(good_scores, bad_scores)
    f1, at = best_f1(curve)
    return {
        "image_auroc": auroc(good_scores, bad_scores),
        "image_auroc_interval": list(auroc_interval(good_scores, bad_scores)),
        "aupr": average_precision(curve),
        "f1_max": f1,
        "f1_max_threshold": at if math.isfinite(at) else None,
    }


def verdicts_of(judged: Sequence[Judged]) -> Verdicts:
    """Return what the bundle said of some pictures."""
    scores = [math.nan if j.score is None else j.score for j in judged]
    is_ng = [j.verdict is VerdictState.NG for j in judged]
    return Verdicts(np.array(scores, np.float64), np.array(is_ng, np.bool_))


def _threshold_figures(
    model: LoadedModel, good: Sequence[Judged], bad: Sequence[Judged]
) -> JsonObject:
    return {
        "threshold": model.limits.score_threshold,
        "threshold_id": model.limits.threshold_id,
        **operating_figures(verdicts_of(good), verdicts_of(bad)),
    }


def _pixel_figures(bad: Sequence[Judged], pixels: PixelCounts, kind: str | None) -> JsonObject:
    """Return the figures that need masks; nothing where there is none."""
    if not pixels.kinds or (kind is not None and kind not in pixels.kinds):
        return {}
    masked = [j for j in bad if j.met is not None]
    regions, met, on_defects = (sum(j.met[i] for j in masked if j.met) for i in range(3))
    boxes = sum(j.boxes for j in masked)
    return {
        "pixel_auroc": pixels.auroc(kind),
        "pro": pixels.pro(kind),
        "masked": len(masked),
        "regions": regions,
        "regions_met": met / regions,
        "boxes": boxes,
        "boxes_on_defects": on_defects / boxes if boxes else None,
    }


def _kinds(bad: Sequence[Judged]) -> list[str]:
    return sorted({j.picture.kind for j in bad})


def _kind_figures(
    good: Sequence[Judged], bad: Sequence[Judged], kind: str, pixels: PixelCounts
) -> JsonObject:
    """One kind against all good pictures."""
    own = [j for j in bad if j.picture.kind == kind]
    caught = sum(j.verdict is VerdictState.NG for j in own)
    return {
        "kind": kind,
        "pictures": len(own),
        "image_auroc": auroc(scores_of(good), scores_of(own)),
        "caught": caught,
        "recall": caught / len(own),
        "recall_bounds": list(rate_interval(caught, len(own))),
        "not_inspected": len(own) - _inspected(own),
        **_pixel_figures(own, pixels, kind),
    }


def _inspected(judged: Sequence[Judged]) -> int:
    return sum(j.score is not None for j in judged)


def _times(judged: Sequence[Judged]) -> JsonObject:
    """Milliseconds per picture: median and 95th percentile of reading and of judging."""
    times = np.array([j.times_ms for j in judged if j.times_ms is not None], np.float64)
    if not len(times):
        return {}
    read, judge = times.T  # (n,), (n,)
    return {
        "read_median": round(float(np.median(read)), 2),
        "judge_median": round(float(np.median(judge)), 2),
        "judge_p95": round(float(np.quantile(judge, 0.95)), 2),
    }
