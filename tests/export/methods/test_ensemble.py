"""The default method: several densities on one backbone, chosen by cross-fitted evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    DEFECT_YX,
    assert_keeps_the_contract,
    damaged,
    part,
    parts,
    product_mask,
    run_torch,
    train,
)

from edge_app.errors import DataError
from export.defects.evidence import Evidence
from export.methods.ensemble import method
from export.methods.ensemble.choice import (
    POWER,
    TIE,
    Scale,
    TermChoice,
    choose_terms,
    combined,
    scale_of,
    standardised,
)
from export.methods.ensemble.graph import EnsembleGraph
from export.methods.ensemble.method import (
    MIN_STATISTICS_CROPS,
    Ensemble,
    _scores,
    _usable,
    features_of,
)
from export.methods.ensemble.terms import ALL_TAPS
from export.methods.onnx_file import write_graph
from export.methods.protocol import Trained, TrainingSet

pytestmark = pytest.mark.needs("the extra train")

COUNT, DEFECTS = 14, 10
MARKED = 3


def with_evidence(groups: np.ndarray | None = None) -> TrainingSet:
    """Good parts, of which one has a mark of its own, and damaged ones, the last of them lost."""
    data = parts(COUNT)
    data.crops[MARKED, 20:44, 40:60] = 255
    of = np.arange(COUNT) if groups is None else groups
    crops = np.stack([damaged(i) for i in range(DEFECTS - 1)])
    labels = tuple(("spot", "small") for _ in range(DEFECTS))
    number = np.arange(DEFECTS)
    return replace(data, evidence=Evidence(of, crops, number[:-1], number, labels))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One for the whole file."""
    return train(Ensemble(), tmp_path_factory.mktemp("ensemble"), data=with_evidence())


def ensemble_of(trained: Trained) -> EnsembleGraph:
    assert isinstance(trained.graph, EnsembleGraph)
    return trained.graph


def test_it_keeps_the_contract_and_says_what_it_chose(trained: Trained, tmp_path: Path) -> None:
    """Parity to 1e-3 for any n; the terms and every candidate's recall are in the record."""
    about = assert_keeps_the_contract(trained, tmp_path)
    assert about["method"] == "ensemble"
    assert set(about["settings"]["terms"]) <= {"detail", "memory", "context", "statistics"}
    assert "+".join(about["settings"]["terms"]) in about["recall_by_terms"]
    assert about["folds"] == 10


