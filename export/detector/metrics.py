"""How well a detector finds products: average precision of rotated boxes, and angle errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.oriented_box import as_box, axis_difference_rad, rotated_iou
from edge_app.records import BoxCxcywhr, Detection, F64Array, U8Array
from export.data.yolo_dataset import LabelledPicture

IOU_STEPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class DetectorMetrics:
    """One class, all pictures together.

    Attributes:
        parts: labelled parts.
        missed: labelled parts without a detection at IoU 0.5.
        extra: detections that match no part at IoU 0.5.
        map50: average precision at IoU 0.5, 0..1.
        map50_95: mean over IoU 0.5, 0.55, ..., 0.95.
        median_iou: of the matched parts; NaN without any.
        angle_errors_deg: of the matched parts, ascending.
    """

    parts: int
    missed: int
    extra: int
    map50: float
    map50_95: float
    median_iou: float
    angle_errors_deg: tuple[float, ...]

    @property
    def median_angle_error_deg(self) -> float:
        return float(np.median(self.angle_errors_deg)) if self.angle_errors_deg else math.nan


def evaluate_detector(
    find: Callable[[U8Array], list[Detection]],
    pictures: Iterable[LabelledPicture],
    period_rad: float = math.pi,
) -> DetectorMetrics:
    """Return how well `find` finds the labelled parts of unseen pictures.

    Args:
        find: e.g. `Detector.find`; give it a low `min_confidence`, or the precision-recall curve
            ends early.
        pictures: with every part labelled.
        period_rad: the turn after which a part looks the same: π for axes, π/2 for squares.
    """
    found: list[list[Detection]] = []
    truths: list[list[BoxCxcywhr]] = []
    for picture in pictures:
        found.append(find(picture.pixels()))
        truths.append([as_box(row) for row in picture.boxes_cxcywhr])
    return metrics_of(found, truths, period_rad)


def metrics_of(
    found: Sequence[Sequence[Detection]],
    truths: Sequence[Sequence[BoxCxcywhr]],
    period_rad: float = math.pi,
) -> DetectorMetrics:
    """Return the metrics of detections beside the true boxes, picture by picture."""
    parts = sum(len(boxes) for boxes in truths)
    curve = [average_precision(found, truths, iou) for iou in IOU_STEPS]
    matches = [match for f, t in zip(found, truths, strict=True) for match in _matched(f, t)]
    errors = sorted(
        math.degrees(axis_difference_rad(a[4], b[4], period_rad)) for a, b, _ in matches
    )
    return DetectorMetrics(
        parts=parts,
        missed=parts - len(matches),
        extra=sum(len(f) for f in found) - len(matches),
        map50=curve[0],
        map50_95=float(np.mean(curve)),
        median_iou=float(np.median([iou for _, _, iou in matches])) if matches else math.nan,
        angle_errors_deg=tuple(errors),
    )


def average_precision(
    found: Sequence[Sequence[Detection]],
    truths: Sequence[Sequence[BoxCxcywhr]],
    min_iou: float,
) -> float:
    """Return the area under the precision-recall curve, 0..1 (all points, precision monotone).

    Every detection takes the free part it overlaps most, the most confident choosing first.
    """
    parts = sum(len(boxes) for boxes in truths)
    ranked: list[tuple[float, bool]] = []
    for detections, boxes in zip(found, truths, strict=True):
        ranked += _ranked(detections, boxes, min_iou)
    if parts == 0 or not ranked:
        return 0.0
    ranked.sort(key=lambda pair: -pair[0])
    right = np.cumsum([is_right for _, is_right in ranked])
    precision: F64Array = right / np.arange(1, len(ranked) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], right / parts])
    return float(np.sum(np.diff(recall) * precision))


def _ranked(
    detections: Sequence[Detection], boxes: Sequence[BoxCxcywhr], min_iou: float
) -> list[tuple[float, bool]]:
    taken = {id(d) for d, _, _ in _assigned(detections, boxes, min_iou)}
    return [(d.confidence, id(d) in taken) for d in detections]


def _matched(
    detections: Sequence[Detection], boxes: Sequence[BoxCxcywhr]
) -> list[tuple[BoxCxcywhr, BoxCxcywhr, float]]:
    """Return (found, true, IoU) of every matched part."""
    pairs = _assigned(detections, boxes, MATCH_IOU)
    return [(d.box_cxcywhr, boxes[i], iou) for d, i, iou in pairs]


def _assigned(
    detections: Sequence[Detection], boxes: Sequence[BoxCxcywhr], min_iou: float
) -> list[tuple[Detection, int, float]]:
    free = set(range(len(boxes)))
    assigned = []
    for detection in sorted(detections, key=lambda d: -d.confidence):
        overlap = {i: rotated_iou(detection.box_cxcywhr, boxes[i]) for i in sorted(free)}
        best = max(overlap, key=lambda i: overlap[i], default=None)
        if best is not None and overlap[best] >= min_iou:
            free.remove(best)
            assigned.append((detection, best, overlap[best]))
    return assigned
