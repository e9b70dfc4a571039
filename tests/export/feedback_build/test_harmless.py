"""A graph that passes over what people called harmless, and judges all else as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    assert_compiles,
    assert_keeps_the_contract,
    part,
    parts,
    run_torch,
    train,
)

from edge_app.records import U8Array
from export.defects.evidence import Evidence
from export.feedback_build.harmless import Ground, MarkedCrops, teach
from export.feedback_build.harmless_fit import (
    FEWEST,
    Places,
    Scale,
    fit_head,
    places_of,
    scale_of_good,
)
from export.feedback_build.harmless_graph import (
    HEAD_TAPS,
    HarmlessGraph,
    HarmlessHead,
    coarser,
    fine_grid,
)
from export.methods.ensemble import method
from export.methods.ensemble.choice import TermChoice
from export.methods.ensemble.graph import BACKBONE_SCOPES, EnsembleGraph
from export.methods.ensemble.method import Ensemble, features_of
from export.methods.ensemble.terms import ALL_TAPS, CropFeatures
from export.methods.protocol import Trained

pytestmark = pytest.mark.needs("the extra train")

CHANNELS = 24 + 40 + 80
"""Of HEAD_TAPS in EfficientNet-Lite0."""


def spotted(seed: int) -> U8Array:
    """Return a good part with small light discs, at places of its own."""
    rng, crop = np.random.default_rng(seed + 50), part(seed)
    for _ in range(5):
        cv2.circle(crop, (int(rng.integers(18, 80)), int(rng.integers(20, 44))), 2, (250,) * 3, -1)
    return crop


def cracked(seed: int) -> U8Array:
    """Return a part with a dark line."""
    rng, crop = np.random.default_rng(seed + 90), part(seed)
    x, y = int(rng.integers(14, 50)), int(rng.integers(20, 40))
    cv2.line(crop, (x, y), (x + 24, y + int(rng.integers(-6, 7))), (60,) * 3, 2)
    return crop


def features(graph: EnsembleGraph, crops: list[U8Array]) -> CropFeatures:
    return features_of(graph.extractor, np.stack(crops), "cpu", "", lambda _text, _share: None)


@pytest.fixture(scope="module", params=[("detail",), ("detail", "memory", "context")], ids="+".join)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The default method with terms that all judge place by place, and folds' scores."""
    data = parts(20)
    none = np.zeros(0, np.int64)
    evidence = Evidence(np.arange(20), np.zeros((0, *CROP_HW, 3), np.uint8), none, none, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "_choice", lambda *_: TermChoice(request.param, {}))
        folder = tmp_path_factory.mktemp("ensemble")
        return train(Ensemble(), folder, data=replace(data, evidence=evidence))


def ensemble(trained: Trained) -> EnsembleGraph:
    assert isinstance(trained.graph, EnsembleGraph)
    return trained.graph


def head(offset: float) -> HarmlessHead:
    """Return one that finds everything (offset > 0) or nothing."""
    grid = fine_grid(CROP_HW)
    return HarmlessHead(np.zeros(CHANNELS, np.float32), np.full(grid, offset, np.float32))


