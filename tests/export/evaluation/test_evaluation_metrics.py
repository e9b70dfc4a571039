"""The figures of merit against scikit-learn, and against counting by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from edge_app.errors import DataError, ShapeError
from edge_app.imaging.upright_crop import CropSpec, crop_to_frame
from edge_app.model.looks import Look
from edge_app.records import Anomaly, Defect
from export.evaluation.image_metrics import (
    auroc,
    auroc_difference_interval,
    auroc_interval,
    average_precision,
    best_f1,
    rate_interval,
    score_curve,
)
from export.evaluation.pixel_metrics import PixelCounts, as_mask, frame_map, regions_met


def drawn(seed: int, decimals: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of 60 good and 35 bad pictures; few decimals make ties."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, 60).round(decimals), rng.normal(1, 1.5, 35).round(decimals)


def labelled(good: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.r_[np.zeros(len(good)), np.ones(len(bad))], np.r_[good, bad]


@pytest.mark.parametrize("decimals", [6, 0])
def test_image_figures_are_scikit_learns(decimals: int) -> None:
    """AUROC, average precision and the best F1 agree with scikit-learn, ties included."""
    for seed in range(5):
        good, bad = drawn(seed, decimals)
        labels, scores = labelled(good, bad)
        curve = score_curve(good, bad)
        assert auroc(good, bad) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert average_precision(curve) == pytest.approx(
            average_precision_score(labels, scores), abs=1e-12
        )
        p, r, _ = precision_recall_curve(labels, scores)
        f1, at = best_f1(curve)
        assert f1 == pytest.approx(np.max(2 * p * r / np.maximum(p + r, 1e-12)), abs=1e-12)
        called = scores >= at
        hits = int((called & (labels == 1)).sum())
        assert f1 == pytest.approx(2 * hits / (called.sum() + len(bad)), abs=1e-12)


def test_the_roc_curve_is_scikit_learns() -> None:
    """Every point of the curve is one of scikit-learn's."""
    good, bad = drawn(3, 1)
    labels, scores = labelled(good, bad)
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    curve = score_curve(good, bad)
    np.testing.assert_allclose(curve.thresholds, thresholds[1:])
    np.testing.assert_allclose(curve.false_alarms, fpr[1:])
    np.testing.assert_allclose(curve.recall, tpr[1:])


def test_a_picture_nobody_could_judge_is_the_strangest() -> None:
    """+inf ranks above every number and ties with itself."""
    assert auroc(np.array([0.0, 1.0]), np.array([math.inf])) == 1.0
    assert auroc(np.array([0.0, math.inf]), np.array([1.0])) == 0.5
    assert auroc(np.array([math.inf]), np.array([math.inf])) == 0.5


@pytest.mark.parametrize("bad", [[], [math.nan]])
def test_scores_that_are_none_are_refused(bad: list[float]) -> None:
    """No scores, or a NaN among them, is an error and not a figure."""
    with pytest.raises(DataError, match="defective"):
        auroc(np.array([0.0]), np.array(bad))


def test_the_interval_holds_the_figure_and_repeats() -> None:
    """The bootstrap interval encloses the AUROC, is the same every time, and narrows with n."""
    good, bad = drawn(1)
    low, high = auroc_interval(good, bad, seed=4)
    assert low < auroc(good, bad) < high
    assert auroc_interval(good, bad, seed=4) == (low, high)
    rng = np.random.default_rng(0)
    more = auroc_interval(rng.normal(0, 1, 600), rng.normal(1, 1.5, 350), seed=4)
    assert more[1] - more[0] < (high - low) / 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 100 samples with a known AUROC nearly all intervals hold it."""
    truth = 0.5 * (1 + math.erf(1.0 / math.sqrt(2) / math.sqrt(2)))  # two unit normals, 1 apart
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(40):
        low, high = auroc_interval(rng.normal(0, 1, 50), rng.normal(1, 1, 50), seed)
        held += low <= truth <= high
    assert held >= 34


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.25887), (10, 10, 0.74113, 1.0), (5, 10, 0.22244, 0.77756), (0, 1, 0.0, 0.95)],
)
def test_rate_bounds_are_the_tables(hits: int, count: int, low: float, high: float) -> None:
    """One-sided Clopper-Pearson bounds at 95 % (Beta quantiles)."""
    assert rate_interval(hits, count) == pytest.approx((low, high), abs=1e-5)


def test_a_rate_of_nothing_is_refused() -> None:
    """Zero of zero is no rate."""
    with pytest.raises(DataError, match="0 of 0"):
        rate_interval(0, 0)


def scene(seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a (48, 80) map and its mask with three regions of different sizes."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((48, 80), bool)
    mask[4:9, 5:30] = mask[30, 60] = mask[20:40, 20:23] = True
    smooth = cv2.GaussianBlur(rng.normal(0, 1, mask.shape), (0, 0), 2)
    return np.maximum(0, (smooth + 0.15 * mask + 0.1) * scale).astype(np.float32), mask


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
def test_pixel_auroc_is_scikit_learns(scale: float) -> None:
    """Counted in bins it agrees to 1e-3, whatever the map's scale, zeros tied as they should be."""
    counts = PixelCounts()
    labels, values = [], []
    for seed in range(3):
        map_hw, mask = scene(seed, scale)
        counts.add_bad("blot", map_hw, mask)
        labels.append(mask.ravel())
        values.append(map_hw.ravel())
    good, _ = scene(9, scale)
    counts.add_good(good)
    labels.append(np.zeros(good.size, bool))
    values.append(good.ravel())
    expected = roc_auc_score(np.concatenate(labels), np.concatenate(values))
    assert counts.auroc() == pytest.approx(expected, abs=1e-3)
    assert counts.auroc("blot") == counts.auroc()


