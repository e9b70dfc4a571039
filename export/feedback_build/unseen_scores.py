"""What a model that has not learnt from a part says of it, for every marked part of a build.

Parts that joined the training are judged by folds (export/defects/evidence.py): by what was fitted
to the others. Parts kept back and defects are judged by the trained graph, which never saw them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.thresholds.threshold import nominal_threshold
from edge_app.backends.onnx import OnnxRunner
from edge_app.inspection.inspector import Inspector
from edge_app.records import U8Array
from export.bundle_build.records import BuildOptions, CutParts, Found, Labelled, Trained
from export.bundle_build.view_choice import judged_by_folds
from export.calibrate.thresholds import score_crops
from export.data.crops import FoundPart, find_parts
from export.data.picture import Picture
from export.defects.evidence import CrossFitted, per_group
from export.feedback_build.data_set import StagedPart
from export.pose.step import Cutting, cut_all


@dataclass(frozen=True, slots=True)
class UnseenScores:
    """Scores by models that have not learnt from the part.

    Attributes:
        scores: digest of the device's picture → the largest score in it; parts in which no product
            was found have none.
        by_folds: digests of those that are in the training.
        middle, limit: the median of the data set's own good parts and their limit at the nominal
            rate; marked parts have no say in either.
    """

    scores: Mapping[str, float]
    by_folds: frozenset[str]
    middle: float
    limit: float

    def shares(self) -> dict[str, float]:
        """Return digest → score as a share of the limit: 0 is the usual good part, 1 the limit."""
        width = max(self.limit - self.middle, 1e-9)
        return {digest: (score - self.middle) / width for digest, score in self.scores.items()}


def unseen_scores(
    options: BuildOptions,
    labelled: Labelled,
    found: Found,
    trained: Trained,
    staged: Sequence[StagedPart],
) -> UnseenScores | None:
    """Return what folds and the graph say of marked parts; None where no folds judged.

    Args:
        staged: all of them, joined or not.
    """
    judged = judged_by_folds(options, found, trained.graph)
    if judged is None:
        return None
    by_picture = _largest(judged, labelled.training, trained.cut)
    device = {s.sha256: s.part.record.sha256 for s in staged}
    joined = {device[d]: score for d, score in by_picture.items() if d in device}
    own = [i for i, part in enumerate(trained.cut.parts)
           if labelled.training[part.picture].sha256 not in device]  # fmt: skip
    base = per_group(judged.good[own], judged.groups[own])
    limit = nominal_threshold(base, options.false_alarm_rate, is_cross_fitted=True).threshold
    rest = [s for s in staged if s.part.record.sha256 not in joined]
    inspector = Inspector(OnnxRunner(trained.graph), trained.cut.cutting.spec.crop_hw)
    others = _by_graph(rest, trained.cut.cutting, inspector)
    return UnseenScores(
        {**joined, **others}, frozenset(joined), float(np.median(base)), float(limit)
    )


def _largest(judged: CrossFitted, training: Sequence[Picture], cut: CutParts) -> dict[str, float]:
    """Return digest → the largest score of the picture's parts."""
    found: dict[str, float] = {}
    for part, score in zip(cut.parts, judged.good.tolist(), strict=True):
        digest = training[part.picture].sha256
        found[digest] = max(score, found.get(digest, score))
    return found


def cut_marked(
    staged: Sequence[StagedPart], cutting: Cutting
) -> tuple[list[FoundPart], list[U8Array]]:
    """Return where products were found in marked pictures, and their crops."""
    pictures = [picture_of(s) for s in staged]
    if not pictures:
        return [], []
    places = list(find_parts(cutting.finder, pictures, cutting.fills_frame, _silent).parts)
    crops, _ = cut_all(cutting, pictures, places, _silent)
    return places, crops


def _by_graph(
    staged: Iterable[StagedPart], cutting: Cutting, inspector: Inspector
) -> dict[str, float]:
    parts = list(staged)
    places, crops = cut_marked(parts, cutting)
    scores = score_crops(inspector, crops, _silent).scores.tolist() if crops else []
    found: dict[str, float] = {}
    for place, score in zip(places, scores, strict=True):
        digest = parts[place.picture].part.record.sha256
        found[digest] = max(score, found.get(digest, score))
    return found


def picture_of(staged: StagedPart) -> Picture:
    """Return a marked part's picture as a build takes it."""
    h, w = staged.part.read().shape[:2]
    return Picture(staged.path, staged.path.name, staged.sha256, (h, w))


def _silent(_share: float) -> None:
    """Marked parts are few beside the training."""
