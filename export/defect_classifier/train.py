"""From labelled defects to classifier.onnx: every choice by cross-validation among themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.bundle.manifest import ClassifierSpec
from edge_app.records import F32Array, U8Array
from export.defect_classifier.graph import ClassifierGraph, RegionFeatures, features_of
from export.defect_classifier.regions import cut_views, spec_for, turned_ways
from export.defect_classifier.softmax_head import (
    Labels,
    accuracy,
    cross_validated,
    fit_on_views,
    folds_of,
    keep_threshold,
    unseen_class_rejected,
)
from export.defects.labelled import KnownDefect

MIN_EXAMPLES = 5
"""One for each fold; fewer say nothing about how well a class is separated from the others."""

WANTED_EXAMPLES = 10

MARGINS = (0.1, 0.4, 1.0)
SIDE_PX = 64
"""On 65 boards of deep_pcb 96 px named no more defects rightly (95.1 %; 64 px: 95.8 %)."""

L2 = (1e-4, 1e-3, 1e-2)
FIRST_L2 = 1e-3
"""With which margins are compared; the best of them chooses its own."""

TIE = 0.005
"""Half a point of accuracy, less than one example in a hundred: the first, cheaper choice stays."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What cross-validation chose.

    Attributes:
        is_turned: trained in all turns and mirror images; False where direction tells kinds apart.
    """

    margin: float
    is_turned: bool
    l2: float


@dataclass(frozen=True, slots=True)
class ClassifierFigures:
    """The recipe and its cross-validated figures, for the manifest and the report.

    Attributes:
        kinds: defect class → examples.
        turned: trained in all turns and mirror images.
        cross_validated_accuracy: share of the examples that are named rightly.
        tried: recipe → its accuracy.
        left_out_kind_is_unknown: share of a class's defects that are called unknown where it was
            left out of the training; None with two classes.
    """

    kinds: dict[str, int]
    margin: float
    region_px: int
    turned: bool
    l2: float
    cross_validated_accuracy: float
    softmax_threshold: float
    tried: dict[str, float]
    left_out_kind_is_unknown: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainedClassifier:
    """The classifier and what is known of it.

    Attributes:
        threshold: of the softmax; see `keep_threshold`.
        regions: uint8 (n, h, w, 3), the labelled defects as the device would cut them.
        warnings: sentences for the terminal and the report.
    """

    graph: ClassifierGraph
    spec: ClassifierSpec
    threshold: float
    regions: U8Array
    figures: ClassifierFigures
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Features of one way of cutting: (cuts, 8, n, d); the exact cut and the given way first."""

    features: F32Array
    regions: U8Array
    spec: ClassifierSpec

    def training(self, is_turned: bool) -> F32Array:
        """Return (v, n, d)."""
        ways = self.features if is_turned else self.features[:, :1]
        return ways.reshape(-1, *ways.shape[2:])

    @property
    def judged(self) -> F32Array:
        """Return (cuts, n, d), in the given direction: what a device may see of an example."""
        return self.features[:, 0]


def usable(defects: Sequence[KnownDefect]) -> tuple[list[KnownDefect], tuple[str, ...]]:
    """Return the defects of kinds with enough examples, none if there are not two such kinds.

    Returns:
        The defects, and sentences on what was left out or is thin.
    """
    counts = Counter(d.kind for d in defects)
    warnings = [
        f"the defect kind {kind} has {count} examples"
        + (
            f", {WANTED_EXAMPLES} to 20 are better"
            if count >= MIN_EXAMPLES
            else f", at least {MIN_EXAMPLES} are needed: such defects stay unknown"
        )
        for kind, count in sorted(counts.items())
        if count < WANTED_EXAMPLES
    ]
    enough = {kind for kind, count in counts.items() if count >= MIN_EXAMPLES}
    if len(enough) < 2:
        warnings.append("no classifier: it takes at least two defect kinds with enough examples")
        return [], tuple(warnings)
    return [d for d in defects if d.kind in enough], tuple(warnings)


