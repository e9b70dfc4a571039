"""Upright crops in, scores and maps out: one batched call of inspector.onnx."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_app.backends.protocol import GraphRunner
from edge_app.errors import ModelError, ShapeError
from edge_app.records import Anomaly, U8Array


class Inspector:
    """Scores crops with a bundle's inspector graph.

    Args:
        runner: runs a graph with input `crops` uint8 (n, h, w, 3) BGR and outputs `score`
            float32 (n,) and `map` float32 (n, mh, mw).
        crop_hw: the size every crop must have.
    """

    def __init__(self, runner: GraphRunner, crop_hw: tuple[int, int]) -> None:
        self._runner = runner
        self._crop_hw = crop_hw

    def score(self, crops: Sequence[U8Array]) -> list[Anomaly]:
        """Return one anomaly per crop, in order; an empty list for no crops.

        A NaN score is passed on: the verdict makes it NOT_INSPECTED.

        Raises:
            ShapeError: a crop is not uint8 (h, w, 3) of the bundle's size.
            ModelError: the graph failed or broke its contract.
        """
        if not crops:
            return []
        for crop in crops:
            if crop.shape != (*self._crop_hw, 3) or crop.dtype != np.uint8:
                raise ShapeError(
                    f"the inspector wants uint8 crops of {(*self._crop_hw, 3)}, "
                    f"got {crop.dtype} {crop.shape}"
                )
        outputs = self._runner.run({"crops": np.stack(crops)})  # (n, h, w, 3)
        scores, maps = outputs["score"], outputs["map"]
        if scores.shape != (len(crops),) or maps.ndim != 3 or len(maps) != len(crops):
            raise ModelError(
                f"inspector.onnx returned score {scores.shape} and map {maps.shape} for "
                f"{len(crops)} crops; expected (n,) and (n, mh, mw)"
            )
        return [Anomaly(float(s), m) for s, m in zip(scores, maps, strict=True)]
