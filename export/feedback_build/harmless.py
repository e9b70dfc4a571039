"""Teaching a bundle what people called harmless, beside densities that never saw it.

base build (without the false alarms) → what stands out on marked parts and on drawn defects → what
tells them apart, judged on parts that it has not learnt from → the base build's graph with it

Drawn defects here are others than those the bundle's own recall is measured on, and are compressed
as the marked pictures are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.thresholds.threshold import nominal_threshold
from edge_app.records import F64Array, U8Array
from export.bundle_build.records import BuildOptions, Found, Labelled, Trained
from export.bundle_build.view_choice import judged_by_folds
from export.defects.evidence import CrossFitted, per_defect, per_group
from export.defects.synthetic import cut_drawn, drawn_pictures
from export.feedback_build.data_set import StagedPart
from export.feedback_build.harmless_fit import Places, Scale, fit_head, places_of, scale_of_good
from export.feedback_build.harmless_graph import LOCAL_TERMS, HarmlessGraph, HarmlessHead
from export.feedback_build.kept_defects import (
    margin_for,
    margins_of,
    margins_without,
    scores_of,
)
from export.feedback_build.kept_jpeg import as_kept
from export.feedback_build.unseen_scores import UnseenScores, cut_marked
from export.methods.ensemble.graph import BACKBONE_SCOPES, EnsembleGraph
from export.methods.ensemble.method import Frozen, extractor_for, features_of, fitted_to
from export.methods.ensemble.terms import CropFeatures
from export.methods.inspector_record import InspectorRecord
from export.methods.names import DEFAULT
from export.methods.onnx_file import write_graph
from export.methods.protocol import Trained as TrainedGraph
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.train import CROSS_FITTED_FILE

DRAWN_SEEDS = (1001, 1002, 1003)
"""Of the defects that are drawn to learn from; a build's own evidence is drawn with its seed."""

FOLDS = 5
"""Marked parts are judged by what was learnt from four fifths of them."""

ENOUGH, AT_LEAST = 0.8, 0.5
"""Shares of the marked false alarms that pass by what has not learnt from them: from the first on
they have something in common; below the second they have not."""

OnShare = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What does not depend on the marks: the base build's graph, and what drawn defects look like.

    Attributes:
        graph: as the base build trained it.
        good: the good crops' features.
        evidence: those of the defects that its recall is measured on.
        judged: how folds judged both.
        limit, middle: of the good parts at the build's rate, and their median.
        defects: places that stand out on drawn defects.
    """

    graph: EnsembleGraph
    evidence: CropFeatures
    judged: CrossFitted
    limit: float
    middle: float
    scale: Scale
    defects: Places


@dataclass(frozen=True, slots=True, eq=False)
class MarkedCrops:
    """The crops of marked parts.

    Attributes:
        owner: digest of the device's picture, one for each crop.
    """

    features: CropFeatures
    owner: tuple[str, ...]

    def rows(self, digests: Sequence[str]) -> list[int]:
        """Return the numbers of the crops of some parts."""
        wanted = set(digests)
        return [i for i, name in enumerate(self.owner) if name in wanted]

    def largest(self, scores: F64Array) -> dict[str, float]:
        """Return digest → the largest score of its crops."""
        found: dict[str, float] = {}
        for digest, score in zip(self.owner, scores.tolist(), strict=True):
            found[digest] = max(score, found.get(digest, score))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A base build that knows what people called harmless.

    Attributes:
        head: learnt from all that may teach.
        scores: of every marked part, by what has not learnt from it.
        margin: how much surer than half-way it is, for the sake of confirmed defects.
    """

    ground: Ground
    head: HarmlessHead
    scores: UnseenScores
    learnt: tuple[str, ...]
    margin: float = 0.0

    @property
    def passing(self) -> float:
        """Share of the parts it learnt from that pass by what has not learnt from them."""
        passes = [self.scores.scores[d] < self.scores.limit for d in self.learnt]
        return sum(passes) / len(passes)