def test_a_kinds_figure_leaves_other_kinds_out() -> None:
    """A kind stands against the good pictures and its own normal pixels."""
    counts, (good, _) = PixelCounts(), scene(9)
    counts.add_good(good)
    for kind, seed in (("blot", 0), ("scratch", 1)):
        counts.add_bad(kind, *scene(seed))
    map_hw, mask = scene(1)
    labels = np.r_[np.zeros(good.size), mask.ravel()]
    expected = roc_auc_score(labels, np.r_[good.ravel(), map_hw.ravel()])
    assert counts.kinds == ("blot", "scratch")
    assert counts.auroc("scratch") == pytest.approx(expected, abs=1e-3)


def slow_pro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    """PRO by its definition: every value a threshold, every region looked at."""
    regions = []
    for i, mask in enumerate(masks):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [maps[i][labels == r] for r in range(1, count)]
    normal = np.concatenate([m[~k] for m, k in zip(maps, masks, strict=True)])
    levels = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    rates = np.array([0.0, *((normal >= t).mean() for t in levels)])
    overlaps = np.array([0.0, *(np.mean([(r >= t).mean() for r in regions]) for t in levels)])
    fine = np.linspace(0, limit, 20001)
    return float(np.interp(fine, rates, overlaps).mean())


def test_pro_is_its_definition() -> None:
    """The counted PRO equals the one found region by region, threshold by threshold."""
    maps, masks = zip(*(scene(seed) for seed in range(2)), strict=True)
    counts = PixelCounts()
    for map_hw, mask in zip(maps, masks, strict=True):
        counts.add_bad("blot", map_hw, mask)
    for limit in (0.05, 0.3, 1.0):
        assert counts.pro(limit=limit) == pytest.approx(
            slow_pro(list(maps), list(masks), limit), abs=1e-3
        )


def test_pro_weighs_a_small_region_like_a_large_one() -> None:
    """Missing the one-pixel region of two costs half."""
    mask = np.zeros((40, 60), bool)
    mask[5:25, 5:25] = mask[35, 50] = True
    map_hw = np.where(mask, 1.0, 0.5).astype(np.float32)
    map_hw[35, 50] = 0.0
    counts = PixelCounts()
    counts.add_bad("blot", map_hw, mask)
    # every normal pixel is tied at 0.5, so up to a rate of 1 only the large region is found
    assert counts.pro() == pytest.approx(0.5, abs=1e-6)


def test_values_that_are_no_numbers_count_as_nothing() -> None:
    """NaN and negative values, −0.0 too, rank with 0."""
    map_hw = np.array([[np.nan, -3.0, -0.0, 0.0]], np.float32)
    counts = PixelCounts()
    counts.add_bad("x", map_hw, np.array([[True, False, True, False]]))
    assert counts.auroc() == 0.5


def test_a_map_and_a_mask_of_different_sizes_are_refused() -> None:
    """Sizes are compared, never broadcast."""
    with pytest.raises(ShapeError, match=r"\(2, 3\) and mask \(3, 2\)"):
        PixelCounts().add_bad("x", np.zeros((2, 3), np.float32), np.ones((3, 2), bool))