def train_classifier(
    defects: Sequence[KnownDefect], seed: int, progress: Callable[[str, float], None]
) -> TrainedClassifier:
    """Choose how to cut and how to regularise, fit the head and set the softmax threshold.

    Args:
        defects: at least two kinds of MIN_EXAMPLES each (`usable`).
        progress: called with (what, share done).
    """
    kinds = tuple(sorted({d.kind for d in defects}))
    labels = np.array([kinds.index(d.kind) for d in defects])
    folds = folds_of([d.source for d in defects], labels, seed)
    net = RegionFeatures()
    tried: dict[str, float] = {}
    best: tuple[float, Recipe, _Seen] | None = None
    for number, margin in enumerate(MARGINS, 1):
        seen = _seen(net, defects, kinds, margin, seed)
        recipe = Recipe(margin, True, FIRST_L2)
        share = _score(seen, recipe, labels, folds)
        tried[f"margin {margin}"] = round(share, 4)
        if best is None or share > best[0] + TIE:
            best = share, recipe, seen
        progress(f"margin {margin}: {share:.0%} named rightly", number / (len(MARGINS) + 1))
    assert best is not None  # MARGINS is not empty
    return _finished(net, best, tried, labels, folds, len(kinds))


def _finished(
    net: RegionFeatures,
    best: tuple[float, Recipe, _Seen],
    tried: dict[str, float],
    labels: Labels,
    folds: Labels,
    kinds: int,
) -> TrainedClassifier:
    share, recipe, seen = best
    for is_turned in (True, False):
        for l2 in L2:
            other = Recipe(recipe.margin, is_turned, l2)
            if other == best[1]:
                continue
            found = _score(seen, other, labels, folds)
            tried[f"{'turned' if is_turned else 'as cut'}, l2 {l2}"] = round(found, 4)
            if found > share + TIE:
                share, recipe = found, other
    training = seen.training(recipe.is_turned)
    probabilities = cross_validated(training, seen.judged, labels, folds, recipe.l2)
    threshold = keep_threshold(probabilities, labels)
    head = fit_on_views(training, labels, recipe.l2)
    kept_out = None
    if kinds > 2:
        unknown = unseen_class_rejected(training, seen.judged, labels, recipe.l2, threshold)
        kept_out = round(unknown, 4)
    figures = ClassifierFigures(
        kinds={k: int((labels == i).sum()) for i, k in enumerate(seen.spec.kinds)},
        margin=recipe.margin,
        region_px=SIDE_PX,
        turned=recipe.is_turned,
        l2=recipe.l2,
        cross_validated_accuracy=round(share, 4),
        softmax_threshold=round(threshold, 4),
        tried=tried,
        left_out_kind_is_unknown=kept_out,
    )
    graph, doubts = ClassifierGraph(net, head), _doubts(share, kinds)
    return TrainedClassifier(graph, seen.spec, threshold, seen.regions, figures, doubts)


def _doubts(share: float, kinds: int) -> tuple[str, ...]:
    if share >= (1 + 1 / kinds) / 2:
        return ()
    return (
        f"the known defect classes are hardly separable: {share:.0%} of the examples are named "
        f"rightly in cross-validation, {1 / kinds:.0%} would be chance",
    )


def _seen(
    net: RegionFeatures,
    defects: Sequence[KnownDefect],
    kinds: tuple[str, ...],
    margin: float,
    seed: int,
) -> _Seen:
    spec = spec_for(defects, (SIDE_PX, SIDE_PX), margin)
    views = cut_views(defects, spec, seed)
    features = np.stack(
        [np.stack([features_of(net, way) for way in turned_ways(cut)]) for cut in views.regions]
    )
    class_spec = ClassifierSpec(
        kinds=kinds, region_hw=spec.region_hw, window_px=spec.window_px, margin=spec.margin
    )
    return _Seen(features, views.regions[0], class_spec)


def _score(seen: _Seen, recipe: Recipe, labels: Labels, folds: Labels) -> float:
    training = seen.training(recipe.is_turned)
    return accuracy(cross_validated(training, seen.judged, labels, folds, recipe.l2), labels)
