"""What the obvious method would do: compare each upright crop with the mean good crop.

It gets our detector, our upright crop and, for its threshold, the test parts' own truth: the
threshold that alarms on the stated share of the test's good parts. The product has to beat that.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.crop import CropSpec, upright_crop
from edge_app.demo.scoring import Scoreboard
from edge_app.model import LoadedModel
from edge_app.offline import whole_products
from edge_app.records import F32Array, FrameReport, JsonObject, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS, Product

TRAINING_PARTS = 100
SMOOTHING_PX = 2.0
"""Standard deviation of the blur before the maximum: single noisy pixels do not decide."""


def mean_good_crop(model: LoadedModel, product: Product, parts: int = TRAINING_PARTS) -> F32Array:
    """Return the mean upright crop of good training parts, float32 (h, w, 3)."""
    line = good_line(SimulatorConfig(product=product, seed=SEEDS["training"]))
    crops: list[U8Array] = []
    for number in range(1, parts + 1):
        pixels, _ = line.single(number)
        boxes = whole_products(model.finder, model.pose, pixels, model.fills_frame)
        crops += [upright_crop(pixels, box, model.spec) for box in boxes]
    return np.asarray(np.mean(np.stack(crops), axis=0, dtype=np.float64), np.float32)


class MeanDifference:
    """Scores the same crops as the line, by their largest smoothed difference from the mean."""

    def __init__(self, mean: F32Array, spec: CropSpec) -> None:
        self._mean = mean
        self._spec = spec
        self._scores: dict[str, float] = {}

    def take(self, report: FrameReport) -> None:
        """Score every view the line judged in this frame; a part keeps its largest score."""
        for view in report.views:
            if view.part_id not in report.anomalies:
                continue
            box = view.detection.box_cxcywhr
            crop = upright_crop(report.frame.pixels_hwc, box, self._spec)
            difference = np.abs(crop.astype(np.float32) - self._mean).mean(axis=2)
            score = float(cv2.GaussianBlur(difference, (0, 0), SMOOTHING_PX).max())
            self._scores[view.part_id] = max(score, self._scores.get(view.part_id, 0.0))

    def summary(self, board: Scoreboard, false_alarm_rate: float) -> JsonObject:
        """Return its recall at that share of the test's good parts alarmed."""
        by_part: dict[int, float] = {}
        for part_id, score in self._scores.items():
            number = board.number_of(part_id)
            if number is not None:
                by_part[number] = max(score, by_part.get(number, 0.0))
        bad = [s for n, s in by_part.items() if board.defect_of(n)]
        good = [s for n, s in by_part.items() if not board.defect_of(n)]
        return {
            "method": "mean image difference, threshold from the test's own good parts",
            "false_alarm_rate": false_alarm_rate,
            "recall": recall_at(good, bad, false_alarm_rate),
        }


def recall_at(good: Sequence[float], bad: Sequence[float], rate: float) -> float | None:
    """Return the share of bad scores above the lowest threshold that keeps the rate."""
    if not good or not bad:
        return None
    allowed = int(rate * len(good))
    threshold = sorted(good, reverse=True)[min(allowed, len(good) - 1)]
    return round(sum(s > threshold for s in bad) / len(bad), 4)
