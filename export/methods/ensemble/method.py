"""The default: PatchCore's memory and four Gaussians on one frozen backbone, chosen by evidence.

Sources: Roth et al., PatchCore, CVPR 2022 (memory); Defard et al., PaDiM, ICPR 2021 and Kim et
al., Semi-orthogonal embedding, 2021 (detail, context); Li et al., CutPaste, CVPR 2021, eq. 3, on
several levels of a frozen network (statistics); `export/networks/regional_term.py` (regions).
Deviations: those of the files that hold the terms; here none is trained, all are standardised by
cross-fitted good crops and joined by a power mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from edge_app.errors import DataError
from edge_app.records import F32Array, F64Array, U8Array
from export.backbones.efficientnet_lite import load_lite0
from export.defects.evidence import (
    CrossFitted,
    Evidence,
    I64Array,
    OddMaps,
    folds_of,
    folds_of_defects,
    per_defect,
)
from export.methods.ensemble.choice import TermChoice, choose_terms, scale_of
from export.methods.ensemble.graph import BACKBONE_SCOPES, EnsembleGraph, FeatureExtractor
from export.methods.ensemble.surroundings import surroundings_of
from export.methods.ensemble.terms import (
    ALL_TAPS,
    CropFeatures,
    fit_context,
    fit_detail,
    fit_memory,
    fit_regions,
    fit_statistics,
)
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits
from export.workspace import OnProgress

BATCH = 8
"""Crops a forward pass: more does not speed up two cores."""

MIN_STATISTICS_CROPS = 12
"""Fewer good crops say nothing of 848 dimensions, however much they are shrunk."""

MAP_TERMS = ("detail", "memory", "context", "regions")
"""Terms whose maps say where; the statistics' GradCAM only where there is no other."""

Fitted = dict[str, nn.Module]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The method; see the module's docstring."""

    name: str = "ensemble"
    paper: str = "Roth et al., PatchCore, CVPR 2022; Defard et al., PaDiM, ICPR 2021"
    traits: ClassVar[Traits] = Traits(takes_steps=False, shares_batches=False, cross_fits="itself")

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the graph fitted to all good crops, and how its folds judged them."""
        extractor = extractor_for(data.crops, data.mask, settings.device)
        features = features_of(extractor, data.crops, settings.device, "features", on_progress)
        evidence = data.evidence or _without_defects(len(data.crops))
        defects = (
            features_of(extractor, evidence.defects, settings.device, "defects", on_progress)
            if len(evidence.defects)
            else None
        )
        return fitted_to(Frozen(extractor, features, defects), data, settings, on_progress)


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What no fold changes: the extractor, and its features of good and of defect crops."""

    extractor: FeatureExtractor
    features: CropFeatures
    defects: CropFeatures | None


def fitted_to(
    frozen: Frozen, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress
) -> Trained:
    """Return the graph fitted to all good crops, and how its folds judged them.

    Args:
        frozen: features of `data.crops` and of `data.evidence.defects`, in their order.
    """
    extractor, features, defects = frozen.extractor, frozen.features, frozen.defects
    evidence = data.evidence or _without_defects(len(data.crops))
    folds = folds_of(evidence.groups)
    judged = _judged_by_folds(features, defects, data, evidence, folds, settings, on_progress)
    chosen = _choice(judged, data)
    scales = [scale_of(judged.good[name]) for name in chosen.terms]
    terms = _fit(features, data.mask, settings.seed, chosen.terms, on_progress)
    map_scales = _map_scales(judged, chosen.terms)

    def joined(fitted: Fitted) -> EnsembleGraph:
        picked = [fitted[name] for name in chosen.terms]
        return EnsembleGraph(
            extractor, chosen.terms, picked, scales, map_scales, data.crop_hw
        ).eval()

    found = _cross_fitted(joined, judged, features, defects, evidence, folds)
    extractor.to("cpu")
    about = {
        "method": Ensemble().name,
        "settings": {"terms": list(chosen.terms)},
        "recall_by_terms": chosen.table,
        "folds": found.folds,
    }
    return Trained(joined(terms), about, fp16_nodes=BACKBONE_SCOPES, cross_fitted=found)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Each term's cross-fitted scores.

    Attributes:
        good: term → (n,) scores of good crops.
        defects: term → (m,) scores of defect crops; empty without any.
        good_maps: term → (n,) mean of each good crop's map.
        fitted: per fold, the terms fitted to all the others.
    """

    good: dict[str, F64Array]
    defects: dict[str, F64Array]
    good_maps: dict[str, F64Array]
    fitted: list[Fitted]


def _cross_fitted(
    joined: Callable[[Fitted], EnsembleGraph],
    judged: _Judged,
    features: CropFeatures,
    defects: CropFeatures | None,
    evidence: Evidence,
    folds: I64Array,
) -> CrossFitted:
    """Return what each fold's own graph says of the crops it has not seen."""
    good = OddMaps(len(folds))
    bad = np.zeros(len(evidence.defect_of))
    defect_folds = folds_of_defects(evidence, folds)[evidence.defect_of]
    for fold, fitted in enumerate(judged.fitted):
        graph = joined(fitted)
        at, bad_at = np.flatnonzero(folds == fold), np.flatnonzero(defect_folds == fold)
        good.add(at, *_scores(graph, features.rows(at)))
        if defects is not None and len(bad_at):
            bad[bad_at], _ = _scores(graph, defects.rows(bad_at))
    found = per_defect(bad, evidence.defect_of, len(evidence.labels))
    return CrossFitted(
        len(judged.fitted),
        evidence.groups,
        good.scores,
        good.peaks,
        found,
        evidence.labels,
        *good.kept(),
    )


