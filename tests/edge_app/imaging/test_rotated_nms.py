"""Rotated NMS: the same boxes as one pair at a time would keep, all pairs at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_app.errors import ShapeError
from edge_app.imaging.oriented_box import as_box, rotated_iou
from edge_app.imaging.rotated_nms import AHEAD, BLOCK, FEW, pair_ious, rotated_nms


def _boxes(rng: np.random.Generator, count: int, heaps: int) -> np.ndarray:
    """Return boxes in heaps over a 640 px picture."""
    middles = np.column_stack(
        [
            rng.uniform(0, 640, (heaps, 2)),
            rng.uniform(20, 90, heaps),
            rng.uniform(8, 40, heaps),
            rng.uniform(-3, 3, heaps),
        ]
    )
    chosen = middles[rng.integers(0, heaps, count)]
    return np.asarray(chosen + rng.normal(0, 1, (count, 5)) * [2, 2, 1, 1, 0.03])


def _one_by_one(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(rotated_iou(as_box(boxes[i]), as_box(boxes[k])) <= max_iou for k in kept):
            kept.append(int(i))
    return kept


@pytest.mark.parametrize("heaps", [1, 2, 30, 300])
def test_same_boxes_as_one_pair_at_a_time(heaps: int) -> None:
    """Over heaps and spread boxes, in several blocks, the same boxes stay in the same order."""
    rng = np.random.default_rng(heaps)
    boxes, scores = _boxes(rng, 4 * BLOCK, heaps), rng.uniform(0.3, 1, 4 * BLOCK)
    assert rotated_nms(boxes, scores, 0.25, 0.3) == _one_by_one(boxes, scores, 0.3)


def _exactly_one_by_one(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """Return what greedy NMS keeps, every pair's overlap asked for, no bounds looked at."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for i in order:
        others = boxes[kept]
        if not (pair_ious(others, np.repeat(boxes[None, i], len(kept), 0)) > max_iou).any():
            kept.append(int(i))
    return kept


def _grid(rng: np.random.Generator, count: int, heaps: int) -> np.ndarray:
    """Return boxes on whole multiples of 8 px: shared edges, twins and empty ones."""
    boxes = np.round(_boxes(rng, count, heaps) / 8) * 8
    boxes[:, 4] = rng.choice([0, math.pi / 2, -math.pi / 2, math.pi], count)
    return boxes


@pytest.mark.parametrize("make", [_boxes, _grid], ids=["heaped", "on a grid"])
@pytest.mark.parametrize("max_iou", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    ("count", "heaps"),
    [(1, 1), (16, 16), (17, 2), (100, 3), (300, 30), (300, 100), (300, 300), (AHEAD + 90, 600)],
)
def test_bounds_and_blocks_change_no_survivor(
    make: Callable[[np.random.Generator, int, int], np.ndarray],
    count: int,
    heaps: int,
    max_iou: float,
) -> None:
    """Leaving out pairs whose bounds share too little, and deciding in blocks, changes nothing."""
    rng = np.random.default_rng(count + heaps)
    boxes, scores = make(rng, count, heaps), np.round(rng.uniform(0, 1, count), 1)
    assert rotated_nms(boxes, scores, 0.0, max_iou) == _exactly_one_by_one(boxes, scores, max_iou)


@pytest.mark.parametrize("make", [_boxes, _grid], ids=["heaped", "on a grid"])
@pytest.mark.parametrize("max_iou", [0.0, 0.3, 0.9])
def test_few_boxes_keep_the_same_survivors(
    make: Callable[[np.random.Generator, int, int], np.ndarray], max_iou: float
) -> None:
    """As many boxes as most pictures have, decided in plain floats: nothing else is kept."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, FEW + 1))
        boxes = make(rng, count, int(rng.integers(1, 4)))
        scores = np.round(rng.uniform(0, 1, count), 1)
        expected = _exactly_one_by_one(boxes, scores, max_iou)
        assert rotated_nms(boxes, scores, 0.0, max_iou) == expected


def test_a_box_of_negative_size_harms_no_other() -> None:
    """A network that gives a width below zero still has its other boxes merged."""
    boxes = np.array([[5, 5, -4, 9, 0.3], [50, 50, 20, 8, 0], [51, 50, 20, 8, 0]], np.float64)
    assert rotated_nms(boxes, np.array([0.9, 0.8, 0.7]), 0.25, 0.3) == [0, 1]


def test_overlaps_are_those_of_opencv() -> None:
    """Random pairs agree with OpenCV's polygon intersection to its float32, 1e-3."""
    rng = np.random.default_rng(5)
    a, b = _boxes(rng, 500, 8), _boxes(rng, 500, 8)
    expected = [rotated_iou(as_box(p), as_box(q)) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(pair_ious(a, b), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 10, 4, 0), 1.0),
        ((0, 0, 10, 4, math.pi), 1.0),
        ((0, 0, 4, 10, math.pi / 2), 1.0),
        ((5, 0, 10, 4, 0), 1 / 3),
        ((10, 0, 10, 4, 0), 0.0),
        ((0, 0, 4, 4, 0), 0.4),
        ((0, 0, 1, 1, 0.7), 1 / 40),
        ((0, 0, 0, 0, 0), 0.0),
        ((99, 0, 10, 4, 0), 0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.0, -2.0])
