"""Our way from a frame to boxes beside Ultralytics' own `predict`: same network, size and threads.

What is outside the network is measured within each call: what the network leaves in the caches is
part of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_app.backends.onnx import OnnxRunner
from edge_app.imaging.upright_crop import Shrink
from edge_app.inspection.detector import Detector
from edge_app.records import Frame, U8Array

INPUT_HW = (640, 640)
SHRINK: Shrink = "pyramid"
"""As every detector that edge-export trains."""

MIN_CONFIDENCE, MAX_IOU = 0.25, 0.3


@dataclass(frozen=True, slots=True)
class Latency:
    """CPU time of one call, ms: the whole of it, and its graph alone."""

    whole: float
    bare: float

    @property
    def outside(self) -> float:
        return self.whole - self.bare


Ask = Callable[[], Latency]
"""Times one side once more."""


def watched(owner: object, name: str) -> Callable[[], float]:
    """Return what tells the CPU time that a method of an object has taken from now on, ms."""
    call, spent_ms = getattr(owner, name), [0.0]

    def counting(*args: Any, **more: Any) -> object:
        started = time.process_time()
        try:
            return call(*args, **more)
        finally:
            spent_ms[0] += (time.process_time() - started) * 1e3

    setattr(owner, name, counting)
    return lambda: spent_ms[0]


def timed(
    work: Callable[[U8Array], object], pictures: Iterable[U8Array], graph_ms: Callable[[], float]
) -> Latency:
    """Return the median call over pictures; what is outside the graph is measured in each call."""
    whole, outside = [], []
    for picture in pictures:
        before, started = graph_ms(), time.process_time()
        work(picture)
        whole.append((time.process_time() - started) * 1e3)
        outside.append(whole[-1] - (graph_ms() - before))
    return Latency(statistics.median(whole), statistics.median(whole) - statistics.median(outside))


def median_turn(turns: Sequence[Latency]) -> Latency:
    """Return the median turn: of the whole, and less the median of what is outside."""
    whole = statistics.median(turn.whole for turn in turns)
    return Latency(whole, whole - statistics.median(turn.outside for turn in turns))


class DetectorSides:
    """Our way from a frame to boxes, and Ultralytics': one network, size and thread count."""

    def __init__(self, network: object, graph: bytes, frames: Sequence[Frame]) -> None:
        import torch

        torch.set_num_threads(1)
        self._pixels = [frame.pixels_hwc for frame in frames]
        runner = OnnxRunner(graph, 1)
        self._graph_ms = watched(runner._session, "run")
        self._finder = Detector(
            runner, INPUT_HW, MIN_CONFIDENCE, MAX_IOU, ("product",), shrink=SHRINK
        )
        self._predict = network.predict  # type: ignore[attr-defined]
        self._predict_one(self._pixels[0])  # makes the predictor
        predictor = network.predictor  # type: ignore[attr-defined]
        self._network_ms = watched(predictor, "inference")

    def ours(self) -> Latency:
        """Time the frames with our detector; as with the peer, random weights find no product."""
        return timed(self._finder.find, self._pixels, self._graph_ms)

    def ultralytics(self) -> Latency:
        """Time the frames with Ultralytics' own predict."""
        return timed(self._predict_one, self._pixels, self._network_ms)

    def _predict_one(self, pixels_hwc: U8Array) -> None:
        # rect would take a 640 × 480 input where ours is 640 × 640
        options: dict[str, object] = {
            "imgsz": INPUT_HW[0],
            "rect": False,
            "verbose": False,
            "save": False,
        }
        options |= {"conf": MIN_CONFIDENCE, "iou": MAX_IOU}
        self._predict(pixels_hwc, **options)


def large_network() -> tuple[object, bytes]:
    """Return Ultralytics' network and our export of it."""
    from export.detector.export import DetectorGraph, _traced
    from export.detector.ultralytics_quiet import ultralytics_tasks

    ultralytics_tasks()  # before Ultralytics is imported: no network, no reporting
    from ultralytics import YOLO  # type: ignore[attr-defined]

    network = YOLO("yolo11n-obb.yaml", task="obb")
    module: Any = network.model
    return network, _traced(DetectorGraph(module.eval(), 100), INPUT_HW)
