"""When a detector's training ends, on which pictures that rests, and how large its input is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra train")

import torch
from torch import nn

from edge_app.imaging.oriented_box import corners_of
from edge_app.records import BoxCxcywhr
from export.data.dataset import Picture
from export.data.yolo_dataset import LabelledPicture
from export.detector.augment import Scene, turned_view, visible_share
from export.detector.pose_errors import PoseErrors, pose_errors
from export.detector.schedule import (
    FIRST_CYCLE,
    NEXT_CYCLE,
    SLOW_STEPS,
    Schedule,
    reserved_count,
    schedule_for,
)
from export.detector.step import input_hw_for

pytestmark = pytest.mark.needs("the extra train")

GOOD = PoseErrors(0.0, 0.01, 0.02, 1.0, 0.8, 0.1)
FAIR = replace(GOOD, angle_deg=6.0, overlap=0.3)
BAD = PoseErrors(0.5, 0.2, 0.3, 20.0, 0.1, 0.7)


def trained(schedule: Schedule, errors: Sequence[PoseErrors | None]) -> int:
    """Return the steps of a training that meets these errors, the last one again and again."""
    step, course, met = 0, schedule.begin(), 0
    while not course.is_done:
        step = schedule.round_end(step, course)
        if schedule.is_check(step, course):
            course = schedule.after_cycle(course, errors[min(met, len(errors) - 1)])
            met += 1
    return step


def test_a_training_ends_when_the_pose_is_good() -> None:
    """After its first cycle, or after the one in which it gets good."""
    assert trained(schedule_for(160, None), [GOOD]) == FIRST_CYCLE
    assert trained(schedule_for(160, None), [BAD, GOOD]) == FIRST_CYCLE + NEXT_CYCLE


def test_a_training_that_gets_no_better_ends() -> None:
    """A pose that is fair and stays so is what these pictures give; one that betters goes on."""
    assert trained(schedule_for(800, None), [FAIR, FAIR]) == FIRST_CYCLE + NEXT_CYCLE
    better = [replace(FAIR, overlap=0.3 * 0.8**i) for i in range(4)]
    assert trained(schedule_for(800, None), [*better, better[-1]]) == FIRST_CYCLE + 4 * NEXT_CYCLE


def test_a_detector_that_misses_parts_trains_to_the_end() -> None:
    """Nothing is found: as many scenes are seen as by release 0.1.0, and not one more."""
    assert trained(schedule_for(160, None), [BAD]) == SLOW_STEPS == 320 * 16 / 8
    assert trained(schedule_for(4800, None), [BAD]) == 30 * 4800 / 8


@pytest.mark.parametrize("steps", [1, 7, 40, 90, 200])
def test_given_steps_are_taken_exactly(steps: int) -> None:
    """In one cycle, at whose end the rate is nearly nothing."""
    schedule = schedule_for(160, steps)
    assert trained(schedule, [None]) == steps
    rates = [schedule.rate_share(step, schedule.begin()) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert steps < 40 or rates[-1] < 0.04 < 0.5 < max(rates)


def test_every_cycle_begins_high_and_ends_low() -> None:
    """The second at half the rate of the first."""
    schedule = schedule_for(160, None)
    second = schedule.after_cycle(schedule.begin(), BAD)
    assert schedule.rate_share(FIRST_CYCLE - 1, schedule.begin()) < 0.02
    assert schedule.rate_share(FIRST_CYCLE, second) == pytest.approx(0.5)
    assert schedule.rate_share(FIRST_CYCLE + NEXT_CYCLE - 1, second) < 0.02


def test_few_pictures_are_all_learnt_from() -> None:
    """Ten labels leave none to spare; thirty pictures do."""
    assert reserved_count(10) == 0
    assert schedule_for(10, None).is_fixed
    assert reserved_count(22) == 3
    assert reserved_count(1000) == 16


class Says(nn.Module):
    """A network that always says the same: columns (cx, cy, w, h, confidence, angle)."""

    def __init__(self, *rows: tuple[float, ...]) -> None:
        super().__init__()
        self.columns = torch.tensor(rows).T[None]

    def forward(self, _planes: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.columns,)


def scene(*boxes: BoxCxcywhr) -> Scene:
    return Scene(
        np.zeros((64, 96, 3), np.uint8), np.array(boxes).reshape(-1, 5), np.zeros(len(boxes), int)
    )


def test_errors_are_measured_in_the_parts_own_length() -> None:
    """Four pixels aside on a part of 40, a tenth longer, 0.1 rad off, and what else is seen."""
    says = Says((44.0, 30.0, 44.0, 14.0, 0.7, 0.1), (80.0, 50.0, 20.0, 10.0, 0.6, 0.0))
    found = pose_errors(says, [scene((40.0, 30.0, 40.0, 14.0, 0.0))], "cpu")
    assert found.missed == 0
    assert found.centre == pytest.approx(0.1)
    assert found.size == pytest.approx(np.log(1.1), abs=1e-4)
    assert found.angle_deg == pytest.approx(np.degrees(0.1), abs=1e-3)
    assert found.confidence == pytest.approx(0.7, abs=1e-5)
    assert 0.2 < found.overlap < 0.5


def test_a_square_parts_quarter_turn_is_no_error() -> None:
    """Its sides swap their names with its angle."""
    says = Says((40.0, 30.0, 20.0, 20.5, 0.7, np.pi / 2))
    found = pose_errors(says, [scene((40.0, 30.0, 20.0, 20.0, 0.02))], "cpu")
    assert found.angle_deg == pytest.approx(np.degrees(0.02), abs=1e-2)


def test_a_missed_part_has_no_confidence() -> None:
    """One of two parts is found: half is missed, and the training goes on."""
    says = Says((20.0, 30.0, 20.0, 10.0, 0.9, 0.0))
    two = scene((20.0, 30.0, 20.0, 10.0, 0.0), (70.0, 30.0, 20.0, 10.0, 0.0))
    found = pose_errors(says, [two], "cpu")
    assert (found.missed, found.overlap) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert found.confidence < 0.1
    assert pose_errors(Says((0.0, 0.0, 1.0, 1.0, 0.01, 0.0)), [two], "cpu").missed == 1.0


def test_turned_views_show_whole_parts_only() -> None:
    """A pose cannot be measured on what is cut off by the border."""
    pixels = np.full((64, 96, 3), 90, np.uint8)
    box: BoxCxcywhr = (48.0, 32.0, 70.0, 14.0, 0.2)
    cv2.fillPoly(pixels, [np.rint(np.array(corners_of(box))).astype(np.int32)], (210, 215, 220))
    rng = np.random.default_rng(0)
    views = [turned_view(Scene(pixels, np.array([box]), np.zeros(1, int)), rng) for _ in range(40)]
    kept = [view for view in views if len(view.boxes_cxcywhr)]
    assert 5 < len(kept) < 40
    for view in kept:
        assert visible_share(view.boxes_cxcywhr[0], (64, 96)) >= 0.99
        x, y = np.rint(view.boxes_cxcywhr[0, :2] - 0.5).astype(int)
        assert view.pixels_hwc[y, x].mean() > 120


@pytest.mark.parametrize(
    ("frame_hw", "part_wh", "input_hw"),
    [
        ((512, 512), (459.0, 143.0), (192, 192)),
        ((256, 256), (150.0, 140.0), (192, 192)),
        ((768, 1024), (232.0, 232.0), (160, 224)),
        ((480, 640), (500.0, 300.0), (160, 192)),
        ((100, 140), (30.0, 20.0), (128, 160)),
    ],
    ids=["screw", "nut", "on a belt", "fills the frame", "a small picture"],
)
def test_the_input_is_as_small_as_the_part_allows(
    frame_hw: tuple[int, int], part_wh: tuple[float, float], input_hw: tuple[int, int]
) -> None:
    """Large parts in a small input, small ones in a large one; no picture is blown up."""
    seen = [Picture(Path("a.png"), "a.png", "0" * 64, frame_hw)]
    boxes = np.array([[50.0, 50.0, *part_wh, 0.3]])
    label = LabelledPicture(np.zeros((*frame_hw, 3), np.uint8), boxes)
    assert input_hw_for(seen, [label]) == input_hw