def test_overlap_done_on_paper(other: tuple[float, ...], expected: float, angle: float) -> None:
    """Same box, shared edges, one inside the other, touching and empty ones, at any angle."""
    a, b = np.array([[0.0, 0, 10, 4, 0]]), np.array([other], np.float64)
    cos, sin = math.cos(angle), math.sin(angle)
    for box in (a, b):  # turn the whole scene
        x, y = box[0, 0], box[0, 1]
        box[0, 0], box[0, 1] = 300 + x * cos - y * sin, 200 + x * sin + y * cos
        box[0, 4] += angle
    assert pair_ious(a, b)[0] == pytest.approx(expected, abs=1e-6)
    assert pair_ious(b, a)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("heaps", [30, 300])
def test_a_block_at_once_is_many_times_faster_than_pair_by_pair(heaps: int) -> None:
    """300 boxes, heaped or apart, take less than a fifth of the time of one pair at a time."""
    rng = np.random.default_rng(11)
    boxes, scores = _boxes(rng, 300, heaps), rng.uniform(0.3, 1, 300)
    rotated_nms(boxes, scores, 0.25, 0.3)

    def cpu_s(work: Callable[[], object]) -> float:
        started = time.thread_time()
        work()
        return time.thread_time() - started

    at_once = min(cpu_s(lambda: rotated_nms(boxes, scores, 0.25, 0.3)) for _ in range(9))
    one_by_one = min(cpu_s(lambda: _one_by_one(boxes, scores, 0.3)) for _ in range(3))
    print(f"{at_once * 1e3:.2f} ms at once, {one_by_one * 1e3:.2f} ms one by one")
    assert at_once < one_by_one / 5


def test_nms_keeps_the_best_of_each_heap_in_order() -> None:
    """Of two heaps of candidates the best of each stays, best first, the faint one is dropped."""
    boxes = np.array(
        [
            [0, 0, 10, 4, 0.00],
            [0, 0, 10, 4, 0.05],
            [50, 0, 10, 4, 1.0],
            [50, 0, 10, 4, 1.0 + math.pi],
            [90, 0, 10, 4, 0],
        ],
        np.float64,
    )
    scores = np.array([0.7, 0.6, 0.8, 0.9, 0.2])
    assert rotated_nms(boxes, scores, min_score=0.25, max_iou=0.3) == [3, 0]


def test_nms_keeps_crossed_long_parts() -> None:
    """Two long parts lying across each other overlap little and are two parts."""
    boxes = np.array([[0, 0, 40, 4, 0], [0, 0, 40, 4, math.pi / 2]], np.float64)
    assert rotated_nms(boxes, np.array([0.9, 0.8]), 0.25, 0.3) == [0, 1]


def test_nms_of_nothing_is_nothing() -> None:
    """No candidates, no parts."""
    assert rotated_nms(np.zeros((0, 5)), np.zeros(0), 0.25, 0.3) == []


@pytest.mark.parametrize(
    ("boxes", "scores"), [((2, 4), (2,)), ((2, 5), (3,)), ((5,), (1,))], ids=str
)
def test_nms_refuses_arrays_that_do_not_belong_together(
    boxes: tuple[int, ...], scores: tuple[int, ...]
) -> None:
    """Wrong shapes are named instead of silently broadcast."""
    with pytest.raises(ShapeError, match=r"\(n, 5\) boxes"):
        rotated_nms(np.zeros(boxes), np.zeros(scores), 0.25, 0.3)
