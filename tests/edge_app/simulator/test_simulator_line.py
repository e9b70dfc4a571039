"""The simulated belt: the same for the same seed, true to its ground truth, honest in motion."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge_app.imaging.oriented_box import corners_of, rotated_iou
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.records import BoxCxcywhr, F64Array, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine, good_line
from edge_app.simulator.truth import PRODUCTS, SEEDS, FrameTruth, Product

BELT_AT_MOST_GREY = 88.0
"""Every part is brighter than this, every belt darker."""


def grey_of(pixels_hwc: U8Array) -> F64Array:
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels_hwc, cv2.COLOR_BGR2GRAY), (0, 0), 1.0)
    return np.asarray(grey, dtype=np.float64)


def extent_along_box(pixels_hwc: U8Array, box: BoxCxcywhr) -> tuple[float, float, float, float]:
    """Return what the bright pixels at a box reach along its own axes: x0, x1, y0, y1."""
    bright = (grey_of(pixels_hwc) > BELT_AT_MOST_GREY).astype(np.uint8)
    around = cv2.fillPoly(np.zeros_like(bright), [np.array(corners_of(box)).astype(np.int32)], 1)
    near = np.asarray(cv2.dilate(around, np.ones((15, 15), np.uint8)), np.uint8)
    y, x = np.nonzero(bright & near)
    cos, sin = math.cos(box[4]), math.sin(box[4])
    along = (x - box[0]) * cos + (y - box[1]) * sin
    across = (y - box[1]) * cos - (x - box[0]) * sin
    low, high = np.quantile(along, (0.0005, 0.9995)), np.quantile(across, (0.0005, 0.9995))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@pytest.fixture(scope="module")
def tapered() -> SimulatedLine:
    return SimulatedLine(SimulatorConfig(seed=5, parts=8))


@pytest.fixture(scope="module")
def stream(tapered: SimulatedLine) -> list[tuple[U8Array, FrameTruth]]:
    return list(tapered.frames())


def test_a_number_always_gives_the_same_picture(tapered: SimulatedLine) -> None:
    """Two lines of one seed show the same bytes and truth for a number, in whatever order."""
    again = SimulatedLine(tapered.config)
    later = again.single(7)
    pixels, truth = tapered.single(3)
    pixels_again, truth_again = again.single(3)
    assert np.array_equal(pixels, pixels_again)
    assert truth == truth_again
    assert truth != later[1]


def test_a_frame_does_not_depend_on_the_frames_before(
    tapered: SimulatedLine, stream: list[tuple[U8Array, FrameTruth]]
) -> None:
    """Frame 6 asked for directly is the frame 6 that the stream shows."""
    pixels, truth = SimulatedLine(tapered.config).frame(6)
    assert np.array_equal(pixels, stream[6][0])
    assert truth == stream[6][1]


def test_roles_never_share_a_picture() -> None:
    """The four seeds differ, and so do the first parts that they show."""
    assert len(set(SEEDS.values())) == 4
    poses = {SimulatedLine(SimulatorConfig(seed=s)).single(1)[1].parts[0].pose_rad
             for s in SEEDS.values()}  # fmt: skip
    assert len(poses) == 4


def test_a_single_shows_exactly_one_whole_part(tapered: SimulatedLine) -> None:
    """A triggered picture holds the part of its number, all of it, in the camera's format."""
    for number in (1, 2, 900):
        pixels, truth = tapered.single(number)
        assert pixels.shape == (768, 1024, 3)
        assert pixels.dtype == np.uint8
        assert [(part.number, part.is_whole) for part in truth.parts] == [(number, True)]


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_box_is_tight_round_the_rendered_part(product: Product) -> None:
    """The bright pixels reach the box's four sides to 2.5 pixels, at any angle."""
    line = good_line(SimulatorConfig(product, seed=6))
    for number in range(1, 7):
        pixels, truth = line.single(number)
        box = truth.parts[0].box_cxcywhr
        seen = extent_along_box(pixels, box)
        stated = (-box[2] / 2, box[2] / 2, -box[3] / 2, box[3] / 2)
        assert seen == pytest.approx(stated, abs=2.5), f"{product} {number}"


def test_the_tapered_part_points_from_wide_to_narrow() -> None:
    """In the upright crop the wide end lies at the left, whatever the angle on the belt."""
    line = good_line(SimulatorConfig("tapered", seed=6))
    for number in range(1, 9):
        pixels, truth = line.single(number)
        crop = upright_crop(pixels, truth.parts[0].box_cxcywhr, CropSpec((128, 400), 0.0))
        bright = grey_of(crop) > BELT_AT_MOST_GREY
        assert bright[:, 140:160].mean() > 1.2 * bright[:, 340:360].mean()