def extractor_for(crops: U8Array, mask: U8Array | None, device: str) -> FeatureExtractor:
    """Return what makes the features of a product's crops.

    Args:
        crops, mask: as in `surroundings_of`.
    """
    backbone = load_lite0(max(ALL_TAPS)).eval().requires_grad_(False)
    return FeatureExtractor(surroundings_of(crops, mask), backbone).to(device)


def features_of(
    extractor: FeatureExtractor,
    crops: U8Array,
    device: str,
    what: str,
    on_progress: OnProgress,
) -> CropFeatures:
    """Return the frozen features of crops, uint8 (n, h, w, 3).

    Args:
        what: is being done, for the progress.
    """
    found: dict[int, list[torch.Tensor]] = {b: [] for b in ALL_TAPS}
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            batch = torch.from_numpy(crops[start : start + BATCH]).to(device)
            for block, x in zip(ALL_TAPS, extractor.blocks(batch), strict=True):
                found[block].append(x.half().cpu())
            on_progress(what, min(1.0, (start + BATCH) / len(crops)))
    hw = (int(crops.shape[1]), int(crops.shape[2]))
    return CropFeatures({b: torch.cat(x) for b, x in found.items()}, hw)


def _without_defects(count: int) -> Evidence:
    """Return evidence of good crops alone, each of its own group."""
    none = np.zeros(0, np.int64)
    return Evidence(np.arange(count), np.zeros((0, 1, 1, 3), np.uint8), none, none, ())


def _fit(
    features: CropFeatures,
    mask: U8Array | None,
    seed: int,
    names: Sequence[str],
    on_progress: OnProgress,
) -> Fitted:
    """Return the named terms fitted to the crops."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "detail": lambda: fit_detail(features, mask, seed),
        "memory": lambda: fit_memory(features, mask, seed, on_progress),
        "context": lambda: fit_context(features, mask, seed),
        "statistics": lambda: fit_statistics(features),
        "regions": lambda: fit_regions(features, seed),
    }
    with torch.no_grad():
        return {name: makers[name]().eval() for name in names}


def _usable(data: TrainingSet) -> list[str]:
    """Return the terms that so many crops of such a product can be judged by."""
    names = ["detail", "memory", "context"]
    if len(data.crops) >= MIN_STATISTICS_CROPS:
        names.append("statistics")
        if data.mask is None:
            names.append("regions")
    return names


def _judged_by_folds(
    features: CropFeatures,
    defects: CropFeatures | None,
    data: TrainingSet,
    evidence: Evidence,
    folds: I64Array,
    settings: TrainSettings,
    on_progress: OnProgress,
) -> _Judged:
    """Fit every usable term to all folds but one, judge that one, for each fold."""
    names, count = _usable(data), int(folds.max()) + 1
    if count < 2:
        raise DataError("All good crops are near-duplicates of one: give pictures of many parts.")
    defect_folds = folds_of_defects(evidence, folds)[evidence.defect_of]
    good, good_maps = ({name: np.zeros(len(folds)) for name in names} for _ in range(2))
    all_fitted = []
    bad = {name: np.zeros(len(evidence.defect_of)) for name in names}
    for fold in range(count):
        on_progress(f"judging fold {fold + 1} of {count}", fold / count)
        fitted = _fit(
            features.rows(np.flatnonzero(folds != fold)), data.mask, settings.seed, names,
            lambda _text, _share: None,
        )  # fmt: skip
        at, bad_at = np.flatnonzero(folds == fold), np.flatnonzero(defect_folds == fold)
        for name, term in fitted.items():
            good[name][at], good_maps[name][at] = _term_scores(term, features.rows(at))
            if defects is not None and len(bad_at):
                bad[name][bad_at], _ = _term_scores(term, defects.rows(bad_at))
        all_fitted.append(fitted)
    return _Judged(good, bad, good_maps, all_fitted)


def _term_scores(term: nn.Module, features: CropFeatures) -> tuple[F64Array, F64Array]:
    """Return (n,) scores of one term, and (n,) means of its maps."""
    scores, means = [], []
    with torch.no_grad():
        for taps in features.chunks():
            score, values = term(taps)
            scores.append(score.double().numpy())
            means.append(values.mean((1, 2)).double().numpy())
    return np.concatenate(scores), np.concatenate(means)


def _scores(graph: EnsembleGraph, features: CropFeatures) -> tuple[F64Array, F32Array]:
    """Return (n,) scores and (n, mh, mw) maps."""
    scores, maps = [], []
    with torch.no_grad():
        for taps in features.chunks():
            score, values = graph.judge(taps, features.crop_hw)
            scores.append(score.double().numpy())
            maps.append(values.float().numpy())
    return np.concatenate(scores), np.concatenate(maps)


def _choice(judged: _Judged, data: TrainingSet) -> TermChoice:
    """Return the terms to take; without synthetic defects PatchCore's and the context's."""
    if data.evidence is None or len(data.evidence.labels) == 0:
        return TermChoice(("memory", "context"), {})
    count = len(data.evidence.labels)
    found = {
        name: per_defect(scores, data.evidence.defect_of, count)
        for name, scores in judged.defects.items()
    }
    return choose_terms(judged.good, found, data.evidence.groups)


def _map_scales(judged: _Judged, names: Sequence[str]) -> list[float]:
    """Return one over each map's mean on good crops it has not seen; 0 for one that is left out.

    On crops that it remembers the memory's map is all but zero, and would outweigh the others. The
    median over the crops: one odd part must not make a map faint.
    """
    kept = [name for name in names if name in MAP_TERMS] or list(names)
    means = {name: float(np.median(judged.good_maps[name])) for name in kept}
    return [1.0 / max(means[name], 1e-9) if name in kept else 0.0 for name in names]
