"""How far a detector in training is off, on labelled pictures that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edge_app.imaging.oriented_box import as_box, axis_difference_rad, long_side_first, rotated_iou
from edge_app.imaging.rotated_nms import rotated_nms
from edge_app.records import BoxCxcywhr, F64Array
from export.detector.augment import Scene

SEEN_AT = 0.05
MAX_IOU = 0.3
TOP_K = 64
MATCH_IOU = 0.3

WORST_SHARE = 0.9
"""Errors are read at this quantile: one odd picture in ten does not decide."""

HAS_CORNERS = 1.15
"""Below this ratio of sides a box looks the same after a quarter turn."""


@dataclass(frozen=True, slots=True)
class PoseErrors:
    """Of the labelled parts of the reserved scenes; quantiles at WORST_SHARE of the found ones.

    Attributes:
        missed: share of the parts without a detection, 0..1.
        centre: distance of the centres over the part's longer side.
        size: larger of the two sides' differences, as a logarithm.
        angle_deg: between the axes.
        confidence: at 1 − WORST_SHARE of all parts, 0 where one is missed.
        overlap: mean of 1 − IoU over all parts; a missed part counts 1.
    """

    missed: float
    centre: float
    size: float
    angle_deg: float
    confidence: float
    overlap: float


def pose_errors(network: nn.Module, scenes: Sequence[Scene], device: str) -> PoseErrors:
    """Return the errors of a network in evaluation mode.

    Args:
        network: YOLO-OBB of one class or more; its classes are not told apart here.
        scenes: letterboxed alike, with every part labelled.
    """
    parts = [part for scene in scenes for part in _parts(network, scene, device)]
    found = np.array([p for p in parts if p is not None], np.float64).reshape(-1, 5)
    count = max(1, len(parts))
    if not len(found):
        return PoseErrors(1.0, math.inf, math.inf, math.inf, 0.0, 1.0)
    centre, size, angle = np.quantile(found[:, :3], WORST_SHARE, axis=0)
    missed = 1 - len(found) / count
    confidences = np.concatenate([found[:, 3], np.zeros(count - len(found))])
    return PoseErrors(
        missed=missed,
        centre=float(centre),
        size=float(size),
        angle_deg=float(angle),
        confidence=float(np.quantile(confidences, 1 - WORST_SHARE)),
        overlap=float((1 - found[:, 4]).sum() / count + missed),
    )


_Part = tuple[float, float, float, float, float]
"""Centre, size and angle error, confidence, IoU."""


def _parts(network: nn.Module, scene: Scene, device: str) -> Iterator[_Part | None]:
    boxes, confidences = _detections(network, scene, device)
    for row in scene.boxes_cxcywhr:
        truth = as_box(row)
        ious = [rotated_iou(box, truth) for box in boxes]
        best = int(np.argmax(ious)) if ious else -1
        if best < 0 or ious[best] < MATCH_IOU:
            yield None
        else:
            yield (*_errors(boxes[best], truth), confidences[best], ious[best])


def _errors(found: BoxCxcywhr, truth: BoxCxcywhr) -> tuple[float, float, float]:
    a, b = long_side_first(found), long_side_first(truth)
    period = math.pi if b[2] >= HAS_CORNERS * b[3] else math.pi / 2
    centre = math.dist(a[:2], b[:2]) / b[2]
    size = max(abs(math.log(max(a[i], 1e-6) / b[i])) for i in (2, 3))
    return centre, size, math.degrees(axis_difference_rad(a[4], b[4], period))


@torch.no_grad()
def _detections(
    network: nn.Module, scene: Scene, device: str
) -> tuple[list[BoxCxcywhr], list[float]]:
    planes = np.ascontiguousarray(scene.pixels_hwc[..., ::-1].transpose(2, 0, 1))[None]
    columns = network(torch.from_numpy(planes).to(device).float() / 255)[0][0]  # (4 + c + 1, n)
    confidence = columns[4:-1].amax(dim=0)
    best, index = confidence.topk(min(TOP_K, confidence.numel()))
    rows: F64Array = torch.cat([columns[:4], columns[-1:]])[:, index].T.double().cpu().numpy()
    scores = best.double().cpu().numpy()
    keep = rotated_nms(rows, scores, SEEN_AT, MAX_IOU)
    return [as_box(rows[i]) for i in keep], [float(scores[i]) for i in keep]
