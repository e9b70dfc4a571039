"""Labelled defects become a classifier: choices, threshold, graph."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from support.engine_compiler import AHEAD_OF_TIME
from support.known_shapes import KINDS, shapes

from calibration.graphs.operators import problems_for_tensorrt
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.imaging.defect_region import UNKNOWN, region_of
from edge_app.inspection.defect_classifier import DefectClassifier
from export.defect_classifier.graph import write_classifier
from export.defect_classifier.regions import cut_views, spec_for, turned_ways
from export.defect_classifier.softmax_head import (
    FOLDS,
    accuracy,
    fit_head,
    folds_of,
    keep_threshold,
    softmax,
)
from export.defect_classifier.train import TrainedClassifier, train_classifier, usable

pytestmark = pytest.mark.needs("the extra train")


@pytest.fixture(scope="module")
def trained() -> TrainedClassifier:
    return train_classifier(shapes(6, 0), 0, lambda *_: None)


@pytest.fixture(scope="module")
def graph(trained: TrainedClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("kinds") / "classifier.onnx"
    write_classifier(trained.graph, trained.spec.region_hw, file)
    return file


def test_new_defects_are_named(trained: TrainedClassifier, graph: Path) -> None:
    """Of thirty drawn defects that nobody trained on, at least 27 get their own kind."""
    spec = trained.spec.to_spec()
    regions = [region_of(d.read(), d.polygon_xy, 0.0, spec) for d in shapes(10, 100)]
    namer = DefectClassifier(OnnxRunner(graph, 1), spec, trained.spec.kinds, 0.0)
    named = [guess.kind for guess in namer.guess(np.stack(regions))]
    right = sum(n == d.kind for n, d in zip(named, shapes(10, 100), strict=True))
    assert right >= 27
    assert trained.figures.cross_validated_accuracy > 0.8
    assert trained.figures.kinds == dict.fromkeys(KINDS, 6)


def test_the_graph_computes_what_was_trained(trained: TrainedClassifier, graph: Path) -> None:
    """ONNX Runtime and torch agree on the logits of one region and of many, to 1e-3."""
    runner = OnnxRunner(graph, 1)
    for regions in (trained.regions, trained.regions[:1]):
        with torch.no_grad():
            expected = trained.graph(torch.from_numpy(regions)).numpy()
        found = runner.run({"regions": regions})["logits"]
        assert found.shape == (len(regions), len(KINDS))
        assert np.abs(found - expected).max() < 1e-3


@pytest.mark.needs("TensorRT-RTX")
def test_the_graph_compiles_ahead_of_time(graph: Path) -> None:
    """The classifier becomes an engine for an Ampere GPU; TensorRT 10.3 lists its operators."""
    model = graph.read_bytes()
    assert problems_for_tensorrt(model) == ()
    options = EngineOptions(max_batch=20, compute_capability=AHEAD_OF_TIME)
    assert build_engine(model, options).plan


def test_the_threshold_turns_few_examples_away(trained: TrainedClassifier, graph: Path) -> None:
    """With the softmax threshold nearly all examples keep their name; some are never certain."""
    namer = DefectClassifier(
        OnnxRunner(graph, 1), trained.spec.to_spec(), trained.spec.kinds, trained.threshold
    )
    named = [guess.kind for guess in namer.guess(trained.regions)]
    assert named.count(UNKNOWN) <= 2
    assert 0.0 < trained.threshold < 1.0


def test_kinds_with_too_few_examples_stay_unknown() -> None:
    """Four examples make no kind, and two kinds are the least; both are told in a sentence."""
    few = [d for d in shapes(6, 0) if d.kind != "ring"] + shapes(4, 0, ("ring",))
    kept, told = usable(few)
    assert {d.kind for d in kept} == {"blot", "scratch"}
    assert "the defect kind ring has 4 examples, at least 5 are needed" in told[1]
    assert "10 to 20 are better" in told[0]
    enough = shapes(10, 0)
    assert usable(enough) == (enough, ())
    kept, told = usable(shapes(20, 0, ("blot",)))
    assert kept == []
    assert told == ("no classifier: it takes at least two defect kinds with enough examples",)


def test_one_picture_is_never_on_both_sides() -> None:
    """Examples of one picture share a fold, and every fold gets a fair share of each kind."""
    sources = [f"p{i // 2}" for i in range(60)]
    labels = np.arange(60) // 20
    folds = folds_of(sources, labels, 0)
    assert all(folds[i] == folds[i + 1] for i in range(0, 60, 2))
    counts = np.array([[np.sum((folds == f) & (labels == k)) for k in range(3)]
                       for f in range(FOLDS)])  # fmt: skip
    assert counts.min() >= 2
    assert counts.max() <= 6


def test_the_head_is_softmax_regression() -> None:
    """Probabilities agree with scikit-learn's on the same standardised features and penalty."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    features = (rng.normal(0, 2, (90, 4)) + 1.5 * np.eye(3, 4)[labels] + 7).astype(np.float32)
    head = fit_head(features, labels, 3, l2=0.01)
    standard = (features - features.mean(0)) / features.std(0)
    other = LogisticRegression(C=1 / (2 * 0.01 * 90), tol=1e-8, max_iter=1000).fit(standard, labels)
    assert np.abs(softmax(head.logits(features)) - other.predict_proba(standard)).max() < 0.01


