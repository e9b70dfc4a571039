"""From which confidence on a detection is a product: read off the pictures the detector learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_app.imaging.oriented_box import as_box, rotated_iou
from edge_app.inspection.detector import Detector
from edge_app.records import Detection
from export.data.yolo_dataset import LabelledPicture

MATCH_IOU = 0.4
LOWEST, HIGHEST = 0.1, 0.5
"""The chosen confidence stays between them: the highest is what most detectors are run with."""

LEAST_SEEN = 0.02
"""Detections below it are ignored."""

TRUE_QUANTILE = 0.002
"""Of the products' confidences: one odd picture in five hundred does not decide alone."""


def choose_min_confidence(
    detector: Detector, pictures: Sequence[LabelledPicture], progress: Callable[[float], None]
) -> float:
    """Return the confidence half-way (geometrically) between the products and everything else.

    Args:
        detector: with `min_confidence` LEAST_SEEN.
        pictures: with every product labelled; parts cut by the border are covered in them.
    """
    true: list[float] = []
    other = [LEAST_SEEN]
    for number, picture in enumerate(pictures, 1):
        found = detector.find(picture.pixels())
        is_product = [_matches(d, picture) for d in found]
        true += [d.confidence for d, yes in zip(found, is_product, strict=True) if yes]
        other += [d.confidence for d, yes in zip(found, is_product, strict=True) if not yes]
        progress(number / len(pictures))
    if not true:
        return HIGHEST
    weakest = float(np.quantile(true, TRUE_QUANTILE))
    return round(float(np.clip(np.sqrt(weakest * max(other)), LOWEST, HIGHEST)), 3)


def _matches(detection: Detection, picture: LabelledPicture) -> bool:
    return any(
        rotated_iou(detection.box_cxcywhr, as_box(row)) >= MATCH_IOU
        for row in picture.boxes_cxcywhr
    )
