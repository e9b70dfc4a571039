"""A simple baseline: compare each upright crop with the mean good crop, pixel by pixel, in standard
deviations of that pixel over the good parts.

It uses our detector, upright crop and registration, and the product's pixels only. Its threshold is
set with the test parts' ground truth, to the stated false-alarm rate on the test's good parts,
which favours the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.demo.scoring import Scoreboard
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import whole_products
from edge_app.records import F32Array, FrameReport, JsonObject, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS, Product

TRAINING_PARTS = 100
SMOOTHING_PX = 2.0
"""Standard deviation of the blur before the maximum: single noisy pixels do not decide."""


MIN_SPREAD_GREY = 3.0
"""Grey levels; a pixel steadier than this would alarm on noise alone."""


def good_look(
    model: LoadedModel, product: Product, parts: int = TRAINING_PARTS
) -> tuple[F32Array, F32Array]:
    """Return mean and spread of good training parts' upright crops, each float32 (h, w).

    Outside the product the spread is infinite, because the belt differs every time.
    """
    line = good_line(SimulatorConfig(product=product, seed=SEEDS["training"]))
    crops: list[U8Array] = []
    for number in range(1, parts + 1):
        pixels, _ = line.single(number)
        crops += [crop for _, crop in whole_products(model, pixels)]
    grey = np.stack([_grey(crop) for crop in crops])
    mean, spread = grey.mean(axis=0), np.maximum(grey.std(axis=0), MIN_SPREAD_GREY)
    return mean, np.where(_product_of(mean), spread, np.float32(np.inf))


def _product_of(mean: F32Array) -> np.ndarray:
    """Return bool (h, w): the class of grey levels (Otsu) that fills the middle of the crop."""
    _, bright = cv2.threshold(mean.astype(np.uint8), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    h, w = mean.shape
    middle = bright[h // 4 : h - h // 4, w // 4 : w - w // 4]
    return np.asarray(bright == int(middle.mean() > 0.5))


def _grey(crop: U8Array) -> F32Array:
    """Return a crop's smoothed grey levels, float32 (h, w)."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), SMOOTHING_PX), np.float32)


class MeanDifference:
    """Scores the same crops as the line, by their largest difference from the mean good crop."""

    def __init__(self, look: tuple[F32Array, F32Array], spec: CropSpec) -> None:
        self._mean, self._spread = look
        self._spec = spec
        self._scores: dict[str, float] = {}

    def take(self, report: FrameReport) -> None:
        """Score every view the line judged in this frame; a part keeps its largest score."""
        for view in report.views:
            if view.part_id not in report.anomalies:
                continue
            box = view.detection.box_cxcywhr
            crop = upright_crop(report.frame.pixels_hwc, box, self._spec)
            score = float((np.abs(_grey(crop) - self._mean) / self._spread).max())
            self._scores[view.part_id] = max(score, self._scores.get(view.part_id, 0.0))

    def summary(self, board: Scoreboard, false_alarm_rate: float) -> JsonObject:
        """Return its recall at that false-alarm rate on the test's good parts."""
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
    """Return the share of bad scores above the lowest threshold within the rate."""
    if not good or not bad:
        return None
    allowed = int(rate * len(good))
    threshold = sorted(good, reverse=True)[min(allowed, len(good) - 1)]
    return round(sum(s > threshold for s in bad) / len(bad), 4)
