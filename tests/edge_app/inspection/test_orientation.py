"""Which way round, and exactly where: pictures in, poses out."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import get_args

import cv2
import numpy as np
import pytest

from edge_app.errors import BundleError
from edge_app.imaging.oriented_box import axis_difference_rad
from edge_app.imaging.registration import Registration
from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.alignment import Aligner, aligner_from_template, small_crop, small_spec
from edge_app.inspection.orientation import (
    TURNS,
    candidate_views,
    cue_from_template,
    cue_spec,
    template_from_means,
    turned,
)
from edge_app.records import BoxCxcywhr, U8Array

LONG = CropSpec((64, 160), margin=0.1)
SQUARE = CropSpec((96, 96), margin=0.1)


def picture(box: BoxCxcywhr, seed: int = 0) -> U8Array:
    """Draw a bright rectangle with a dark dot at its −x end on a noisy dark ground."""
    cx, cy, w, h, angle = box
    rng = np.random.default_rng(seed)
    frame = rng.normal(60, 4, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    corners = cv2.boxPoints(((cx, cy), (w, h), math.degrees(angle)))
    cv2.fillPoly(frame, [np.round(corners * 16).astype(np.int32)], (180, 180, 180), shift=4)
    dot = (cx - 0.35 * w * math.cos(angle), cy - 0.35 * w * math.sin(angle))
    cv2.circle(frame, (round(dot[0] * 16), round(dot[1] * 16)), round(0.2 * h * 16), (30,) * 3, -1,
               shift=4)  # fmt: skip
    return frame


def cue_for(kind: str, box: BoxCxcywhr, spec: CropSpec):  # type: ignore[no-untyped-def]
    """Learn a cue from three noisy pictures of one pose."""
    views = np.stack([candidate_views(picture(box, s), box, kind, spec) for s in range(3)])
    return cue_from_template(template_from_means(views.mean(axis=0)), kind, spec)


@pytest.mark.parametrize("angle", np.linspace(-math.pi, math.pi, 9)[1:].tolist())
def test_an_elongated_part_is_turned_the_right_way_round(angle: float) -> None:
    """Given only the axis, the direction comes out, at every angle."""
    cue = cue_for("two_way", (200, 150, 130, 50, 0.0), LONG)
    truth: BoxCxcywhr = (190, 140, 130, 50, angle)
    for start in (angle, angle + math.pi):
        found = cue.directed(picture(truth, 9), (190, 140, 130, 50, start))
        assert axis_difference_rad(found[4], angle, 2 * math.pi) < 1e-6


@pytest.mark.parametrize("quarter", range(4))
def test_a_square_part_is_turned_among_four(quarter: int) -> None:
    """Of a square part's four turns the right one is found, sides exchanged as needed."""
    cue = cue_for("four_way", (200, 150, 80, 80, 0.3), SQUARE)
    truth: BoxCxcywhr = (210, 140, 80, 80, 0.3)
    found = cue.directed(picture(truth, 5), turned(truth, "four_way", quarter))
    assert axis_difference_rad(found[4], 0.3, 2 * math.pi) < 1e-6


@pytest.mark.parametrize("kind", TURNS)
def test_all_turns_bring_a_box_back(kind: str) -> None:
    """Turning as often as there are turns is the same box."""
    box: BoxCxcywhr = (10.0, 20.0, 30.0, 15.0, 0.4)
    assert turned(box, kind, TURNS[kind]) == pytest.approx(box)


def test_a_cue_of_the_wrong_size_is_refused() -> None:
    """A template that does not belong to the crop is a broken bundle."""
    with pytest.raises(BundleError, match="Orientation cue is"):
        cue_from_template(np.zeros((5, 5), np.uint8), "two_way", LONG)
    h, w = cue_spec(LONG).crop_hw
    assert cue_from_template(np.zeros((2 * h, w), np.uint8), "two_way", LONG).kind == "two_way"


TRUTH: BoxCxcywhr = (200.0, 150.0, 130.0, 50.0, 0.5)


WAYS: tuple[Registration, ...] = get_args(Registration)