def test_without_a_harmless_place_it_is_the_very_same_graph(trained: Trained) -> None:
    """Scores and maps to the last bit, for good parts, parts with spots and defective ones."""
    crops = np.stack([part(30), spotted(31), cracked(32)])
    same = replace(trained, graph=HarmlessGraph(ensemble(trained), head(-1.0)))
    for one, other in zip(run_torch(trained, crops), run_torch(same, crops), strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_all_is_harmless_nothing_is_odd(trained: Trained) -> None:
    """The map is 0 everywhere, and a defect scores no more than a good part."""
    blind = replace(trained, graph=HarmlessGraph(ensemble(trained), head(1.0)))
    scores, maps = run_torch(blind, np.stack([part(30), cracked(32)]))
    assert (maps == 0).all()
    assert scores[0] == scores[1]


def taught_by(trained: Trained, marked: list[U8Array], learnt: list[str]) -> HarmlessHead:
    graph = ensemble(trained)
    judged = trained.cross_fitted
    assert judged is not None
    scale = scale_of_good(features(graph, list(parts(20).crops)))
    limit = float(np.sort(judged.good)[-2])
    defects = places_of(features(graph, [cracked(i) for i in range(24)]), graph, limit, scale)
    ground = Ground(graph, features(graph, [cracked(0)]), judged, limit, 0.0, scale, defects)
    crops = MarkedCrops(features(graph, marked), tuple(f"mark-{i}" for i in range(len(marked))))
    found = teach(ground, crops, learnt)
    assert found is not None
    assert set(found.scores.by_folds) == set(learnt)
    assert set(found.scores.scores) == set(crops.owner)
    return found.head


def test_spots_that_were_marked_pass_and_cracks_stay_alarmed(
    trained: Trained, tmp_path: Path
) -> None:
    """Other parts with spots lose most of what stood out; cracks, beside spots too, lose little;
    and the exported graph keeps the contract."""
    marked = [spotted(i) for i in range(100, 112)]
    learnt = taught_by(trained, marked, [f"mark-{i}" for i in range(12)])
    wise = Trained(
        HarmlessGraph(ensemble(trained), learnt).eval(), trained.about, fp16_nodes=BACKBONE_SCOPES
    )
    good = run_torch(trained, np.stack([part(i) for i in range(300, 310)]))[0].max()
    others = np.stack([spotted(i) for i in range(200, 216)])
    before, after = run_torch(trained, others)[0], run_torch(wise, others)[0]
    assert (before > good).mean() > 0.9
    assert (after > before.min()).mean() < 0.5
    assert (after <= before + 1e-5).all()
    cracks = np.stack([cracked(i) for i in range(400, 416)])
    was, now = run_torch(trained, cracks)[0], run_torch(wise, cracks)[0]
    assert (now > good).sum() >= 0.9 * (was > good).sum() > 10
    assert_keeps_the_contract(wise, tmp_path)


@pytest.mark.needs("TensorRT-RTX")
def test_it_compiles_for_tensorrt(trained: Trained, tmp_path: Path) -> None:
    """TensorRT 10.3 lists every operator of it."""
    graph = HarmlessGraph(ensemble(trained), head(-1.0)).eval()
    assert_compiles(Trained(graph, trained.about, fp16_nodes=BACKBONE_SCOPES), tmp_path)


def test_too_few_marks_teach_nothing() -> None:
    """Of fewer than FEWEST parts nothing in common can be told."""
    rng = np.random.default_rng(0)
    scale = Scale(np.zeros((4, 2, 3), np.float32), np.ones(4, np.float32))

    def drawn(crops: int, middle: float) -> Places:
        x = rng.normal(middle, 1, (10 * crops, 4)).astype(np.float32)
        return Places(x, np.repeat(np.arange(crops), 10))

    assert fit_head(drawn(FEWEST - 1, 2), drawn(9, -2), scale) is None
    assert fit_head(drawn(FEWEST, 2), drawn(FEWEST - 1, -2), scale) is None
    assert fit_head(drawn(FEWEST, 2), drawn(9, -2), scale) is not None


def test_a_coarse_place_counts_only_where_every_finer_one_does() -> None:
    """And on a grid of the same size nothing changes."""
    counts = torch.ones(1, 4, 8)
    counts[0, 1, 6] = 0
    assert coarser(counts, (4, 8)) is counts
    assert coarser(counts, (2, 4))[0].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_a_place_beside_a_harmless_one_is_harmless() -> None:
    """One step round it, since a spot lies on more places than stand out."""
    found = head(-1.0)
    found.offset[5, 7] = 1.0
    taps = {b: torch.zeros(1, c, 16, 24) for b, c in zip(HEAD_TAPS, (24, 40, 80), strict=True)}
    zeros = (found(taps)[0] == 0).nonzero().tolist()
    assert zeros == [[y, x] for y in (4, 5, 6) for x in (6, 7, 8)]
    assert set(HEAD_TAPS) <= set(ALL_TAPS)
