"""Cross-fitting of a method that is quick to train: once for each fold, never on what it judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from edge_app.records import F32Array, F64Array, U8Array
from export.defects.evidence import (
    CrossFitted,
    Evidence,
    OddMaps,
    folds_of,
    folds_of_defects,
    per_defect,
)
from export.methods.protocol import Method, TrainingSet, TrainSettings
from export.workspace import OnProgress

BATCH = 8
"""Crops a forward pass."""


def cross_fitted(
    method: Method, data: TrainingSet, evidence: Evidence, settings: TrainSettings,
    on_progress: OnProgress,
) -> CrossFitted:  # fmt: skip
    """Return how models that had not seen them judge the good crops and the defects."""
    folds = folds_of(evidence.groups)
    defect_folds = folds_of_defects(evidence, folds)[evidence.defect_of]
    count = int(folds.max()) + 1
    good = OddMaps(len(folds))
    bad = np.zeros(len(evidence.defect_of))
    for fold in range(count):
        on_progress(f"judging fold {fold + 1} of {count}", fold / count)
        subset = replace(data, crops=data.crops[folds != fold], evidence=None)
        graph = method.train(subset, settings, lambda _text, _share: None).graph.eval()
        own = np.flatnonzero(folds == fold)
        good.add(own, *judged_by(graph, data.crops[own]))
        at = defect_folds == fold
        if at.any():
            bad[at], _ = judged_by(graph, evidence.defects[at])
    defects = per_defect(bad, evidence.defect_of, len(evidence.labels))
    return CrossFitted(
        count, evidence.groups, good.scores, good.peaks, defects, evidence.labels, *good.kept()
    )


def judged_by(graph: torch.nn.Module, crops: U8Array) -> tuple[F64Array, F32Array]:
    """Return (n,) scores and (n, mh, mw) maps."""
    scores, maps = [], []
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            score, values = graph(torch.from_numpy(crops[start : start + BATCH]))
            scores.append(score.double().numpy())
            maps.append(values.float().numpy())
    return np.concatenate(scores), np.concatenate(maps)