def aligner(way: Registration) -> Aligner:
    """Return an aligner whose template shows the true box."""
    crop = small_crop(picture(TRUTH, 1), TRUTH, LONG)
    scale = 160 / (130 * 1.2)  # both axes share the larger need
    everywhere = np.full(crop.shape, 255, np.uint8)
    return Aligner(np.round(crop), everywhere, (130 * scale, 50 * scale), LONG, registration=way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("dx", "dy", "scale", "turn_deg"),
    list(itertools.product((-4.0, 3.0), (2.0,), (0.95, 1.04), (-2.0, 1.5))),
)
def test_a_box_that_is_off_is_put_onto_the_part(
    dx: float, dy: float, scale: float, turn_deg: float, way: Registration
) -> None:
    """Shift, size and angle errors of a small detector come out under half a pixel and a degree."""
    x, y, w, h, angle = TRUTH
    off: BoxCxcywhr = (x + dx, y + dy, w * scale, h * scale, angle + math.radians(turn_deg))
    found = aligner(way).aligned(picture(TRUTH, 2), off)
    assert math.hypot(found[0] - x, found[1] - y) < 0.6
    assert found[2] == pytest.approx(w, rel=0.015)
    assert found[3] == pytest.approx(h, rel=0.015)
    assert abs(math.degrees(found[4] - angle)) < 0.6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [0.95, 1.04])
def test_a_part_of_known_size_comes_out_at_that_size(scale: float, way: Registration) -> None:
    """Where all parts are of one size the detector's error in size does not matter."""
    x, y, w, h, angle = TRUTH
    sized = dataclasses.replace(aligner(way), size_px=(w, h))
    off: BoxCxcywhr = (x + 3, y - 2, w * scale, h * scale, angle + 0.02)
    found = sized.aligned(picture(TRUTH, 2), off)
    assert found[2:4] == pytest.approx((w, h), rel=1e-6)
    assert math.hypot(found[0] - x, found[1] - y) < 0.6
    assert abs(math.degrees(found[4] - angle)) < 0.6


@pytest.mark.parametrize("way", WAYS)
def test_a_part_far_from_the_known_size_is_taken_as_it_is(way: Registration) -> None:
    """A moved camera shows every part a sixth larger: the crop follows the part, not the memory."""
    _, _, w, h, _ = TRUTH
    sized = dataclasses.replace(aligner(way), size_px=(w / 1.17, h / 1.17))
    assert sized.aligned(picture(TRUTH, 2), TRUTH)[2] == pytest.approx(w, rel=0.015)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_to_register_keeps_the_box(way: Registration) -> None:
    """On a flat picture registration fails and the detector's box stands."""
    flat = np.full((300, 400, 3), 80, np.uint8)
    assert aligner(way).aligned(flat, TRUTH) == TRUTH


@pytest.mark.parametrize("way", WAYS)
def test_a_slipped_registration_keeps_the_box(way: Registration) -> None:
    """A correction too large to be true is not believed."""
    x, y, w, h, angle = TRUTH
    far: BoxCxcywhr = (x + 45, y + 30, w, h, angle)
    found = aligner(way).aligned(picture(TRUTH, 3), far)
    assert found == far or math.hypot(found[0] - x, found[1] - y) < 1.0


@pytest.mark.parametrize("way", WAYS)
def test_a_round_part_keeps_its_angle(way: Registration) -> None:
    """Without an axis only place and size are corrected."""
    a = aligner(way)
    round_one = dataclasses.replace(a, keeps_angle=True)
    off: BoxCxcywhr = (202.0, 149.0, 130.0, 50.0, 0.52)
    assert round_one.aligned(picture(TRUTH, 4), off)[4] == 0.52


def test_a_template_of_the_wrong_size_is_refused() -> None:
    """A template that does not belong to the crop is a broken bundle."""
    with pytest.raises(BundleError, match="Alignment template is"):
        aligner_from_template(np.zeros((5, 5), np.uint8), (1.0, 1.0), LONG, False)
    h, w = small_spec(LONG).crop_hw
    good = np.zeros((2 * h, w), np.uint8)
    assert aligner_from_template(good, (1.0, 1.0), LONG, False).product_wh == (1.0, 1.0)
