"""Synthetic defects as varied as real ones: visible, on the product, repeatable, not slow."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from edge_app.records import U8Array
from export.augment.defect_like import (
    ABSENT,
    DEFECT_KINDS,
    DEFECTS,
    SIZES,
    VISIBLE_GREY,
    Size,
    defect_series,
    synthetic_defect,
)

HW = (120, 160)
CASES = [(kind, size) for kind in DEFECTS for size in SIZES]


def picture(seed: int, hw: tuple[int, int] = HW, is_grey: bool = False) -> U8Array:
    """A blotchy disc, light on dark."""
    rng = np.random.default_rng(seed)
    blotches = cv2.GaussianBlur(rng.normal(0, 1, (*hw, 3)).astype(np.float32), (0, 0), 2)
    pixels = 60 + 25 * blotches / blotches.std()
    pixels[disc(hw) > 0] += (70, 90, 110)
    if is_grey:
        pixels[:] = pixels[:, :, :1]
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def disc(hw: tuple[int, int] = HW) -> U8Array:
    mask = np.zeros(hw, np.uint8)
    cv2.circle(mask, (hw[1] // 2, hw[0] // 2), round(0.4 * min(hw)), 255, cv2.FILLED)
    return mask


@pytest.mark.parametrize(("kind", "size"), CASES)
def test_every_kind_is_visible_and_lies_on_the_product(kind: str, size: Size) -> None:
    """A quarter of the region changes by what a person sees; beside the product nothing does.

    Only what is bent takes its surroundings along.
    """
    for seed in range(4):
        good, mask = picture(seed), disc()
        found = synthetic_defect(np.random.default_rng(seed), good, mask, kind, size)
        change = np.abs(found.pixels_hwc.astype(int) - good).max(2)
        region = found.region_hw > 0
        assert region.any()
        assert np.quantile(change[region], 0.75) >= VISIBLE_GREY
        assert (found.kind, found.size) == (kind, size)
        if kind != "bent":
            assert not change[mask == 0].any()
            assert not region[mask == 0].any()


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_equal_seeds_draw_equal_defects(kind: str) -> None:
    """The same random state gives the same pixels, another one others; the input stays."""
    good, mask = picture(0), disc()
    before = good.copy()
    one, two, other = (
        synthetic_defect(np.random.default_rng(seed), good, mask, kind, "medium").pixels_hwc
        for seed in (5, 5, 6)
    )
    assert (one == two).all()
    assert (one != other).any()
    assert (good == before).all()


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_grey_picture_stays_grey(kind: str) -> None:
    """A tint would give the drawing away."""
    good = picture(1, is_grey=True)
    for seed in range(3):
        drawn = synthetic_defect(np.random.default_rng(seed), good, disc(), kind, "large")
        assert (drawn.pixels_hwc == drawn.pixels_hwc[:, :, :1]).all()


def test_sizes_grow() -> None:
    """The regions of each size are larger than those of the one before."""
    areas = [
        np.median(
            [
                np.count_nonzero(
                    synthetic_defect(
                        np.random.default_rng(seed), picture(seed), disc(), "stain", size
                    ).region_hw
                )
                for seed in range(8)
            ]
        )
        for size in SIZES
    ]
    assert areas[0] < areas[1] < areas[2]


def test_without_a_mask_the_whole_picture_is_the_product() -> None:
    """Defects reach the corners too."""
    touched = np.zeros(HW, bool)
    for seed in range(40):
        found = synthetic_defect(
            np.random.default_rng(seed), picture(seed), None, "foreign body", "medium"
        )
        touched |= found.region_hw > 0
    assert touched[disc() == 0].mean() > 0.5


def test_an_absent_product_leaves_what_lies_beside_it() -> None:
    """The product's place gets the background's tone; far from it no pixel changes."""
    good, mask = picture(2), disc()
    found = synthetic_defect(np.random.default_rng(0), good, mask, ABSENT, "large")
    beside = good[mask == 0].mean()
    assert good[mask > 0].mean() > beside + 50
    assert abs(found.pixels_hwc[mask > 0].mean() - beside) < 10
    assert (found.region_hw[mask > 0] > 0).all()
    far = cv2.dilate(mask, np.ones((61, 61), np.uint8)) == 0
    assert (found.pixels_hwc[far] == good[far]).all()


@pytest.mark.parametrize(("kind", "mask"), [("dent", disc()), (ABSENT, None), ("", None)])
def test_an_unknown_kind_is_refused_with_all_that_there_are(
    kind: str, mask: U8Array | None
) -> None:
    """Absent without a mask is unknown too: nothing says where the product is."""
    with pytest.raises(DataError, match=r"one of stain, crack, .*, absent"):
        synthetic_defect(np.random.default_rng(0), picture(0), mask, kind, "small")


def test_a_mask_that_does_not_fit_is_refused() -> None:
    """Another size, or nothing marked."""
    for mask in (disc((60, 160)), np.zeros(HW, np.uint8)):
        with pytest.raises(DataError, match="product mask must be"):
            synthetic_defect(np.random.default_rng(0), picture(0), mask, "stain", "small")


def test_what_cannot_be_seen_is_no_defect() -> None:
    """Black pasted on black is refused, not returned unchanged."""
    with pytest.raises(DataError, match="No visible pasted could be drawn"):
        synthetic_defect(
            np.random.default_rng(0), np.zeros((*HW, 3), np.uint8), None, "pasted", "small"
        )


def test_a_small_defect_costs_no_more_on_a_large_picture() -> None:
    """It is drawn within its surroundings: sixteen times the pixels take far less than that."""

    def seconds(hw: tuple[int, int], share: float) -> float:
        good = picture(0, hw)
        mask = np.zeros(hw, np.uint8)  # a product of the same pixels in both
        mask[: round(share * hw[0]), : round(share * hw[1])] = 255
        best = np.inf
        for seed in range(6):
            started = time.process_time()
            for kind in ("texture break", "foreign body", "bent"):
                synthetic_defect(np.random.default_rng(seed), good, mask, kind, "large")
            best = min(best, time.process_time() - started)
        return best

    assert seconds((1024, 1024), 0.25) < 8 * seconds((256, 256), 1.0)


def test_the_series_holds_every_kind_in_every_size() -> None:
    """Once a round each, and the product's absence where it can be drawn."""
    with_mask, without = defect_series(2, True), defect_series(2, False)
    assert len(without) == 2 * 27
    assert {pair: without.count(pair) for pair in without} == dict.fromkeys(CASES, 2)
    assert sorted(with_mask) == sorted([*without, *[(ABSENT, "large")] * 2])
