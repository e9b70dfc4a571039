"""How well a bundle's detector finds the simulated line's parts on scenes nobody trained on.

    python -m benchmarks.simulated_detection --bundle B --product tapered

Scenes are frames of a line with a seed of its own, far enough apart to show other parts; parts cut
by the border are covered, as in training. The angle is the detector's own; the pose that
registration makes of it is measured beside it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.cameras.simulated import SimulatedCamera
from edge_app.errors import DataError, EndOfStream
from edge_app.imaging.oriented_box import axis_difference_rad, corners_of
from edge_app.inspection.detector import Detector
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import BoxCxcywhr, Detection
from export.data.yolo_dataset import LabelledPicture
from export.detector.metrics import evaluate_detector

SEED = 77
EVERY = 9
"""Frames between two scenes: by then the belt has brought other parts."""

PERIOD_RAD = {"tapered": math.pi, "square": math.pi / 2, "round": math.pi}
NEAR_PX = 60.0


def main() -> None:
    """Print the metrics, then one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--product", choices=tuple(PERIOD_RAD), required=True)
    parser.add_argument("--scenes", type=int, default=200)
    options = parser.parse_args()
    model = load_model(read_bundle(options.bundle))
    if not isinstance(model.finder, Detector):
        raise DataError(f"{options.bundle} has no detector: its product fills the frame.")
    scenes = list(_scenes(options.product, options.scenes))
    period = PERIOD_RAD[options.product]
    found = evaluate_detector(model.finder.find, scenes, period)
    poses = _pose_errors_deg(model, scenes, period)
    figures = {
        "scenes": len(scenes),
        "parts": found.parts,
        "missed": found.missed,
        "extra": found.extra,
        "map50": round(found.map50, 4),
        "map50_95": round(found.map50_95, 4),
        "median_iou": round(found.median_iou, 4),
        "angle_error_deg": _quantiles(found.angle_errors_deg),
        "pose_angle_error_deg": _quantiles(poses),
    }
    for name, value in figures.items():
        print(f"{name:<22} {value}")
    print(json.dumps(figures))


def _scenes(product: str, count: int) -> Iterator[LabelledPicture]:
    camera = open_camera(f"sim:{product}?seed={SEED}&parts={12 * count}&mode=file", "scenes")
    assert isinstance(camera, SimulatedCamera)
    camera.open()
    shown = 0
    try:
        while shown < count:
            frame = camera.read(5.0)
            parts = camera.truth(frame.frame_id).parts
            if frame.frame_id % EVERY or not any(p.is_whole for p in parts):
                continue
            shown += 1
            boxes = np.array([p.box_cxcywhr for p in parts if p.is_whole], np.float64)
            cut = tuple(
                np.array(corners_of(p.box_cxcywhr), np.float32) for p in parts if not p.is_whole
            )
            yield LabelledPicture(frame.pixels_hwc, boxes.reshape(-1, 5), hidden_xy=cut)
    except EndOfStream:
        print(f"the line ended after {shown} scenes")
    finally:
        camera.close()


def _pose_errors_deg(
    model: LoadedModel, scenes: Sequence[LabelledPicture], period_rad: float
) -> list[float]:
    """Return each found part's angle error after direction cue and registration, degrees."""
    errors = []
    for scene in scenes:
        pixels = scene.pixels()
        for row in scene.boxes_cxcywhr:
            near = _nearest(model.finder.find(pixels), (float(row[0]), float(row[1])))
            if near is not None:
                pose = model.pose.find(pixels, near)
                errors.append(math.degrees(axis_difference_rad(pose[4], row[4], period_rad)))
    return errors


def _nearest(found: Sequence[Detection], at_xy: tuple[float, float]) -> BoxCxcywhr | None:
    boxes = [d.box_cxcywhr for d in found if math.dist(d.box_cxcywhr[:2], at_xy) < NEAR_PX]
    return min(boxes, key=lambda b: math.dist(b[:2], at_xy), default=None)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    median, p95 = np.quantile(values, (0.5, 0.95)) if values else (math.nan, math.nan)
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}


if __name__ == "__main__":
    main()
