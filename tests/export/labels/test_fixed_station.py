"""Fixed place or free, and which turns leave an outline as it is."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge_app.records import F64Array, U8Array
from export.labels.autolabel import segment
from export.labels.records import Segmented
from export.labels.rules import judged, usual_of
from export.labels.station import is_fixed_station
from export.labels.symmetry import symmetry_of

HW = (240, 320)


def regular(corners: int, radius: float = 70.0) -> F64Array:
    turns = 2 * np.pi * np.arange(corners) / corners
    return radius * np.column_stack([np.cos(turns), np.sin(turns)])


BAR = np.array([[-70.0, -20.0], [70.0, -20.0], [70.0, 20.0], [-70.0, 20.0]])
WEDGE = np.array([[-70.0, -40.0], [70.0, -12.0], [70.0, 12.0], [-70.0, 40.0]])
HOOK = np.array([[-60.0, -50], [60, -50], [60, -20], [-20, -20], [-20, 50], [-60, 50]])
FLAG = np.array([[-70.0, -50], [70, 0], [-30, 10], [-30, 60], [-70, 60]])


def drawn(outline: F64Array, at_xy: tuple[float, float], angle_rad: float, seed: int) -> U8Array:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(90, 4, (*HW, 3)), 0, 255).astype(np.uint8)
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    corners = outline @ np.array([[cos, sin], [-sin, cos]]) + at_xy
    cv2.fillPoly(pixels, [np.rint(corners * 16).astype(np.int32)], (220,) * 3, cv2.LINE_AA, 4)
    return pixels


def seen(
    outline: F64Array, shift_px: float, turn_rad: float, at_xy: tuple[float, float] = (160, 120)
) -> list[Segmented]:
    """Return what 24 pictures show, with a part that has so much play."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(24):
        dx, dy = rng.uniform(-shift_px, shift_px, 2)
        angle = 0.3 + rng.uniform(-turn_rad, turn_rad)
        found.append(segment(drawn(outline, (at_xy[0] + dx, at_xy[1] + dy), angle, i)))
    return found


@pytest.mark.parametrize("outline", [BAR, WEDGE, regular(4), regular(60)], ids=len)
def test_a_part_with_a_pixel_of_play_is_at_a_fixed_place(outline: F64Array) -> None:
    """Long, tapered, square and round."""
    pose = is_fixed_station(seen(outline, 1.0, 0.01), HW)
    assert pose.is_fixed
    assert pose.reason.startswith("fixed place")
    assert pose.centre_spread < 0.02
    assert pose.box_cxcywhr is not None
    assert pose.box_cxcywhr[:2] == pytest.approx((160, 120), abs=15)
    assert (pose.angle_spread_deg is None) == (len(outline) == 60)


@pytest.mark.parametrize(
    ("shift_px", "turn_rad"), [(15.0, 0.0), (0.0, 0.2), (40.0, 3.0)], ids=["place", "angle", "both"]
)
def test_a_part_that_lies_anyhow_is_not(shift_px: float, turn_rad: float) -> None:
    """Place or angle alone are enough to say so."""
    pose = is_fixed_station(seen(BAR, shift_px, turn_rad), HW)
    assert not pose.is_fixed
    assert pose.reason.startswith("free place")


def test_an_angle_near_the_end_of_its_period_is_one_angle() -> None:
    """A square at 44 to 46 degrees: its smallest rectangle says 44 or -44."""
    found = [segment(drawn(regular(4), (160, 120), np.radians(1.0 * (i % 3 - 1)), i))
             for i in range(24)]  # fmt: skip
    pose = is_fixed_station(found, HW)
    assert pose.is_fixed
    assert pose.angle_spread_deg is not None
    assert pose.angle_spread_deg < 2.0


def test_a_cut_that_is_always_the_same_is_the_fixture() -> None:
    """The part's end is beyond the border in every picture."""
    always_cut = seen(BAR, 1.0, 0.01, (290, 120))
    assert all(p.at_border and not p.whole for p in always_cut)
    pose = is_fixed_station(always_cut, HW)
    assert pose.is_fixed
    assert pose.box_cxcywhr is not None
    assert pose.box_cxcywhr[0] < 290


def test_a_fixed_rail_beside_a_part_that_lies_anyhow_is_not_the_part() -> None:
    """The rail is larger, and always at its place."""
    rng = np.random.default_rng(4)
    found = []
    for i in range(24):
        pixels = drawn(BAR / 2, (rng.uniform(60, 260), rng.uniform(120, 190)), 0.1 * i, i)
        pixels[:40] = 230
        found.append(segment(pixels))
    assert all(p.at_border and p.whole for p in found)
    assert not is_fixed_station(found, HW).is_fixed


def test_several_parts_and_empty_pictures_are_no_fixed_place() -> None:
    """Half of the pictures show none."""
    some = seen(BAR, 1.0, 0.01)
    empty = Segmented(HW, (), ())
    pose = is_fixed_station([*some[:12], *[empty] * 12], HW)
    assert (pose.is_fixed, pose.box_cxcywhr) == (False, None)
    assert "only 12 of 24 pictures show one part" in pose.reason
    assert not is_fixed_station([], HW).is_fixed


@pytest.mark.parametrize(
    ("outline", "fold", "is_mirrored"),
    [
        (regular(60), 0, True),
        (HOOK, 1, False),
        (WEDGE, 1, True),
        (BAR, 2, True),
        (regular(3), 3, True),
        (regular(4), 4, True),
        (regular(6), 6, True),
        (FLAG, 1, False),
    ],
    ids=["disc", "hook", "wedge", "bar", "triangle", "square", "hexagon", "flag"],
)
def test_symmetry_is_measured_at_any_angle(outline: F64Array, fold: int, is_mirrored: bool) -> None:
    """From parts that lie at all angles; three- and six-fold ones are boxed as round ones are."""
    pictures = [segment(drawn(outline, (160, 120), 0.37 * i, i)) for i in range(9)]
    assert (usual_of(pictures).kind == "round") == (fold in (0, 3, 6))
    shapes = [picture.whole[0] for picture in pictures]
    found = symmetry_of(shapes)
    assert (found.fold, found.is_mirrored) == (fold, is_mirrored), found.sentence()
    assert found.has_stable_axis == (fold in (1, 2, 4))


def test_a_median_between_two_sizes_is_nobodys_size() -> None:
    """As many small parts as large ones: one that is there is the usual one, and no build ends."""
    pictures = [segment(drawn(BAR * scale, (160, 120), 0.3, 1)) for scale in (0.4, 1.0)]
    areas = [picture.whole[0].area_px for picture in pictures]
    usual = usual_of(pictures)
    assert usual.area_px in areas
    assert usual.kind == "elongated"
    assert sum(bool(judged(picture, usual).boxes) for picture in pictures) == 1
