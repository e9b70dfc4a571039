"""Nearly symmetric parts under light from one side: the mark counts, not the light."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.orientation import cue_from_template, turned
from edge_app.inspection.pose import PoseFinder
from edge_app.records import BoxCxcywhr, F64Array, U8Array
from export.pose.alignment import learn_alignment
from export.pose.frame_light import across_light, follows_the_frame, without_light
from export.pose.orientation import learn_orientation

SPEC = CropSpec((128, 128), margin=0.08)
SIDE = 120.0
FRAME_HW = (240, 320)


def lit_square(angle: float, seed: int) -> U8Array:
    """Draw a square with a small notch in its −x side, lit from the frame's upper left."""
    rng = np.random.default_rng(seed)
    frame = np.full(FRAME_HW, 60.0)
    centre = np.array([160.0, 120.0])
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])

    def fill(corners_uv: list[tuple[float, float]], grey: float, shift: float = 0.0) -> None:
        corners = centre + shift + np.array(corners_uv) @ axes
        layer = frame.astype(np.float32)
        cv2.fillPoly(layer, [np.round(corners * 16).astype(np.int32)], grey, shift=4)
        frame[:] = layer

    h = SIDE / 2
    square = [(-h, -h), (h, -h), (h, h), (-h, h)]
    fill(square, 20.0, 6.0)  # the shadow, which does not turn
    fill(square, 150.0)
    y, x = np.mgrid[: FRAME_HW[0], : FRAME_HW[1]]
    frame += np.where(frame > 100, 0.3 * (320 - x - y) / 2, 0.0)  # bright towards the lamp
    fill([(-h, -9.0), (-h + 13, 0.0), (-h, 9.0)], 60.0)
    noisy = cv2.GaussianBlur(frame, (0, 0), 0.8) + rng.normal(0, 2, FRAME_HW)
    return np.repeat(noisy.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def lying_anyhow(
    count: int,
) -> tuple[list[Callable[[], U8Array]], list[BoxCxcywhr], F64Array]:
    """Return readers, boxes as a detector gives them (a little off, no direction), true angles."""
    rng = np.random.default_rng(11)
    readers, boxes, truth = [], [], rng.uniform(-math.pi, math.pi, count)
    for i, angle in enumerate(truth):
        pixels = lit_square(float(angle), i)
        readers.append(lambda p=pixels: p)
        folded = (angle + math.pi / 4) % (math.pi / 2) - math.pi / 4
        off = rng.normal(0, 2, 2)
        box = (160 + off[0], 120 + off[1], SIDE, SIDE, folded + rng.normal(0, math.radians(1)))
        boxes.append(tuple(float(v) for v in box))
    return readers, boxes, truth  # type: ignore[return-value]


def directions(angles: F64Array, truth: F64Array) -> list[int]:
    """Return the quarter turns by which each found angle differs from the true one."""
    return [int(k) % 4 for k in np.round((angles - truth) / (math.pi / 2))]


@pytest.fixture(scope="module")
def square() -> tuple[list[Callable[[], U8Array]], list[BoxCxcywhr], F64Array]:
    return lying_anyhow(80)


def test_a_notch_outweighs_light_shadow_and_shifted_boxes(
    square: tuple[list[Callable[[], U8Array]], list[BoxCxcywhr], F64Array],
) -> None:
    """Every part comes out with its notch on the same side, learnt from and new ones alike."""
    readers, boxes, truth = square
    learnt = learn_orientation(readers[:48], boxes[:48], SPEC, "compact")
    assert "the light" in learnt.reason
    assert learnt.agreement > 0.95
    angles = np.array([b[4] for b in boxes[:48]]) + learnt.turns * math.pi / 2
    assert len(set(directions(angles, truth[:48]))) == 1
    assert learnt.template is not None
    turned_boxes = [
        turned(b, "four_way", int(t)) for b, t in zip(boxes, learnt.turns, strict=False)
    ]
    aligner = learn_alignment(readers[:48], turned_boxes, SPEC, False, lambda *_: None)
    pose = PoseFinder(cue_from_template(learnt.template, "four_way", SPEC), aligner)
    found = [pose.find(r(), b)[4] for r, b in zip(readers[48:], boxes[48:], strict=True)]
    assert set(directions(np.array(found), truth[48:])) == set(directions(angles, truth[:48]))
    off = np.array([b[4] + math.radians(38) for b in boxes[48:]])
    starts = [(*b[:4], float(a)) for b, a in zip(boxes[48:], off, strict=True)]
    again = [pose.find(r(), b)[4] for r, b in zip(readers[48:], starts, strict=True)]
    assert np.degrees(np.abs(np.exp(1j * np.array(again)) - np.exp(1j * np.array(found)))).max() < 1


def test_parts_that_all_lie_the_same_way_keep_the_plain_cue() -> None:
    """Boxes at one angle, or turns that look all ways, are not taken for the light's doing."""
    rng = np.random.default_rng(0)
    zeros, anyhow = np.zeros(60, np.int64), rng.integers(0, 4, 60)
    spread = rng.uniform(-math.pi / 4, math.pi / 4, 60)
    assert not follows_the_frame(rng.normal(0.1, 0.03, 60), zeros, "four_way")
    assert not follows_the_frame(spread, anyhow, "four_way")
    assert follows_the_frame(spread, zeros, "four_way")


def test_light_is_found_and_taken_out() -> None:
    """Views made of a part and a known light: the light comes out, the part stays."""
    rng = np.random.default_rng(1)
    part, lamp = rng.normal(size=(8, 8)), rng.normal(size=(8, 8))
    angles = rng.uniform(-math.pi, math.pi, 200)
    turns = np.arange(2) * math.pi
    waves = np.cos(angles[:, None] + turns)[..., None, None]
    views = (part + waves * lamp).astype(np.float32)
    left, light = without_light(views, angles)
    assert left == pytest.approx(np.broadcast_to(part, left.shape), abs=1e-4)
    assert light[0] == pytest.approx(lamp, abs=1e-4)
    means = rng.normal(size=(2, 8, 8)).astype(np.float32)
    contrast = across_light(means, light[:1])
    contrast -= contrast.mean(axis=0)
    assert float((contrast[0] * lamp).sum()) == pytest.approx(0, abs=1e-4)
