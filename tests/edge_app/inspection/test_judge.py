"""Scores become verdicts, maps become outlines in frame pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.judge import Limits, find_defects, judge_score
from edge_app.records import Anomaly, VerdictState

LIMITS = Limits(score_threshold=3.0, map_threshold=0.5, threshold_id="test-1")
SPEC = CropSpec((40, 80), margin=0.0)


def spot(y: int, x: int, value: float = 1.0, hw: tuple[int, int] = (10, 20)) -> Anomaly:
    """Return an anomaly whose map has one bright cell."""
    map_hw = np.zeros(hw, np.float32)
    map_hw[y, x] = value
    return Anomaly(5.0, map_hw)


@pytest.mark.parametrize(
    ("score", "state", "reason"),
    [
        (2.99, VerdictState.OK, ""),
        (3.0, VerdictState.NG, ""),
        (math.nan, VerdictState.NOT_INSPECTED, "not_finite"),
        (math.inf, VerdictState.NOT_INSPECTED, "not_finite"),
        (-math.inf, VerdictState.NOT_INSPECTED, "not_finite"),
    ],
)
def test_the_verdict_of_a_score(score: float, state: VerdictState, reason: str) -> None:
    """The threshold itself is NG, and what is not a number is never good."""
    assert judge_score(score, LIMITS) == (state, reason)


def test_a_defect_lies_where_the_map_says() -> None:
    """An upright box at scale 1: the outline surrounds the bright cell's place in the frame."""
    box = (140.0, 120.0, 80.0, 40.0, 0.0)  # crop covers x 100..180, y 100..140
    (defect,) = find_defects(spot(5, 2), box, SPEC, LIMITS)
    x0, y0, x1, y1 = defect.box_xyxy
    assert x0 <= 109.5 <= x1
    assert y0 <= 121.5 <= y1
    assert x1 - x0 < 10
    assert y1 - y0 < 10
    assert not defect.weak_localisation
    assert 0.5 < defect.peak <= 1.0


def test_a_defect_turns_with_the_product() -> None:
    """For a product lying at a quarter turn the crop's right is the frame's down."""
    box = (100.0, 100.0, 80.0, 40.0, math.pi / 2)
    (defect,) = find_defects(spot(5, 17), box, SPEC, LIMITS)  # right of the crop's middle
    x0, y0, x1, y1 = defect.box_xyxy
    assert (y0 + y1) / 2 > 120
    assert abs((x0 + x1) / 2 - 98) < 3


def test_nothing_above_the_map_threshold_gives_a_weak_box() -> None:
    """An NG without an area gets the map's maximum, marked as weak."""
    box = (40.0, 20.0, 80.0, 40.0, 0.0)
    (defect,) = find_defects(spot(5, 10, value=0.3), box, SPEC, LIMITS)
    assert defect.weak_localisation
    x0, y0, x1, y1 = defect.box_xyxy
    assert x0 <= 41.5 <= x1
    assert y0 <= 21.5 <= y1


def test_every_outline_has_an_area() -> None:
    """Even one pixel above the threshold becomes a polygon of at least three points."""
    spec = CropSpec((10, 20), margin=0.0)  # map and crop of equal size: one single pixel
    (defect,) = find_defects(spot(4, 7), (10.0, 5.0, 20.0, 10.0, 0.0), spec, LIMITS)
    assert len(defect.polygon_xy) >= 3
    assert defect.box_xyxy[2] > defect.box_xyxy[0]
    assert defect.box_xyxy[3] > defect.box_xyxy[1]


def test_several_areas_come_strongest_first() -> None:
    """Two separate areas give two defects, ordered by peak."""
    map_hw = np.zeros((10, 20), np.float32)
    map_hw[2, 3], map_hw[7, 15] = 0.9, 2.0
    found = find_defects(Anomaly(5.0, map_hw), (40.0, 20.0, 80.0, 40.0, 0.0), SPEC, LIMITS)
    assert [round(d.peak, 1) for d in found] == sorted(round(d.peak, 1) for d in found)[::-1]
    assert len(found) == 2


@pytest.mark.parametrize("map_hw", [np.full((4, 4), np.nan), np.zeros((0, 0))])
def test_a_map_that_is_no_map_has_no_outlines(map_hw: np.ndarray) -> None:
    """NaN or nothing is not drawn anywhere."""
    anomaly = Anomaly(5.0, map_hw.astype(np.float32))
    assert find_defects(anomaly, (40.0, 20.0, 80.0, 40.0, 0.0), SPEC, LIMITS) == ()
