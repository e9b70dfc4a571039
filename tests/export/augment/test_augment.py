"""Pseudo-anomalies: where they may lie, that they are visible, that nothing folds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from edge_app.records import U8Array
from export.augment import KINDS, pseudo_anomaly
from export.augment.cutpaste import colour_jitter
from export.augment.draw import MIN_CHANGE_GREY, median_change
from export.augment.liquify import (
    MIN_JACOBIAN,
    draw_displacement,
    jacobian,
    liquify_patch,
    without_folds,
)
from export.augment.region import product_box


def textured(seed: int, hw: tuple[int, int] = (64, 160)) -> U8Array:
    """A grey crop with blotches a few pixels wide."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(0, 1, hw).astype(np.float32), (0, 0), 2)
    grey = 128 + 35 * grey / grey.std()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_visible_and_changes_only_its_region(kind: str) -> None:
    """Outside the region no pixel changes; inside the median change is at least 3 grey levels."""
    rng = np.random.default_rng(0)
    for seed in range(10):
        crop = textured(seed)
        painted = pseudo_anomaly(rng, crop, None, kind)
        outside = painted.region_hw == 0
        assert painted.kind == kind
        assert (painted.crop_hwc[outside] == crop[outside]).all()
        change = median_change(crop, painted.crop_hwc, painted.region_hw)
        assert change >= MIN_CHANGE_GREY


@pytest.mark.parametrize("kind", KINDS)
def test_anomalies_stay_inside_the_products_box(kind: str) -> None:
    """A mask in the middle of a non-square crop keeps every region within its bounds."""
    mask = np.zeros((64, 160), np.uint8)
    mask[10:50, 30:140] = 1
    rng = np.random.default_rng(1)
    for seed in range(10):
        region = pseudo_anomaly(rng, textured(seed), mask, kind).region_hw
        assert region.any()
        assert not region[mask == 0].any()


def test_liquify_leaves_the_patch_border_exactly_as_it_was() -> None:
    """The patch keeps its link to the outside: its outermost pixels change by 0."""
    rng = np.random.default_rng(2)
    for hw in ((8, 8), (20, 60), (60, 20)):
        patch = textured(3, hw)
        moved = liquify_patch(rng, patch)
        for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            assert (moved[edge] == patch[edge]).all()
        assert (moved != patch).any()


def test_liquify_never_folds_the_picture() -> None:
    """After damping every pixel's local area ratio stays positive, in 100 draws."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        hw = (int(rng.integers(8, 60)), int(rng.integers(8, 60)))
        shift = without_folds(draw_displacement(rng, hw))
        assert jacobian(shift).min() >= MIN_JACOBIAN


def test_a_one_pixel_patch_passes_unchanged() -> None:
    """Nothing can move inside one pixel, and nothing breaks."""
    patch = np.full((1, 1, 3), 77, np.uint8)
    assert (liquify_patch(np.random.default_rng(0), patch) == patch).all()


def test_grey_products_get_no_coloured_patches() -> None:
    """A tint on a grey product would give the paste away: channels stay equal."""
    jittered = colour_jitter(np.random.default_rng(0), textured(0))
    assert (jittered.max(2) - jittered.min(2)).max() <= 1


def test_the_same_seed_paints_the_same_pixels() -> None:
    """Randomness comes from the generator alone."""
    first, second = (pseudo_anomaly(np.random.default_rng(9), textured(0), None) for _ in range(2))
    assert first.kind == second.kind
    assert (first.crop_hwc == second.crop_hwc).all()


def test_a_featureless_crop_is_refused_with_advice() -> None:
    """On a flat crop liquify shows nothing: an error, never an invisible label."""
    flat = np.full((64, 64, 3), 90, np.uint8)
    with pytest.raises(DataError, match="featureless"):
        pseudo_anomaly(np.random.default_rng(0), flat, None, "cropliq")


def test_an_empty_mask_and_an_unknown_kind_are_refused() -> None:
    """Both messages say what is wrong."""
    with pytest.raises(DataError, match="at least one pixel set"):
        product_box(np.zeros((4, 6), np.uint8), (4, 6))
    with pytest.raises(DataError, match="choose one of cropliq, cutpaste, scar"):
        pseudo_anomaly(np.random.default_rng(0), textured(0), None, "dent")


def test_a_product_at_the_crops_edge_can_be_painted() -> None:
    """A mask touching the corner is a valid region."""
    mask = np.zeros((64, 160), np.uint8)
    mask[:20, :30] = 255
    region = pseudo_anomaly(np.random.default_rng(4), textured(0), mask, "cutpaste").region_hw
    assert region[:20, :30].any()