@pytest.mark.parametrize("high", [1, 255])
def test_masks_of_either_scale_are_read(high: int) -> None:
    """0/1 and 0/255 files mean the same."""
    pixels = np.zeros((3, 5, 3), np.uint8)
    pixels[1, 2:4] = high
    assert as_mask(pixels).sum() == 2


def look(map_hw: np.ndarray, box: tuple[float, float, float, float, float]) -> Look:
    return Look(box, np.zeros((1, 1, 3), np.uint8), Anomaly(1.0, map_hw.astype(np.float32)))


def test_a_turned_map_lands_where_its_crop_was_cut() -> None:
    """A peak in the crop comes to lie on the frame pixel that the crop's own map names."""
    spec = CropSpec((20, 40), 0.1)
    box = (70.0, 50.0, 60.0, 30.0, 0.6)
    map_hw = np.zeros((20, 40))
    map_hw[4, 31] = 5.0
    placed = frame_map([look(map_hw, box)], spec, (100, 140))
    x, y = crop_to_frame(box, spec) @ np.array([31, 4, 1.0])
    peak_y, peak_x = np.unravel_index(int(placed.argmax()), placed.shape)
    assert math.hypot(peak_x - x, peak_y - y) < 1.0


def test_outside_the_crops_the_map_is_nothing() -> None:
    """A constant map fills its crop to the edge and leaves the rest at 0; overlaps take the max."""
    spec = CropSpec((20, 20), 0.0)
    looks = [
        look(np.full((5, 5), v), (10.0 + s, 9.5, 20.0, 20.0, 0.0)) for v, s in ((2, 0), (3, 8))
    ]
    placed = frame_map(looks, spec, (40, 60))
    assert set(np.unique(placed)) == {0.0, 2.0, 3.0}
    assert (placed[10, 4], placed[10, 20], placed[30, 10]) == (2.0, 3.0, 0.0)
    assert (placed[:20, 8:20] == 3.0).all()


def test_no_products_and_empty_maps_place_nothing() -> None:
    """No look, or a graph's empty map, gives a map of zeros, down to one pixel."""
    spec = CropSpec((4, 4), 0.0)
    empty = look(np.zeros((0, 0)), (1.0, 1.0, 2.0, 2.0, 0.0))
    assert not frame_map([], spec, (1, 1)).any()
    assert frame_map([empty], spec, (3, 7)).shape == (3, 7)


def defect(*box_xyxy: float) -> Defect:
    x0, y0, x1, y1 = box_xyxy
    return Defect(((x0, y0), (x1, y0), (x1, y1)), (x0, y0, x1, y1), 1.0)


def test_boxes_meet_regions() -> None:
    """A region is met by one pixel in a box; boxes off the picture or beside it meet nothing."""
    mask = np.zeros((30, 50), bool)
    mask[5:10, 5:10] = mask[20:25, 40:50] = True
    assert regions_met(mask, []) == (2, 0, 0)
    assert regions_met(mask, [defect(9, 9, 20, 20)]) == (2, 1, 1)
    assert regions_met(mask, [defect(-9, -9, -2, -2), defect(12, 0, 30, 30)]) == (2, 0, 0)
    assert regions_met(mask, [defect(0, 0, 60, 60)]) == (2, 2, 1)


def test_paired_interval_sees_a_difference_that_two_single_intervals_hide() -> None:
    """Theirs is ours plus a little noise: each AUROC is uncertain, their difference much less."""
    rng = np.random.default_rng(2)
    ours = (rng.normal(0, 1, 60), rng.normal(1.5, 1, 60))
    theirs = (ours[0] + rng.normal(0, 0.05, 60), ours[1] + rng.normal(0, 0.05, 60))
    low, high = auroc_difference_interval(ours, theirs)
    assert low < auroc(*ours) - auroc(*theirs) < high
    alone = auroc_interval(*ours)
    assert high - low < (alone[1] - alone[0]) / 5
    assert auroc_difference_interval(ours, ours) == (0.0, 0.0)


def test_paired_scores_must_be_of_the_same_pictures() -> None:
    """Another number of good pictures cannot be paired."""
    with pytest.raises(DataError, match="same pictures"):
        auroc_difference_interval((np.ones(3), np.ones(2)), (np.ones(4), np.ones(2)))
