"""Scores and maps become verdicts and defect outlines. Pure functions, no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.imaging.upright_crop import CropSpec, crop_to_frame
from edge_app.records import (
    MAX_DEFECTS,
    Anomaly,
    BoxCxcywhr,
    Defect,
    F32Array,
    F64Array,
    PointXy,
    VerdictState,
)

WEAK_BOX_FRACTION = 0.1
"""Side of a weak localisation's box as a fraction of the crop's shorter side."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds in force: the bundle's, or a person's override.

    Attributes:
        score_threshold: `score >= score_threshold` is NG.
        map_threshold: areas above it are defects.
        threshold_id: names them in every message.
        suspect_threshold: an OK part with `score >= suspect_threshold` is suspect; None: none is.
        clear_recall: share of large synthetic defects at or above the bundle's own threshold; None:
            nobody has measured it.
    """

    score_threshold: float
    map_threshold: float
    threshold_id: str
    suspect_threshold: float | None = None
    clear_recall: float | None = None


def judge_score(score: float, limits: Limits) -> tuple[VerdictState, str]:
    """Return the verdict for a score and, for NOT_INSPECTED, its reason. NaN is never good."""
    if not math.isfinite(score):
        return VerdictState.NOT_INSPECTED, "not_finite"
    if score >= limits.score_threshold:
        return VerdictState.NG, ""
    return VerdictState.OK, ""


def is_suspect(score: float, limits: Limits) -> bool:
    """Return whether a part with this score is OK and still worth a look. NaN is not OK."""
    suspect = limits.suspect_threshold
    return suspect is not None and suspect <= score < limits.score_threshold


def is_seen(defect: Defect, frame_hw: tuple[int, int]) -> bool:
    """Return whether a defect above the map threshold lies in the frame, by its box's middle."""
    x0, y0, x1, y1 = defect.box_xyxy
    h, w = frame_hw
    inside = 0 <= (x0 + x1) / 2 <= w - 1 and 0 <= (y0 + y1) / 2 <= h - 1
    return inside and not defect.weak_localisation


def find_defects(
    anomaly: Anomaly, box_cxcywhr: BoxCxcywhr, spec: CropSpec, limits: Limits
) -> tuple[Defect, ...]:
    """Return the outlines of the areas above the map threshold, strongest first, in frame pixels.

    Where nothing passes the threshold the map's maximum is returned, marked weak. A map that is
    not finite everywhere has no outlines.

    Args:
        anomaly: score and (mh, mw) map of the crop.
        box_cxcywhr: the product's box the crop was cut from.
        spec: how it was cut.
    """
    map_hw = anomaly.map_hw
    if map_hw.size == 0 or not np.isfinite(map_hw).all():
        return ()
    to_frame = crop_to_frame(box_cxcywhr, spec)  # (2, 3)
    smooth = _map_at_crop_size(map_hw, spec.crop_hw)
    mask = (smooth >= limits.map_threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    defects = [_defect(smooth, contour, to_frame) for contour in contours]
    if not defects:
        return (_weakest_guess(smooth, to_frame),)
    return tuple(sorted(defects, key=lambda d: -d.peak)[:MAX_DEFECTS])


def _map_at_crop_size(map_hw: F32Array, crop_hw: tuple[int, int]) -> F32Array:
    resized = cv2.resize(map_hw, (crop_hw[1], crop_hw[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def _defect(smooth: F32Array, contour: np.ndarray, to_frame: F64Array) -> Defect:
    inside = np.zeros(smooth.shape, np.uint8)
    cv2.drawContours(inside, [contour], -1, 1, thickness=cv2.FILLED)
    peak = float(smooth[inside > 0].max())
    points = contour.reshape(-1, 2).astype(np.float64)
    if len(points) < 3:  # one or two pixels: their own square outline
        (x0, y0), (x1, y1) = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return _in_frame(points, peak, to_frame)


def _weakest_guess(smooth: F32Array, to_frame: F64Array) -> Defect:
    y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
    half = max(1.0, WEAK_BOX_FRACTION * min(smooth.shape) / 2)
    points = np.array([[x - half, y - half], [x + half, y - half],
                       [x + half, y + half], [x - half, y + half]])  # fmt: skip
    return _in_frame(points, float(smooth.max()), to_frame, is_weak=True)


def _in_frame(
    points_xy: F64Array, peak: float, to_frame: F64Array, is_weak: bool = False
) -> Defect:
    moved = points_xy @ to_frame[:, :2].T + to_frame[:, 2]  # (n, 2)
    (x0, y0), (x1, y1) = moved.min(axis=0), moved.max(axis=0)
    polygon: tuple[PointXy, ...] = tuple((float(x), float(y)) for x, y in moved)
    return Defect(
        polygon, (float(x0), float(y0), float(x1), float(y1)), peak, weak_localisation=is_weak
    )