def test_a_constant_feature_does_no_harm() -> None:
    """A feature that never varies leaves finite logits."""
    features = np.zeros((10, 2), np.float32)
    features[5:, 1] = 1
    head = fit_head(features, np.repeat([0, 1], 5), 2, 1e-3)
    assert np.isfinite(head.logits(features + 1)).all()


def test_accuracy_counts_every_kind_alike() -> None:
    """Nine of ten of one kind and none of one of the other give 45 %."""
    labels = np.array([0] * 10 + [1])
    probabilities = np.full((1, 11, 2), [0.9, 0.1])
    probabilities[0, 0] = [0.2, 0.8]
    assert accuracy(probabilities, labels) == pytest.approx(0.45)


def test_the_threshold_is_the_twentieth_of_what_is_right() -> None:
    """Of examples named rightly with 0.60 to 0.80, one in twenty lies below; wrong ones are out."""
    sure = np.linspace(0.6, 0.8, 21)
    probabilities = np.stack([np.stack([sure, 1 - sure], 1)])
    assert keep_threshold(probabilities, np.zeros(21, int)) == pytest.approx(0.61)
    assert keep_threshold(probabilities, np.ones(21, int)) == 0.0


def test_views_vary_but_the_first_is_exact() -> None:
    """Regions are cut exactly once and beside it once; eight turns start with the region itself."""
    defects = shapes(2, 0)
    spec = spec_for(defects, (32, 32), 0.4)
    views = cut_views(defects, spec, 0)
    assert views.regions.shape == (2, 6, 32, 32, 3)
    exact = region_of(defects[0].read(), defects[0].polygon_xy, 0.0, spec)
    assert (views.regions[0, 0] == exact).all()
    assert (views.regions[1, 0] != exact).any()
    assert (cut_views(defects, spec, 0).regions == views.regions).all()
    ways = turned_ways(views.regions[0])
    assert (ways[0] == views.regions[0]).all()
    assert len({way[0].tobytes() for way in ways}) == 8


def test_the_window_comes_from_the_smallest_defects() -> None:
    """Defects of 10 to 30 px give a least window that shows a 12 px one with its margin."""
    base = shapes(1, 0, ("blot",))[0]
    sides = [10.0, 20.0, 30.0]
    defects = [dataclasses.replace(base, polygon_xy=((0.0, 0.0), (s, 1.0))) for s in sides]
    assert spec_for(defects, (32, 32), 0.5).window_px == pytest.approx(24.0)