def test_the_squares_notch_lies_on_its_plus_x_side() -> None:
    """In the upright crop of a square part the middle of the right edge shows the belt."""
    line = good_line(SimulatorConfig("square", seed=6))
    for number in range(1, 5):
        pixels, truth = line.single(number)
        crop = upright_crop(pixels, truth.parts[0].box_cxcywhr, CropSpec((230, 230), 0.0))
        edges = {turn: grey_of(np.rot90(crop, turn).copy())[112:118, 222:226].mean()
                 for turn in range(4)}  # fmt: skip
        assert min(edges, key=lambda turn: edges[turn]) == 0


def test_a_disc_has_no_axis() -> None:
    """A round part's box is never turned, its pose is told apart."""
    truth = SimulatedLine(SimulatorConfig("round", seed=6)).single(2)[1].parts[0]
    assert truth.box_cxcywhr[4] == 0.0
    assert truth.pose_rad != 0.0


def test_every_part_passes_whole_two_to_four_times(
    stream: list[tuple[U8Array, FrameTruth]],
) -> None:
    """Parts 1 to 8 each show whole in some frames, and the stream ends on an empty belt."""
    whole = Counter(p.number for _, truth in stream for p in truth.parts if p.is_whole)
    assert set(whole) == set(range(1, 9))
    assert 2 <= min(whole.values()) <= max(whole.values()) <= 4
    assert stream[-1][1].parts == ()


@pytest.mark.parametrize("product", PRODUCTS)
def test_parts_never_overlap(product: Product) -> None:
    """No two boxes of one frame share a pixel, even with the closest spacing allowed."""
    line = SimulatedLine(SimulatorConfig(product, seed=8, pitch_px=472, defect_rate=0))
    for frame_id in range(0, 60, 3):
        parts = line.frame(frame_id)[1].parts
        for part, following in pairwise(parts):
            assert rotated_iou(part.box_cxcywhr, following.box_cxcywhr) == 0


def test_parts_move_with_the_belt(stream: list[tuple[U8Array, FrameTruth]]) -> None:
    """From frame to frame a part moves by the advance along +x and by nothing else."""
    before = {p.number: p.box_cxcywhr for p in stream[7][1].parts}
    after = {p.number: p.box_cxcywhr for p in stream[8][1].parts}
    common = before.keys() & after.keys()
    assert common
    for number in common:
        moved = np.subtract(after[number], before[number])
        assert moved == pytest.approx([240, 0, 0, 0, 0], abs=1e-9)


def test_the_belt_moves_with_the_parts() -> None:
    """The belt's own pattern shifts by the advance too (phase correlation to 1 pixel)."""
    line = SimulatedLine(SimulatorConfig(seed=8, advance_px=60))
    pair = [grey_of(line.frame(frame_id)[0])[60:-60] for frame_id in (0, 1)]
    (shift_x, shift_y), _ = cv2.phaseCorrelate(pair[0], pair[1])
    assert (shift_x, shift_y) == pytest.approx((60, 0), abs=1)


def test_parts_differ_and_lamps_drift(stream: list[tuple[U8Array, FrameTruth]]) -> None:
    """Sizes differ within 2 % and tolerance, belt brightness drifts slowly, noise is fresh."""
    widths = {p.number: p.box_cxcywhr[2] for _, truth in stream for p in truth.parts}
    assert len(set(widths.values())) == len(widths)
    assert all(abs(w / 380 - 1) < 0.032 for w in widths.values())
    rails = [pixels[3:7].mean() for pixels, _ in stream]
    assert 0 < np.ptp(rails) < 12
    assert 1.0 < np.std(stream[2][0][:8].astype(float) - stream[3][0][:8]) < 6.0


def test_truth_is_json(stream: list[tuple[U8Array, FrameTruth]]) -> None:
    """Truth goes through JSON and back without loss."""
    truth = stream[8][1].to_json()
    back = json.loads(json.dumps(truth))
    assert back["frame_id"] == 8
    assert back["parts"][0]["number"] == truth["parts"][0]["number"]


def test_a_small_frame_still_holds_whole_parts() -> None:
    """At the smallest frame size every part still lies inside between the rails."""
    line = SimulatedLine(SimulatorConfig(seed=9, frame_hw=(520, 640), defect_rate=0))
    for number in range(1, 9):
        pixels, truth = line.single(number)
        assert pixels.shape == (520, 640, 3)
        assert truth.parts[0].is_whole
