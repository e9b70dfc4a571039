"""The defect classifier: regions round found defects go through classifier.onnx.

All regions of a part go in one batch. Training cuts them with `region_of` too, so device and
workstation see the same pixels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edge_app.backends.protocol import GraphRunner
from edge_app.errors import ModelError
from edge_app.imaging.defect_region import UNKNOWN, RegionSpec, region_of
from edge_app.records import BoxCxcywhr, Defect, F32Array, U8Array

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guess:
    """What the classifier says of one region.

    Attributes:
        kind: the most probable defect class, or UNKNOWN.
        probability: its softmax, 0..1; NaN when the logits were not finite.
    """

    kind: str
    probability: float


@dataclass(frozen=True, slots=True)
class Classified:
    """A part's defects with their classes; `failed` are UNKNOWN because the classifier failed."""

    defects: tuple[Defect, ...]
    failed: int = 0


class DefectNamer(Protocol):
    """Gives a part's defects their classes."""

    def name(
        self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, defects: tuple[Defect, ...]
    ) -> Classified: ...


def guess_classes(logits: F32Array, classes: Sequence[str], threshold: float) -> list[Guess]:
    """Return each region's most probable class, UNKNOWN when its softmax is not above T.

    Args:
        logits: (m, c) float32; a row that is not finite is UNKNOWN with probability NaN.
        classes: c names.
        threshold: T, 0..1.
    """
    guesses = []
    for row in logits.astype(np.float64):
        if not np.isfinite(row).all():
            guesses.append(Guess(UNKNOWN, math.nan))
            continue
        powers = np.exp(row - row.max())
        best = int(powers.argmax())
        probability = float(powers[best] / powers.sum())
        guesses.append(Guess(classes[best] if probability > threshold else UNKNOWN, probability))
    return guesses


class DefectClassifier:
    """Names defects with a bundle's classifier graph.

    Args:
        runner: runs a graph with input `regions` uint8 (m, h, w, 3) BGR and output `logits`
            float32 (m, c).
        spec: how regions are cut.
        classes: c names, in the order of the logits.
        threshold: softmax at or below it is UNKNOWN, 0..1.
    """

    def __init__(
        self, runner: GraphRunner, spec: RegionSpec, classes: Sequence[str], threshold: float
    ) -> None:
        self._runner = runner
        self._spec = spec
        self._classes = tuple(classes)
        self._threshold = threshold

    def name(
        self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, defects: tuple[Defect, ...]
    ) -> Classified:
        """Return the defects with their classes; UNKNOWN and counted where the graph fails."""
        if not defects:
            return Classified(())
        angle_rad = box_cxcywhr[4]
        regions = [region_of(pixels_hwc, d.polygon_xy, angle_rad, self._spec) for d in defects]
        try:
            guesses = self.guess(np.stack(regions))
        except ModelError as error:
            _log.error("Classifier failed on %d regions: %s", len(regions), error)
            return Classified(defects, len(defects))
        named = tuple(replace(d, kind=g.kind) for d, g in zip(defects, guesses, strict=True))
        return Classified(named, sum(math.isnan(g.probability) for g in guesses))

    def guess(self, regions: U8Array) -> list[Guess]:
        """Return one guess per region.

        Args:
            regions: uint8 (m, h, w, 3) BGR.

        Raises:
            ModelError: the graph failed or broke its contract.
        """
        logits = self._runner.run({"regions": regions})["logits"]
        if logits.shape != (len(regions), len(self._classes)):
            raise ModelError(
                f"classifier.onnx returned logits {logits.shape} for {len(regions)} regions and "
                f"{len(self._classes)} classes; expected (m, c). Build the bundle again."
            )
        return guess_classes(logits, self._classes, self._threshold)
