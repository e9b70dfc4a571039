"""From a frame to the products in it: letterbox → graph → confidence → rotated NMS → Detection.

The graph gives its best k candidates in letterbox pixels; overlapping
candidates are merged here, because rotated NMS is no operator of ONNX or TensorRT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_app.backends.protocol import AnyArray, GraphRunner, check_contract
from edge_app.errors import ModelError
from edge_app.imaging.oriented_box import as_box, long_side_first, wrap_half_turn
from edge_app.imaging.rotated_nms import rotated_nms
from edge_app.imaging.upright_crop import Letterbox, Shrink, letterbox
from edge_app.records import BoxCxcywhr, Detection, F64Array, U8Array

COLUMNS = 7
"""cx, cy, w, h, angle_rad, confidence, class: one row of the graph's output."""

ONE_CENTRE, ONE_SIZE = 0.35, 1.5
"""Two boxes whose centres are nearer than this share of the better one's shorter side, and whose
areas differ by no more than this factor, are one part: two cannot lie in one place. A long part's
second box, turned by 50 degrees, shares a fifth of its area only, and no overlap limit that
neighbours may have would drop it (2 of 3,000 simulated parts; centres 0.17 and 0.19 apart). Parts
of one size that lie beside each other, touching, are 1 apart."""


class Detector:
    """Finds products in frames.

    Args:
        runner: a detector graph: `image` uint8 (1, h, w, 3) BGR → `boxes` float32 (1, k, 7).
        input_hw: (height, width) of the letterboxed input.
        min_confidence: 0..1; candidates below it are dropped.
        max_iou: 0..1; of two candidates that overlap by more, the less confident is dropped.
        product_class_names: one per class of the graph.
        has_axis: the product is clearly longer than wide. Its boxes come with w >= h, so that the
            angle is the long axis and never jumps by a quarter turn. Without an axis (round and
            square parts) the graph's own rectangle is kept: swapping its sides by which is longer
            by a fraction of a pixel would make such jumps.
        shrink: how frames are made smaller, as when the graph was trained.

    Raises:
        ModelError: the runner is not a detector for this input.
    """

    def __init__(
        self,
        runner: GraphRunner,
        input_hw: tuple[int, int],
        min_confidence: float,
        max_iou: float,
        product_class_names: Sequence[str],
        has_axis: bool = True,
        shrink: Shrink = "area",
    ) -> None:
        _check_graph(runner, input_hw)
        self._runner = runner
        self._input_hw = input_hw
        self._min_confidence = min_confidence
        self._max_iou = max_iou
        self._class_count = len(product_class_names)
        self._has_axis = has_axis
        self._shrink: Shrink = shrink
        self._image = np.empty((*input_hw, 3), np.uint8)

    @property
    def may_run_beside(self) -> bool:
        """Another thread may run it while the inspector runs in this one."""
        return self._runner.describe().may_run_beside

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        """Return the products in a frame, most confident first.

        Args:
            pixels_hwc: uint8 (h, w, 3), BGR.

        Returns:
            Detections in frame pixels; the angle is the axis, in [−π/2, π/2).

        Raises:
            ShapeError: the frame is empty or not uint8 (h, w, 3).
            ModelError: the graph failed or its output breaks the contract (NaN included).
        """
        image, mapping = letterbox(pixels_hwc, self._input_hw, self._shrink, self._image)
        outputs = self._runner.run({"image": image[None]})
        rows = checked_rows(outputs["boxes"])
        keep = rotated_nms(rows[:, :5], rows[:, 5], self._min_confidence, self._max_iou)
        rows = rows[keep]
        return [self._detection(rows[i], mapping) for i in one_per_place(rows[:, :5])]

    def _detection(self, row: F64Array, mapping: Letterbox) -> Detection:
        class_id = int(row[6])
        if not 0 <= class_id < self._class_count:
            raise ModelError(
                f"The detector named class {class_id}, the bundle has {self._class_count} product "
                "classes. Graph and manifest do not belong together: build the bundle again."
            )
        box = self._canonical(mapping.box_to_frame(as_box(row[:5])))
        return Detection(box, float(row[5]), class_id)

    def _canonical(self, box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
        if self._has_axis:
            return long_side_first(box_cxcywhr)
        cx, cy, w, h, angle_rad = box_cxcywhr
        return cx, cy, w, h, wrap_half_turn(angle_rad)


def one_per_place(boxes_cxcywhr: F64Array) -> list[int]:
    """Return the indices of the boxes that are no second box of a better one's part.

    Args:
        boxes_cxcywhr: (n, 5) float64, best first.
    """
    boxes: list[list[float]] = boxes_cxcywhr.tolist()
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not any(_is_second_of(boxes[k], box) for k in kept):
            kept.append(i)
    return kept


def _is_second_of(better: Sequence[float], box: Sequence[float]) -> bool:
    x, y, w, h, _ = better
    if math.hypot(x - box[0], y - box[1]) >= ONE_CENTRE * min(w, h):
        return False
    smaller, larger = sorted((w * h, box[2] * box[3]))
    return larger <= ONE_SIZE * smaller


def checked_rows(boxes: AnyArray) -> F64Array:
    """Return the graph's candidates as (k, 7) float64.

    Raises:
        ModelError: another shape, or a value that is not finite.
    """
    if boxes.ndim != 3 or boxes.shape[0] != 1 or boxes.shape[2] != COLUMNS:
        raise ModelError(
            f"The detector's `boxes` must be (1, k, {COLUMNS}), got {boxes.shape}. "
            "Export the detector again with edge-export."
        )
    rows: F64Array = boxes[0].astype(np.float64)
    if not np.isfinite(rows).all():
        raise ModelError(
            f"The detector returned {int((~np.isfinite(rows)).sum())} values that are not finite; "
            "nothing in this frame can be judged."
        )
    return rows


def _check_graph(runner: GraphRunner, input_hw: tuple[int, int]) -> None:
    info = runner.describe()
    check_contract(info, ("image",), ("boxes",))
    image = info.inputs[0]
    wanted: tuple[int | None, ...] = (1, *input_hw, 3)
    fits = len(image.shape) == len(wanted) and all(
        has in (None, want) for has, want in zip(image.shape, wanted, strict=True)
    )
    if image.dtype != "uint8" or not fits:
        raise ModelError(
            f"The detector takes {image}, the manifest says uint8 {wanted}. "
            "They do not belong together: build the bundle again."
        )
