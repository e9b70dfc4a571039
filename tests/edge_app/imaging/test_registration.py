"""Fitting pictures to a template: known motions come back, and nothing jumps."""

from __future__ import annotations

import cmath
import math
from typing import get_args

import cv2
import numpy as np
import pytest

from edge_app.imaging.registration import Freedom, Motion, fit_to
from edge_app.records import F32Array, U8Array

HW = (91, 161)
"""Odd sides: at half the size a row and a column are left out."""


def template(hw: tuple[int, int] = HW, seed: int = 3) -> F32Array:
    """Return soft blobs on a plain ground: a part that looks different everywhere."""
    rng = np.random.default_rng(seed)
    h, w = hw
    y, x = np.mgrid[:h, :w]
    grey = np.full(hw, 60.0)
    for _ in range(25):
        at_x, at_y = rng.uniform(0.15, 0.85) * w, rng.uniform(0.2, 0.8) * h
        reach = rng.uniform(3, 9)
        grey += rng.uniform(-40, 60) * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / reach**2)
    return np.asarray(grey, np.float32)


def everywhere(hw: tuple[int, int] = HW) -> U8Array:
    return np.full(hw, 255, np.uint8)


def moved(grey: F32Array, motion: Motion) -> F32Array:
    """Return the picture in which `grey` lies as the motion says."""
    warp, hw = motion.warp((grey.shape[0], grey.shape[1])), grey.shape
    return np.asarray(
        cv2.warpAffine(grey, warp, (hw[1], hw[0]), flags=cv2.INTER_CUBIC,
                       borderMode=cv2.BORDER_REPLICATE), np.float32
    )  # fmt: skip


def corner_error_px(found: np.ndarray, motion: Motion) -> float:
    """Return how far the part's corners are off, in pixels, at most."""
    h, w = HW
    corners = np.array([[20, 15, 1], [w - 20, 15, 1], [w - 20, h - 15, 1], [20, h - 15, 1]])
    apart = corners @ found.T - corners @ motion.warp(HW).T
    return float(np.linalg.norm(apart, axis=1).max())


@pytest.mark.parametrize("shift", [0j, 3 - 2j, -8 + 5.5j])
@pytest.mark.parametrize("turn_deg", [-5.0, 0.0, 3.0])
@pytest.mark.parametrize("scale", [0.94, 1.0, 1.07])
def test_a_known_motion_comes_back(shift: complex, turn_deg: float, scale: float) -> None:
    """Shift, turn and scale are found to a twentieth of a pixel at the part's corners."""
    motion = Motion(scale * cmath.exp(1j * math.radians(turn_deg)), shift)
    correlation, found = fit_to(template(), everywhere(), "similarity").find(
        moved(template(), motion)
    )
    assert corner_error_px(found, motion) < 0.05
    assert correlation > 0.999


@pytest.mark.parametrize("freedom", get_args(Freedom))
def test_only_what_may_differ_is_looked_for(freedom: Freedom) -> None:
    """A turned and larger part comes out turned, or larger, only where that is asked for."""
    motion = Motion(1.05 * cmath.exp(0.06j), 2 + 1j)
    _, found = fit_to(template(), everywhere(), freedom).find(moved(template(), motion))
    turn = math.atan2(found[1, 0], found[0, 0])
    scale = math.hypot(found[1, 0], found[0, 0])
    assert (abs(turn) > 0.03) == (freedom in ("turn", "similarity"))
    assert (abs(scale - 1) > 0.03) == (freedom in ("scale", "similarity"))


def test_light_does_not_matter() -> None:
    """A picture with half the contrast on another ground comes out at the same place."""
    motion = Motion(cmath.exp(0.03j), 2 - 1j)
    fit, picture = fit_to(template(), everywhere(), "turn"), moved(template(), motion)
    _, bright = fit.find(picture)
    _, dim = fit.find(np.asarray(0.5 * picture + 31, np.float32))
    np.testing.assert_allclose(bright, dim, atol=1e-3)


def test_what_lies_outside_the_mask_does_not_pull() -> None:
    """A neighbour's bright edge in the corner leaves a part in its place."""
    motion = Motion(1.0 + 0j, 1.5 + 1j)
    mask = np.zeros(HW, np.uint8)
    mask[12:-12, 15:-15] = 255
    picture = moved(template(), motion)
    picture[-30:, -9:] = 160
    _, found = fit_to(template(), mask, "turn").find(picture)
    assert corner_error_px(found, motion) < 0.1


def _unlike(seed: int) -> F32Array:
    """Return a part that shows half of the template and half of something else."""
    return np.asarray(0.5 * template() + 0.5 * template(seed=seed), np.float32)


@pytest.mark.parametrize("seed", range(40, 48))
def test_a_nudge_at_the_start_is_no_larger_at_the_end(seed: int) -> None:
    """Parts unlike the template: a picture a hundredth of a pixel off comes out no further off.

    Where the steps end when little changes, one step more or less moves such parts by pixels.
    """
    fit, part = fit_to(template(), everywhere(), "similarity"), _unlike(seed)
    here, there = (fit.find(part, start_xy)[1] for start_xy in ((0.0, 0.0), (0.01, -0.01)))
    assert np.abs(here - there)[:, 2].max() < 0.02


def test_start_shifts_reach_parts_far_away() -> None:
    """A part further off than a fit reaches is found from a shift near it."""
    motion = Motion(shift=24 + 0j)
    fit = fit_to(template(), everywhere(), "turn")
    assert corner_error_px(fit.find(moved(template(), motion), (20.0, 0.0))[1], motion) < 0.1


@pytest.mark.parametrize(
    "picture",
    [np.full(HW, 80, np.float32), np.zeros(HW, np.float32), np.asarray(160 - template())],
    ids=["flat", "black", "negative"],
)
def test_a_picture_without_the_part_has_no_correlation(picture: F32Array) -> None:
    """Flat and inverted pictures give 0 and the identity, never a place."""
    correlation, found = fit_to(template(), everywhere(), "similarity").find(picture)
    assert correlation == 0.0
    np.testing.assert_allclose(found, np.eye(2, 3), atol=1e-12)


@pytest.mark.parametrize("hw", [(8, 64), (64, 8), (9, 9)])
def test_small_and_narrow_templates_are_fitted(hw: tuple[int, int]) -> None:
    """The smallest crops a bundle may have: a shifted one comes back or is given up."""
    part = template(hw)
    correlation, found = fit_to(part, everywhere(hw), "shift").find(
        moved(part, Motion(shift=0.5 + 0.5j))
    )
    assert correlation == 0.0 or np.abs(found[:, 2] - 0.5).max() < 0.25


def test_a_template_without_any_pattern_finds_nothing() -> None:
    """A flat template and an empty mask give no correlation and no warning."""
    flat = np.full(HW, 90, np.float32)
    assert fit_to(flat, everywhere(), "similarity").find(template())[0] < 0.5
    nowhere = np.zeros(HW, np.uint8)
    assert fit_to(template(), nowhere, "similarity").find(template())[0] == 0.0