def test_it_points_at_a_planted_defect(trained: Trained) -> None:
    """Damaged parts score above good ones, and their maps stand out where the damage is."""
    good, good_maps = run_torch(trained, np.stack([part(i) for i in range(200, 206)]))
    bad, bad_maps = run_torch(trained, np.stack([damaged(i) for i in range(200, 206)]))
    assert bad.min() > good.max()
    y, x = (at // 4 for at in DEFECT_YX)
    assert bad_maps[:, y, x].min() > 2 * good_maps[:, y, x].max()
    assert good_maps.mean() == pytest.approx(1, rel=0.5)


def test_the_folds_judge_as_the_graph_does(trained: Trained) -> None:
    """From kept half-precision features the same score and map maximum come out as from pixels."""
    graph = ensemble_of(trained)
    crops = np.stack([part(300), damaged(301)])
    features = features_of(graph.extractor, crops, "cpu", "features", lambda _text, _share: None)
    scores, maps = _scores(graph, features)
    expected, expected_maps = run_torch(trained, crops)
    np.testing.assert_allclose(scores, expected, rtol=0.01, atol=0.02)
    np.testing.assert_allclose(maps.max((1, 2)), expected_maps.max((1, 2)), rtol=0.01)


def test_the_graph_joins_the_terms_as_the_choice_does(trained: Trained) -> None:
    """What was measured to be best is what the device computes."""
    graph, crops = ensemble_of(trained), np.stack([part(300), damaged(301)])
    with torch.no_grad():
        blocks = graph.extractor.blocks(torch.from_numpy(crops))
        taps = dict(zip(ALL_TAPS, blocks, strict=True))
        raw = [graph.terms[name](taps)[0].double().numpy() for name in graph.names]
    scales = [Scale(float(o), float(s)) for o, s in zip(graph.offset, graph.scale, strict=True)]
    expected, _ = run_torch(trained, crops)
    np.testing.assert_allclose(combined(standardised(raw, scales)), expected, rtol=1e-4)


def test_good_parts_and_defects_are_judged_by_models_that_had_not_seen_them(
    trained: Trained,
) -> None:
    """The one part with a mark is the strangest to the folds, and less so to the shipped model."""
    found = trained.cross_fitted
    assert found is not None
    assert int(found.good.argmax()) == MARKED
    shipped, _ = run_torch(trained, with_evidence().crops)
    assert found.good[MARKED] > shipped[MARKED] + 1
    assert found.good.shape == found.good_peaks.shape == (COUNT,)
    assert np.isneginf(found.defects).tolist() == [False] * (DEFECTS - 1) + [True]
    others = np.delete(found.good, MARKED)
    assert np.median(found.defects) > others.max()


def test_equal_seeds_give_equal_files_and_equal_limits(tmp_path: Path) -> None:
    """To the byte."""
    files, scores = [], []
    for name in ("one", "two"):
        done = train(Ensemble(), tmp_path, data=replace(with_evidence(), mask=product_mask()))
        write_graph(done, CROP_HW, tmp_path / f"{name}.onnx")
        files.append((tmp_path / f"{name}.onnx").read_bytes())
        assert done.cross_fitted is not None
        scores.append(done.cross_fitted.good)
    assert files[0] == files[1]
    assert (scores[0] == scores[1]).all()


def test_without_defects_the_plain_pair_is_taken(tmp_path: Path) -> None:
    """There is nothing to choose by; the good crops are judged by folds all the same."""
    done = train(Ensemble(), tmp_path, data=parts(5))
    assert done.about["settings"] == {"terms": ["memory", "context"]}
    assert done.cross_fitted is not None
    assert done.cross_fitted.folds == 5


def test_near_duplicates_of_one_part_are_refused(tmp_path: Path) -> None:
    """No fold could judge another."""
    with pytest.raises(DataError, match="near-duplicates of one"):
        train(Ensemble(), tmp_path, data=with_evidence(np.zeros(COUNT, np.int64)))


def test_terms_that_so_few_crops_cannot_carry_are_left_out() -> None:
    """Statistics from twelve crops on; regions only where the product fills the crop."""
    few = MIN_STATISTICS_CROPS - 1
    assert _usable(parts(few, with_mask=False)) == ["detail", "memory", "context"]
    assert _usable(parts(few + 1)) == ["detail", "memory", "context", "statistics"]
    filled = _usable(parts(few + 1, with_mask=False))
    assert filled == ["detail", "memory", "context", "statistics", "regions"]


EACH_ITS_OWN = np.arange(200)
"""Groups of good crops that have no near-duplicates."""


def judged(**ranks: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return good scores and defects' scores of terms, each of which sees a share of the defects.

    A term that sees a defect scores it far above every good crop.
    """
    rng = np.random.default_rng(0)
    good = {name: rng.normal(0, 1, 200) for name in ranks}
    seen = {
        name: np.where(np.arange(200) < share * 200, 50.0, 0.0) for name, share in ranks.items()
    }
    return good, seen


def test_of_terms_that_find_as_many_the_smaller_set_is_taken() -> None:
    """What context adds is nothing; it would bring its own odd good parts and its own time."""
    chosen = choose_terms(*judged(memory=0.5, context=0.5), EACH_ITS_OWN)
    assert chosen.terms == ("memory",)
    assert chosen.table["memory+context"] == pytest.approx(0.5, abs=0.02)


def test_a_term_that_finds_more_is_taken() -> None:
    """Each finds other defects: together they find all of them."""
    good, bad = judged(memory=0.5, context=0.5)
    bad["context"] = bad["context"][::-1].copy()
    chosen = choose_terms(good, bad, EACH_ITS_OWN)
    assert chosen.terms == ("memory", "context")
    assert chosen.table["memory+context"] == pytest.approx(1.0, abs=0.02)


def test_of_sets_of_one_size_the_better_one_is_taken() -> None:
    """Also where they tie."""
    good, bad = judged(detail=0.50, memory=0.505)
    assert choose_terms(good, bad, EACH_ITS_OWN).terms == ("memory",)


def test_a_term_that_costs_recall_is_left_out() -> None:
    """Context finds three good parts of 200 very odd, and no defect: memory alone is better."""
    good, bad = judged(memory=0.6, context=0.0)
    bad["memory"] = np.where(bad["memory"] > 0, 4.0, 0.0)
    good["context"][:3] = 30.0
    chosen = choose_terms(good, bad, EACH_ITS_OWN)
    assert chosen.terms == ("memory",)
    assert chosen.table["memory"] > chosen.table["memory+context"] + TIE


def test_a_defect_that_is_in_no_crop_is_missed_by_every_set() -> None:
    """It counts in the recall, and no set finds it."""
    good, bad = judged(memory=1.0, context=1.0)
    for scores in bad.values():
        scores[:100] = -np.inf
    chosen = choose_terms(good, bad, EACH_ITS_OWN)
    assert set(chosen.table.values()) == {0.5}


def test_an_odd_part_that_was_taken_ten_times_is_one_part_in_the_choice() -> None:
    """The bundle's limit counts groups of near-duplicates, so the choice of terms does too: by
    crops the ten would fill every rank up to 5 % and hide what the term finds."""
    good, bad = judged(memory=0.6)
    good["memory"][:10] = 30.0
    bad["memory"] = np.where(bad["memory"] > 0, 10.0, 0.0)
    groups = np.maximum(np.arange(200), 9)
    assert choose_terms(good, bad, groups).table["memory"] == pytest.approx(0.75 * 0.6)


def test_the_power_mean_by_hand() -> None:
    """Equal terms keep their value; one high term lifts the score; -inf stays."""
    both = np.array([[2.0, 2.0], [5.0, -3.0], [-9.0, -9.0], [-np.inf, 7.0]])
    expected = [2.0, (8.0**POWER / 2) ** (1 / POWER) - 3, -3.0, -np.inf]
    np.testing.assert_allclose(combined(both), expected)


def test_one_odd_part_does_not_make_the_scale() -> None:
    """Median and robust spread, or half the standard deviation if that is larger."""
    good = np.random.default_rng(0).normal(10, 2, 1001)
    found = scale_of(good)
    assert found.offset == pytest.approx(10, abs=0.2)
    assert found.scale == pytest.approx(2, rel=0.1)
    assert scale_of(np.ones(5)).scale > 0


def test_terms_are_comparable_where_limits_are_set() -> None:
    """A term with a long tail of good crops is not the only one that the limit is made of."""
    rng = np.random.default_rng(0)
    steady, tailed = rng.normal(0, 1, 2000), rng.normal(0, 1, 2000)
    tailed = np.where(tailed > 0, 3 * tailed, tailed)
    at = [
        float(np.quantile((v - s.offset) / s.scale, 0.98))
        for v, s in ((v, scale_of(v)) for v in (steady, tailed))
    ]
    assert at[0] == pytest.approx(at[1], rel=0.1)


def test_statistics_alone_point_by_their_gradcam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no other term's map says where, theirs does; it is finite and not empty."""
    monkeypatch.setattr(method, "_choice", lambda *_: TermChoice(("statistics",), {}))
    done = train(Ensemble(), tmp_path, data=parts(MIN_STATISTICS_CROPS + 2))
    score, maps = run_torch(done, np.stack([damaged(0)]))
    assert np.isfinite(score).all()
    assert np.isfinite(maps).all()
    assert maps.shape == (1, CROP_HW[0] // 4, CROP_HW[1] // 4)
    assert maps.max() > 0