def can_teach(trained: Trained) -> bool:
    """Tell whether a trained graph judges place by place, so that places can be passed over."""
    terms = trained.inspector.settings.get("terms", ())
    is_default = trained.method == DEFAULT and trained.cut.evidence is not None
    return is_default and bool(terms) and all(t in LOCAL_TERMS for t in terms)


def ground_of(
    options: BuildOptions,
    labelled: Labelled,
    found: Found,
    trained: Trained,
    marked: Sequence[StagedPart],
    on_share: OnShare,
) -> Ground | None:
    """Return what teaching starts from; None where no folds judged."""
    cut, evidence = trained.cut, trained.cut.evidence
    judged = judged_by_folds(options, found, trained.graph)
    if judged is None or evidence is None:
        return None
    data = TrainingSet(np.stack(cut.crops), cut.mask, None, evidence)
    extractor = extractor_for(data.crops, data.mask, options.device)
    good = features_of(extractor, data.crops, options.device, "good parts", on_share)
    bad = features_of(extractor, evidence.defects, options.device, "drawn defects", on_share)
    settings = TrainSettings(options.seed, options.steps, options.device, trained.graph.parent)
    fitted = fitted_to(Frozen(extractor, good, bad), data, settings, on_share).graph
    if not isinstance(fitted, EnsembleGraph):
        raise TypeError(f"{type(fitted).__name__} is no graph of the default method")
    base = per_group(judged.good, judged.groups)
    limit = nominal_threshold(base, options.false_alarm_rate, is_cross_fitted=True).threshold
    scale = scale_of_good(good)
    drawn = _drawn_features(options, labelled, trained, marked, fitted, on_share)
    places = places_of(drawn, fitted, limit, scale)
    return Ground(fitted, bad, judged, limit, float(np.median(base)), scale, places)


def _drawn_features(
    options: BuildOptions, labelled: Labelled, trained: Trained, marked: Sequence[StagedPart],
    graph: EnsembleGraph, on_share: OnShare,
) -> CropFeatures:  # fmt: skip
    """Return features of drawn defects, compressed as the marked pictures are."""
    files = [s.part.path.read_bytes() for s in marked]
    crops: list[U8Array] = []
    for seed in DRAWN_SEEDS:
        drawn = drawn_pictures(
            labelled.training, not labelled.labels.fills_frame, seed, patches=labelled.patches
        )
        crops += list(cut_drawn(as_kept(drawn, files), trained.cut.cutting, _silent).crops)
    return features_of(graph.extractor, np.stack(crops), options.device, "other defects", on_share)


def marked_crops(
    options: BuildOptions, trained: Trained, ground: Ground, staged: Sequence[StagedPart]
) -> MarkedCrops | None:
    """Return the marked parts' crops; None where no product was found in any."""
    places, crops = cut_marked(staged, trained.cut.cutting)
    if not crops:
        return None
    owner = tuple(staged[p.picture].part.record.sha256 for p in places)
    stacked = np.stack(crops)
    extractor = ground.graph.extractor
    return MarkedCrops(features_of(extractor, stacked, options.device, "", _unheard), owner)


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """What was fitted to all marked parts, and to all but those of each fold.

    Attributes:
        folds: the crops' rows that were left out, and what was fitted without them; None where too
            few were left.
    """

    ground: Ground
    marked: MarkedCrops
    whole: HarmlessHead
    folds: tuple[tuple[list[int], HarmlessHead | None], ...]

    def unseen(self, margin: float) -> F64Array:
        """Return (n,) scores of all crops at a margin; of those learnt from, by folds."""
        base, features = self.ground.graph, self.marked.features
        scores = scores_of(HarmlessGraph(base, self.whole.stricter(margin)), features)
        for rows, head in self.folds:
            graph = base if head is None else HarmlessGraph(base, head.stricter(margin))
            scores[rows] = scores_of(graph, features.rows(np.array(rows, np.int64)))
        return scores

    def passing(self, margin: float) -> float:
        """Return the share of the parts learnt from that pass, by folds."""
        learnt = {self.marked.owner[row] for rows, _ in self.folds for row in rows}
        largest = self.marked.largest(self.unseen(margin))
        return float(np.mean([largest[d] < self.ground.limit for d in learnt]))


