"""Folds, limits and what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_app.errors import ShapeError
from export.defects.evidence import (
    FOLDS_FEW,
    FOLDS_MANY,
    MANY_CROPS,
    CrossFitted,
    Evidence,
    folds_of,
    folds_of_defects,
    load_cross_fitted,
    per_defect,
    recall_at,
    with_missing_caught,
)


def groups(seed: int, count: int, different: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, different, count)


@pytest.mark.parametrize(
    ("count", "different"), [(40, 40), (60, 20), (149, 90), (300, 250), (8, 3)]
)
def test_folds_never_split_a_group_and_are_evenly_filled(count: int, different: int) -> None:
    """Each crop is in one fold, a group's crops in the same; no fold is empty or much larger."""
    of = groups(0, count, different)
    folds = folds_of(of)
    assert folds.shape == (count,)
    for group in set(of.tolist()):
        assert len(set(folds[of == group].tolist())) == 1
    wanted = min(FOLDS_FEW if count < MANY_CROPS else FOLDS_MANY, len(set(of.tolist())))
    sizes = np.bincount(folds)
    assert len(sizes) == wanted
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= np.bincount(of).max()


def test_the_numbers_of_groups_do_not_matter() -> None:
    """They come from digests; only which crops share one counts."""
    of = groups(1, 50, 30)
    renamed = np.random.default_rng(2).permutation(1000)[of]
    assert (folds_of(of) == folds_of(renamed)).all()


def test_one_group_is_one_fold() -> None:
    """Near-duplicates of one part say nothing about each other."""
    assert folds_of(np.zeros(9, np.int64)).tolist() == [0] * 9


def evidence() -> Evidence:
    crops = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)
    labels = (("stain", "small"), ("crack", "large"), ("absent", "large"))
    of = np.array([7, 7, 2, 5])
    return Evidence(of, crops, np.array([0, 0, 1]), np.array([2, 7, 9]), labels)


def test_a_defect_is_judged_in_the_fold_of_its_own_picture() -> None:
    """Never by a model that saw the good picture it was drawn on; without crops any will do."""
    found = evidence()
    assert folds_of_defects(found, np.array([1, 1, 0, 2])).tolist() == [0, 1, 0]


def test_evidence_that_does_not_fit_together_is_refused() -> None:
    """A crop without a defect, a defect without a group."""
    short = np.zeros(2, np.int64)
    whole = evidence()
    with pytest.raises(ShapeError, match="every defect"):
        replace(whole, defect_of=short)
    with pytest.raises(ShapeError, match="every defect"):
        replace(whole, defect_groups=short)


def test_the_digest_changes_with_all_that_is_in_it() -> None:
    """A build must not take the result of other evidence."""
    plain = evidence()
    other = plain.defects.copy()
    other[0, 0, 0, 0] ^= 1
    changed = [
        replace(plain, groups=plain.groups + 1),
        replace(plain, defects=other),
        replace(plain, defect_of=np.array([0, 1, 1])),
        replace(plain, defect_groups=plain.defect_groups + 1),
        replace(plain, labels=(*plain.labels[:2], ("absent", "small"))),
    ]
    assert evidence().sha256 == plain.sha256
    assert len({e.sha256 for e in (plain, *changed)}) == 6


def test_a_defect_scores_what_its_most_anomalous_crop_does() -> None:
    """One that the way to the crop lost is in no crop, and below every limit."""
    found = per_defect(np.array([1.0, 3.0, -2.0]), np.array([0, 0, 2]), 4)
    assert found.tolist() == [3.0, -np.inf, -2.0, -np.inf]


def test_recall_by_hand() -> None:
    """100 good parts forgive one: the limit is 98, which two of four defects reach."""
    good = np.random.default_rng(0).permutation(100).astype(float)
    defects = np.array([98.0, 97.9, 500.0, -np.inf])
    assert recall_at(good, defects, 0.02) == 0.5
    assert recall_at(good[:50], np.zeros(0), 0.02) == 0.0
    assert recall_at(np.arange(30.0), np.array([29.0, 28.9]), 0.02) == 0.5


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """Lost defects, labels and groups included."""
    saved = CrossFitted(
        3,
        np.array([4, 4, 1]),
        np.array([0.1, -0.2, 1e9]),
        np.array([1.0, 2.0, 3.0]),
        np.array([5.0, -np.inf]),
        (("foreign body", "small"), ("absent", "large")),
        np.array([2, 0]),
        np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    )
    saved.save(tmp_path / "kept.npz")
    read = load_cross_fitted(tmp_path / "kept.npz")
    assert (read.folds, read.labels) == (saved.folds, saved.labels)
    for name in ("groups", "good", "good_peaks", "defects", "odd", "odd_maps"):
        np.testing.assert_array_equal(getattr(read, name), getattr(saved, name))


def test_evidence_without_defects_is_read_back(tmp_path: Path) -> None:
    """No labels at all."""
    none = np.zeros(0)
    CrossFitted(2, np.arange(2), np.ones(2), np.ones(2), none, ()).save(tmp_path / "kept.npz")
    assert load_cross_fitted(tmp_path / "kept.npz").labels == ()


def test_a_missing_product_that_is_ng_by_itself_is_caught() -> None:
    """Only the pictures without a product, and only those in which none was found."""
    lost = -np.inf
    labels = (("absent", "large"), ("absent", "large"), ("crack", "small"))
    found = CrossFitted(
        2, np.arange(2), np.ones(2), np.ones(2), np.array([lost, 0.5, lost]), labels
    )
    caught = with_missing_caught(found, "absent")
    assert caught.defects.tolist() == [np.inf, 0.5, lost]
    assert found.defects.tolist() == [lost, 0.5, lost]
    assert recall_at(found.good, caught.defects, 0.02) == pytest.approx(1 / 3)
