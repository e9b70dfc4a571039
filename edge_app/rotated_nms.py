"""Greedy rotated NMS: of overlapping boxes the most confident stays.

All overlaps of a block of boxes are computed at once: 300 boxes in 30 heaps take 0.8 ms instead
of 9 ms one pair at a time, nearly all apart 2.3 ms instead of 63 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import ShapeError
from edge_app.records import F64Array

FIRST_BLOCK = 16
BLOCK = 64
"""Boxes decided at a time: a few first, because round one product they drop most of the others,
then more. 300 boxes on a busy core: in 30 heaps 0.82 ms, in 2 heaps 0.50 ms (1.44 ms without the
small first block), nearly all apart 2.3 ms; 100 in 3 heaps 0.33 ms (0.90 ms)."""

_TOUCH = 1e-9
"""Edges of one box shrink by this share against the other, so that shared edges count once."""


def rotated_nms(
    boxes_cxcywhr: F64Array, scores: F64Array, min_score: float, max_iou: float
) -> list[int]:
    """Return the indices of the boxes to keep, best first.

    Args:
        boxes_cxcywhr: (n, 5) float64.
        scores: (n,) float64, 0..1.
        min_score: boxes below it are dropped first.
        max_iou: a box overlapping a better one by more is dropped.

    Raises:
        ShapeError: the arrays do not belong together.
    """
    if boxes_cxcywhr.ndim != 2 or boxes_cxcywhr.shape[1] != 5 or len(scores) != len(boxes_cxcywhr):
        raise ShapeError(
            f"rotated_nms wants (n, 5) boxes and (n,) scores, got {boxes_cxcywhr.shape} and "
            f"{scores.shape}"
        )
    left = np.argsort(-scores, kind="stable")
    left = left[scores[left] >= min_score]
    bounds = _bounds(boxes_cxcywhr)
    kept: list[int] = []
    size = FIRST_BLOCK
    while len(left):
        block, rest = left[:size], left[size:]
        size = BLOCK
        best = _greedy(block, boxes_cxcywhr, bounds, max_iou)
        kept += best.tolist()
        if not len(rest):
            break
        first, second = _near(best, rest, bounds, max_iou)
        is_over = pair_ious(boxes_cxcywhr[best[first]], boxes_cxcywhr[rest[second]]) > max_iou
        stays = np.ones(len(rest), bool)
        stays[second[is_over]] = False
        left = rest[stays]
    return kept


def pair_ious(a: F64Array, b: F64Array) -> F64Array:
    """Return the (n,) intersection over union of n pairs of oriented boxes, 0..1.

    Args:
        a, b: (n, 5) float64 cxcywhr.

    The intersection's outline is made of pieces of both outlines; by Green's theorem its area is
    half the sum of the cross products of each piece's ends.
    """
    count = len(a)
    if not count:
        return np.zeros(0)
    corners = _corners(np.concatenate([a, b]))  # (2n, 4, 2)
    apart = a[:, :2] - b[:, :2]
    corners[:count] += apart[:, None]  # all about b's centre
    # a's outline in b, then b's outline in a: of an edge that both share one must count.
    offset = np.concatenate([np.zeros_like(apart), -apart])
    keep = np.repeat([1.0 + _TOUCH, 1.0 - _TOUCH], count)
    pieces = _outline_inside(corners, offset, np.concatenate([b, a]), keep)
    inter = np.maximum(pieces[:count] + pieces[count:], 0.0)
    union = a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def _outline_inside(corners: F64Array, offset: F64Array, box: F64Array, keep: F64Array) -> F64Array:
    """Return half the cross products of each outline's pieces inside another box, (n,).

    Args:
        corners: (n, 4, 2) the outline, about the common origin.
        offset: (n, 2) what makes it about the box's centre.
        box: (n, 5).
        keep: (n,) the box's size that counts, 1 but for a hair.
    """
    cos, sin = np.cos(box[:, 4])[:, None], np.sin(box[:, 4])[:, None]
    x, y = corners[..., 0], corners[..., 1]  # (n, 4)
    about_x, about_y = x + offset[:, :1], y + offset[:, 1:]
    half = box[:, 2:4] * (keep / 2)[:, None]
    enter_x, leave_x = _between(about_x * cos + about_y * sin, half[:, :1])
    enter_y, leave_y = _between(about_y * cos - about_x * sin, half[:, 1:])
    length = np.minimum(np.minimum(leave_x, leave_y), 1.0)
    length -= np.maximum(np.maximum(enter_x, enter_y), 0.0)
    # of the piece from p + enter d to p + leave d: cross = (leave − enter) cross(p, d)
    crosses = x * y[:, _NEXT] - y * x[:, _NEXT]
    return np.asarray((np.maximum(length, 0.0) * crosses).sum(axis=1) / 2)


def _between(start: F64Array, half: F64Array) -> tuple[F64Array, F64Array]:
    """Return where along each edge, 0..1 from corner to corner, it enters and leaves a slab."""
    step = start[:, _NEXT] - start
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - start) / step, (half - start) / step
    # An edge along the slab gives ±inf, which is right; exactly on its border NaN: it is inside.
    return np.fmin(one, other), np.fmax(one, other)


def _greedy(
    block: NDArray[np.intp], boxes: F64Array, bounds: F64Array, max_iou: float
) -> NDArray[np.intp]:
    """Return those of a block, best first, that no better one of it overlaps."""
    drops = np.zeros((len(block), len(block)), bool)
    first, second = _near(block, block, bounds, max_iou)
    is_pair = first < second
    first, second = first[is_pair], second[is_pair]
    drops[first, second] = pair_ious(boxes[block[first]], boxes[block[second]]) > max_iou
    stays = np.ones(len(block), bool)
    for i in np.flatnonzero(drops.any(axis=1)):
        if stays[i]:
            stays &= ~drops[i]
    return block[stays]


def _bounds(boxes: F64Array) -> F64Array:
    """Return each box's axis-aligned bounds and its area, (5, n): x0, y0, x1, y1, area."""
    cos, sin = np.abs(np.cos(boxes[:, 4])), np.abs(np.sin(boxes[:, 4]))
    x, y, w, h = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
    half_w, half_h = (w * cos + h * sin) / 2, (w * sin + h * cos) / 2
    return np.stack([x - half_w, y - half_h, x + half_w, y + half_h, w * h])


def _near(
    a: NDArray[np.intp], b: NDArray[np.intp], bounds: F64Array, max_iou: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions in `a` and in `b` of every pair that may overlap by more than allowed.

    What two boxes share is at most what their bounds share.
    """
    one, other = bounds[:, a, None], bounds[:, None, b]  # (5, n, 1), (5, 1, m)
    wide = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    high = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
    first, second = np.nonzero(shared * (1.0 + max_iou) > max_iou * (one[4] + other[4]))
    return first, second


def _corners(boxes: F64Array) -> F64Array:
    """Return the corners about each box's own centre, (n, 4, 2), clockwise on screen."""
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = np.stack([cos, sin], axis=1) * (boxes[:, 2, None] / 2)  # (n, 2)
    across = np.stack([-sin, cos], axis=1) * (boxes[:, 3, None] / 2)
    return np.asarray(along[:, None] * _SIGNS[:, :1] + across[:, None] * _SIGNS[:, 1:])


_SIGNS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
_NEXT = [1, 2, 3, 0]
