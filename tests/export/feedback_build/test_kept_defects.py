"""Confirmed defects say how sure the look for harmless places has to be."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.method_parts import CROP_HW, part, parts, train

from edge_app.records import U8Array
from export.defects.evidence import Evidence
from export.feedback_build.harmless import ENOUGH, Ground, MarkedCrops, Taught, teach
from export.feedback_build.harmless_fit import places_of, scale_of_good
from export.feedback_build.harmless_graph import HarmlessGraph
from export.feedback_build.kept_defects import (
    margin_for,
    margins_of,
    margins_without,
    scores_of,
)
from export.methods.ensemble import method
from export.methods.ensemble.choice import TermChoice
from export.methods.ensemble.graph import EnsembleGraph
from export.methods.ensemble.method import Ensemble, features_of
from export.methods.ensemble.terms import CropFeatures

pytestmark = pytest.mark.needs("the extra train")


def spotted(seed: int) -> U8Array:
    """Return a good part with small light discs, at places of its own."""
    rng, crop = np.random.default_rng(seed + 50), part(seed)
    for _ in range(5):
        cv2.circle(crop, (int(rng.integers(18, 80)), int(rng.integers(20, 44))), 2, (250,) * 3, -1)
    return crop


def lined(seed: int, grey: int, length: int) -> U8Array:
    """Return a part with a line: a dark one is nothing like a spot, a short light one nearly is."""
    rng, crop = np.random.default_rng(seed + 90), part(seed)
    x, y = int(rng.integers(14, 50)), int(rng.integers(20, 40))
    cv2.line(crop, (x, y), (x + length, y + int(rng.integers(-3, 4))), (grey,) * 3, 2)
    return crop


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The default method with one local term, and what dark lines look like."""
    none = np.zeros(0, np.int64)
    evidence = Evidence(np.arange(20), np.zeros((0, *CROP_HW, 3), np.uint8), none, none, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "_choice", lambda *_: TermChoice(("detail",), {}))
        data = replace(parts(20), evidence=evidence)
        trained = train(Ensemble(), tmp_path_factory.mktemp("ensemble"), data=data)
    graph, judged = trained.graph, trained.cross_fitted
    assert isinstance(graph, EnsembleGraph)
    assert judged is not None
    scale = scale_of_good(features(graph, list(parts(20).crops)))
    limit = float(np.sort(judged.good)[-2])
    dark = features(graph, [lined(i, 60, 24) for i in range(24)])
    return Ground(graph, dark, judged, limit, 0.0, scale, places_of(dark, graph, limit, scale))


def features(graph: EnsembleGraph, crops: list[U8Array]) -> CropFeatures:
    return features_of(graph.extractor, np.stack(crops), "cpu", "", lambda _text, _share: None)


MARKS = [f"mark-{i}" for i in range(12)]
LIGHT = [f"light-{i}" for i in range(12)]


def taught(ground: Ground, *defects: str) -> Taught:
    crops = [spotted(i) for i in range(100, 112)] + [lined(i, 250, 9) for i in range(500, 512)]
    marked = MarkedCrops(features(ground.graph, crops), (*MARKS, *LIGHT))
    found = teach(ground, marked, MARKS, defects)
    assert found is not None
    return found


def light_alarmed(ground: Ground, found: Taught) -> NDArray[np.bool_]:
    light = features(ground.graph, [lined(i, 250, 9) for i in range(500, 512)])
    return scores_of(HarmlessGraph(ground.graph, found.head), light) >= ground.limit


def test_confirmed_defects_that_look_like_the_marks_stay_alarmed(ground: Ground) -> None:
    """Some are lost half-way, and fewer once they are known; most marks still pass, by folds."""
    light = features(ground.graph, [lined(i, 250, 9) for i in range(500, 512)])
    base = scores_of(ground.graph, light) >= ground.limit
    half_way, strict = taught(ground), taught(ground, *LIGHT)
    lost = base & ~light_alarmed(ground, half_way)
    still = base & ~light_alarmed(ground, strict)
    assert half_way.margin == 0
    assert strict.margin > 0
    assert still.sum() < lost.sum()
    assert strict.passing >= min(ENOUGH, half_way.passing)
    assert set(strict.scores.scores) == {*MARKS, *LIGHT}


def test_a_margin_is_what_a_defect_needs(ground: Ground) -> None:
    """With it the defect is alarmed, and one that was never alarmed needs none."""
    head = taught(ground).head
    crops = features(ground.graph, [*(lined(i, 250, 9) for i in range(500, 506)), part(30)])
    needed = margins_of(ground.graph, head, crops, ground.limit)
    assert math.isnan(needed[-1])
    for number in np.flatnonzero(np.isfinite(needed)).tolist():
        wise = HarmlessGraph(ground.graph, head.stricter(needed[number]))
        assert scores_of(wise, crops)[number] >= ground.limit


def test_the_margin_leaves_enough_marks_passing() -> None:
    """The largest that a defect needs and that the marks bear; without any where few pass."""
    passing = {0.0: 1.0, 1.0: 0.9, 2.0: 0.8, 3.0: 0.4}.__getitem__
    assert margin_for([0.0, 1.0, 2.0, math.nan], passing, 0.8) == 2.0
    assert margin_for([1.0, 3.0], passing, 0.8) == 1.0
    assert margin_for([3.0], passing, 0.8) == 0.0
    assert margin_for([0.0, math.nan], passing, 0.8) == 0.0
    assert margin_for([1.0], {0.0: 0.6, 1.0: 0.6}.__getitem__, 0.8) == 1.0
    assert margin_for([1.0], {0.0: 0.6, 1.0: 0.5}.__getitem__, 0.8) == 0.0


def test_a_defect_that_alone_asks_for_the_margin_is_judged_by_the_others() -> None:
    needed = {0: 2.0, 1: 1.0, 2: math.nan, 3: 0.0}
    assert margins_without(needed, "abcd", 2.0) == {0: 1.0}
    assert margins_without(needed, "aacd", 2.0) == {0: 0.0}
    assert margins_without({0: 2.0, 1: 2.0}, "ab", 2.0) == {}
    assert margins_without({0: 5.0, 1: 1.0}, "ab", 1.0) == {1: 0.0}
    assert margins_without(needed, "abcd", 0.0) == {}