def _fitted(ground: Ground, marked: MarkedCrops, learnt: Sequence[str]) -> Heads | None:
    rows = marked.rows(learnt)
    places = places_of(marked.features, ground.graph, ground.limit, ground.scale)
    head = fit_head(places.of(rows), ground.defects, ground.scale)
    if head is None:
        return None
    folds = []
    for fold in range(FOLDS):
        own = marked.rows(sorted(learnt)[fold::FOLDS])
        others = [i for i in rows if i not in set(own)]
        if own:
            folds.append((own, fit_head(places.of(others), ground.defects, ground.scale)))
    return Heads(ground, marked, head, tuple(folds))


def teach(
    ground: Ground, marked: MarkedCrops, learnt: Sequence[str], defects: Sequence[str] = ()
) -> Taught | None:
    """Return the base build with what some marked parts teach; None where they are too few.

    Args:
        learnt: digests of the parts to learn from.
        defects: digests of confirmed defects: those that are alarmed are to stay so.
    """
    heads = _fitted(ground, marked, learnt)
    if heads is None:
        return None
    needed = _needed(heads, marked.rows(defects))
    margin = margin_for(list(needed.values()), heads.passing, ENOUGH)
    scores = heads.unseen(margin)
    for row, less in margins_without(needed, marked.owner, margin).items():
        scores[row] = heads.unseen(less)[row]
    largest = marked.largest(scores)
    joined = tuple(d for d in sorted(set(learnt)) if d in largest)
    unseen = UnseenScores(largest, frozenset(joined), ground.middle, ground.limit)
    return Taught(ground, heads.whole.stricter(margin), unseen, joined, margin)


def _needed(heads: Heads, rows: Sequence[int]) -> dict[int, float]:
    """Return crop of a defect → the margin that keeps it alarmed."""
    if not rows:
        return {}
    crops = heads.marked.features.rows(np.array(rows, np.int64))
    found = margins_of(heads.ground.graph, heads.whole, crops, heads.ground.limit)
    return dict(zip(rows, found.tolist(), strict=True))


def with_harmless(taught: Taught, trained: Trained) -> Trained:
    """Write the graph that knows, beside the base build's own; return it in its place.

    The good parts' scores by folds stay those without what was taught, which only lowers them. Each
    drawn defect's loses what the shipped graph loses on it.
    """
    ground = taught.ground
    graph = HarmlessGraph(ground.graph, taught.head).eval()
    folder = trained.graph.parent / "harmless"
    folder.mkdir(parents=True, exist_ok=True)
    _with_loss(ground, graph, trained).save(folder / CROSS_FITTED_FILE)
    about = {
        "method": trained.inspector.method,
        "settings": trained.inspector.settings,
        **trained.inspector.figures,
        "harmless_marks": len(taught.learnt),
        "harmless_margin": round(taught.margin, 4),
    }
    ready = TrainedGraph(graph, about, fp16_nodes=BACKBONE_SCOPES)
    file = folder / "inspector.onnx"
    record: InspectorRecord = write_graph(ready, ground.evidence.crop_hw, file)
    return replace(trained, graph=file, inspector=record)


def _with_loss(ground: Ground, graph: HarmlessGraph, trained: Trained) -> CrossFitted:
    evidence = trained.cut.evidence
    if evidence is None:
        raise ValueError("a build without evidence teaches nothing")
    count = len(evidence.labels)
    old, new = (
        per_defect(scores_of(g, ground.evidence), evidence.defect_of, count)
        for g in (ground.graph, graph)
    )
    lost = np.where(np.isfinite(old), np.maximum(old - np.where(np.isfinite(new), new, old), 0), 0)
    return replace(ground.judged, defects=ground.judged.defects - lost)


def _silent(_share: float) -> None:
    """Drawing is told by the features that follow."""


def _unheard(_text: str, _share: float) -> None:
    """Marked parts are few."""
