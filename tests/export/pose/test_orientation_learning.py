"""Which turns a product has, learnt from good parts alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest

from edge_app.imaging.oriented_box import axis_difference_rad
from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.alignment import Aligner, aligner_from_template, small_spec
from edge_app.inspection.orientation import cue_from_template, turned
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from edge_app.records import BoxCxcywhr, U8Array
from export.pose.orientation import choose_kind, learn_orientation
from export.pose.step import Cutting, models_of

SPEC = CropSpec((64, 160), margin=0.1)
SQUARE = CropSpec((96, 96), margin=0.1)


def scene(box: BoxCxcywhr, has_mark: bool, seed: int) -> U8Array:
    """Draw one bright part, marked near its −x end if it is to have a direction."""
    cx, cy, w, h, angle = box
    rng = np.random.default_rng(seed)
    frame = rng.normal(60, 5, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    corners = cv2.boxPoints(((cx, cy), (w, h), math.degrees(angle)))
    cv2.fillPoly(frame, [np.round(corners * 16).astype(np.int32)], (180, 180, 180), shift=4)
    if has_mark:
        x, y = cx - 0.35 * w * math.cos(angle), cy - 0.35 * w * math.sin(angle)
        cv2.circle(frame, (round(x * 16), round(y * 16)), round(0.15 * h * 16), (30,) * 3, -1,
                   shift=4)  # fmt: skip
    return frame


def parts(
    count: int, w: float, h: float, has_mark: bool, kind: str, turns: int
) -> tuple[list[Callable[[], U8Array]], list[BoxCxcywhr], list[float]]:
    """Return readers, boxes whose turn was lost at random, and the true directions."""
    rng = np.random.default_rng(3)
    readers: list[Callable[[], U8Array]] = []
    boxes, truth = [], []
    for i in range(count):
        box: BoxCxcywhr = (160, 120, w, h, float(rng.uniform(-math.pi, math.pi)))
        pixels = scene(box, has_mark, i)
        readers.append(partial(np.asarray, pixels))
        boxes.append(turned(box, kind, int(rng.integers(turns))))
        truth.append(box[4])
    return readers, boxes, truth


@pytest.mark.parametrize(
    ("kind", "w", "h", "spec", "turns"),
    [("two_way", 120.0, 45.0, SPEC, 2), ("four_way", 80.0, 80.0, SQUARE, 4)],
)
def test_all_parts_are_brought_the_same_way_round(
    kind: str, w: float, h: float, spec: CropSpec, turns: int
) -> None:
    """After learning, every part points the same way; and a new part is turned like them."""
    readers, boxes, truth = parts(24, w, h, True, kind, turns)
    learnt = learn_orientation(readers, boxes, spec, "elongated" if turns == 2 else "compact")
    assert learnt.kind == kind
    found = [turned(b, kind, int(t))[4] for b, t in zip(boxes, learnt.turns, strict=True)]
    offsets = [axis_difference_rad(f, t + (found[0] - truth[0]), 2 * math.pi)
               for f, t in zip(found, truth, strict=True)]  # fmt: skip
    assert max(offsets) < 1e-6
    assert learnt.template is not None
    cue = cue_from_template(learnt.template, kind, spec)
    again = [cue.directed(r(), b)[4] for r, b in zip(readers, boxes, strict=True)]
    assert again == pytest.approx(found)


def test_a_symmetric_part_is_not_turned_by_guessing() -> None:
    """A part that looks the same both ways gets no cue."""
    readers, boxes, _ = parts(24, 120.0, 45.0, False, "two_way", 2)
    learnt = learn_orientation(readers, boxes, SPEC, "elongated")
    assert learnt.template is None
    assert learnt.agreement < 0.9
    assert set(learnt.turns.tolist()) == {0}


def test_a_round_part_is_free() -> None:
    """What segmentation calls round has no axis, whatever its boxes say."""
    boxes: list[BoxCxcywhr] = [(10, 10, 50, 49, 0.0)] * 4
    assert choose_kind(boxes, "round") == "free"
    assert choose_kind(boxes, "compact") == "four_way"
    assert choose_kind(boxes, None) == "four_way"
    assert choose_kind([(10, 10, 50, 30, 0.0)] * 4, None) == "two_way"


def test_the_manifest_tells_the_device_everything_registration_was_learnt_with() -> None:
    """An aligner made again from the manifest's entry is the one the crops were cut with."""
    spec = CropSpec((64, 128), 0.08)
    h, w = small_spec(spec).crop_hw
    picture = np.arange(2 * h * w, dtype=np.uint32).reshape(2 * h, w).astype(np.uint8)
    learnt = aligner_from_template(
        picture, (100.0, 40.0), spec, False, (210.0, 84.0), 0.04, "inverse_compositional"
    )
    cutting = Cutting(WholeFrame(), False, "two_way", PoseFinder(None, learnt), spec, "")
    _, _, entry = models_of(cutting)
    assert entry is not None
    again = aligner_from_template(
        picture,
        entry.product_wh,
        spec,
        False,
        entry.size_px,
        entry.size_tolerance,
        entry.registration,
    )
    for field in (f for f in dataclasses.fields(Aligner) if f.init):
        assert np.array_equal(getattr(again, field.name), getattr(learnt, field.name)), field.name
