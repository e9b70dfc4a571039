"""Oriented boxes: the convention, its hand-computed example, and the geometry built on it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge_app.imaging.oriented_box import (
    as_box,
    axis_difference_rad,
    corners_of,
    long_side_first,
    rotated_iou,
    touches_border,
    wrap_half_turn,
    wrap_turn,
)

ANGLES = [-7.0, -math.pi, -2.0, -math.pi / 2, -0.3, 0.0, 0.3, math.pi / 2, 2.0, math.pi, 9.0]


def test_first_corner_is_the_hand_computed_one() -> None:
    """The docstring's example holds: the one place where the angle's meaning is fixed."""
    corner = corners_of((100.0, 50.0, 40.0, 20.0, math.pi / 6))[0]
    assert corner == pytest.approx((87.6795, 31.3397), abs=1e-4)


def test_angle_zero_starts_at_the_top_left_and_goes_clockwise() -> None:
    """Unturned, the corners are top left, top right, bottom right, bottom left."""
    corners = corners_of((10.0, 20.0, 6.0, 4.0, 0.0))
    assert corners == ((7.0, 18.0), (13.0, 18.0), (13.0, 22.0), (7.0, 22.0))


def test_a_positive_quarter_turn_points_the_width_down() -> None:
    """With y down a positive angle turns clockwise: +w points towards larger y."""
    corners = np.array(corners_of((0.0, 0.0, 10.0, 2.0, math.pi / 2)))
    right_side = (corners[1] + corners[2]) / 2
    assert right_side == pytest.approx((0.0, 5.0), abs=1e-12)


@pytest.mark.parametrize("angle_rad", ANGLES)
def test_corners_agree_with_opencv(angle_rad: float) -> None:
    """cv2.RotatedRect with degrees for radians is the same rectangle."""
    box = (31.0, 17.0, 24.0, 9.0, angle_rad)
    theirs = cv2.boxPoints(((31.0, 17.0), (24.0, 9.0), math.degrees(angle_rad)))
    ours = np.array(corners_of(box))
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    assert distances.min(axis=1).max() < 1e-4


@pytest.mark.parametrize("angle_rad", ANGLES)
def test_wrapping_keeps_the_axis_and_the_direction(angle_rad: float) -> None:
    """Wrapped angles lie in their ranges and differ by whole (half) turns."""
    axis, direction = wrap_half_turn(angle_rad), wrap_turn(angle_rad)
    assert -math.pi / 2 <= axis < math.pi / 2
    assert -math.pi < direction <= math.pi
    assert math.sin(angle_rad - axis) == pytest.approx(0.0, abs=1e-9)
    assert math.cos(angle_rad - direction) == pytest.approx(1.0)


def test_long_side_first_is_the_same_rectangle() -> None:
    """Swapping the sides and turning by a quarter keeps every corner."""
    upright = (5.0, 6.0, 2.0, 8.0, 0.4)
    lying = long_side_first(upright)
    assert lying[2] >= lying[3]
    assert rotated_iou(upright, lying) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "period", "expected"),
    [
        (0.1, math.pi + 0.1, math.pi, 0.0),
        (0.1, math.pi + 0.1, 2 * math.pi, math.pi),
        (math.pi / 2 - 0.01, -math.pi / 2 + 0.01, math.pi, 0.02),
        (0.0, math.pi / 2, math.pi / 2, 0.0),
    ],
)
def test_axes_differ_modulo_their_period(
    a: float, b: float, period: float, expected: float
) -> None:
    """Angles just left and right of the wrap are neighbours, and squares repeat every quarter."""
    assert axis_difference_rad(a, b, period) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0.0, 0.0, 10.0, 4.0, math.pi), 1.0),
        ((5.0, 0.0, 10.0, 4.0, 0.0), 1 / 3),
        ((0.0, 0.0, 10.0, 4.0, math.pi / 2), 16 / 64),
        ((20.0, 0.0, 10.0, 4.0, 0.0), 0.0),
        ((10.0, 0.0, 10.0, 4.0, 0.0), 0.0),
        ((0.0, 0.0, 5.0, 2.0, 0.0), 0.25),
        ((0.0, 0.0, 0.0, 0.0, 0.0), 0.0),
    ],
    ids=["half turn", "shifted", "crossed", "apart", "touching", "inside", "empty"],
)
def test_overlap_of_two_boxes_is_the_hand_computed_one(
    other: tuple[float, float, float, float, float], expected: float
) -> None:
    """Intersection over union equals simple geometry in cases done on paper."""
    assert rotated_iou((0.0, 0.0, 10.0, 4.0, 0.0), other) == pytest.approx(expected, abs=1e-5)


def test_overlap_is_right_far_from_the_origin() -> None:
    """Coordinates of a large sensor lose no more than a thousandth to float32."""
    a = (8000.0, 6000.0, 300.0, 100.0, 0.7)
    assert rotated_iou(a, a) == pytest.approx(1.0, abs=1e-3)


def test_as_box_gives_plain_floats() -> None:
    """Numpy scalars do not leak into JSON."""
    box = as_box(np.arange(5, dtype=np.float64))
    assert box == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert all(type(value) is float for value in box)


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((20.0, 15.0, 10.0, 6.0, 0.0), False),
        ((5.0, 15.0, 10.0, 6.0, 0.0), False),
        ((4.5, 15.0, 10.0, 6.0, 0.0), True),
        ((34.0, 15.0, 10.0, 6.0, 0.0), False),
        ((34.5, 15.0, 10.0, 6.0, 0.0), True),
        ((20.0, 26.5, 10.0, 6.0, 0.0), True),
        ((20.0, 26.5, 6.0, 10.0, math.pi / 2), True),
        ((-50.0, 15.0, 10.0, 6.0, 0.0), True),
    ],
)
def test_a_box_touches_the_border_of_a_non_square_frame(
    box: tuple[float, float, float, float, float], touches: bool
) -> None:
    """In a 30 × 40 frame pixel centres run to 29 and 39; a corner beyond them touches."""
    assert touches_border(box, (30, 40), margin_px=0.0) is touches


def test_the_margin_widens_the_border() -> None:
    """A box two pixels inside touches with a margin of three."""
    box = (7.0, 15.0, 10.0, 6.0, 0.0)
    assert not touches_border(box, (30, 40), margin_px=2.0)
    assert touches_border(box, (30, 40), margin_px=3.0)
