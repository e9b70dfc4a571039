"""The detector's half beside Ultralytics' own `predict`, and a whole frame beside both peers.

Used by `benchmarks.peers_anomalib`, so that all four sides are timed in turns in one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from onnxruntime import InferenceSession
from rich.table import Table

from benchmarks.end_to_end import (
    BUNDLE,
    INPUT_HW,
    SHRINK,
    counted,
    large_network,
    measure_share,
    sim_frames,
)
from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle import read_bundle
from edge_app.detector import Detector
from edge_app.model import load_model
from edge_app.records import U8Array

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


class WatchedSession:
    """A session that remembers the CPU time of its runs, ms."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self.spent_ms = 0.0

    def run(self, *args: Any) -> object:
        started = time.process_time()
        try:
            return self._session.run(*args)
        finally:
            self.spent_ms += (time.process_time() - started) * 1e3


def watched(runner: OnnxRunner) -> Callable[[], float]:
    """Return what tells the CPU time that a runner's graph has taken from now on, ms."""
    session = WatchedSession(runner._session)
    runner._session = session
    return lambda: session.spent_ms


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


class FrameSides:
    """Our way from a frame to boxes, and Ultralytics': one network, size and thread count."""

    def __init__(self, frame_count: int) -> None:
        import torch

        torch.set_num_threads(1)
        self._frames = sim_frames(frame_count)
        self._model = load_model(read_bundle(BUNDLE), 1)
        self._network, self._graph = large_network()
        runner = OnnxRunner(self._graph, 1)
        self._graph_ms = watched(runner)
        self._finder = Detector(
            runner, INPUT_HW, MIN_CONFIDENCE, MAX_IOU, ("product",), shrink=SHRINK
        )
        self._predict = self._network.predict  # type: ignore[attr-defined]
        self._predict_one(self._frames[0].pixels_hwc)  # makes the predictor
        predictor = self._network.predictor  # type: ignore[attr-defined]
        self._spent = counted(predictor, ("inference",))

    def ours(self) -> Latency:
        """Time the frames with our detector; as with the peer, random weights find no product."""
        return timed(self._finder.find, self._pixels(), self._graph_ms)

    def ultralytics(self) -> Latency:
        """Time the frames with Ultralytics' own predict."""
        return timed(self._predict_one, self._pixels(), lambda: self._spent["inference"])

    def line_outside_ms(self) -> float:
        """Return what our whole line takes outside its graphs: what no peer does is in it."""
        share = measure_share(self._model, self._frames, self._graph)
        return share.line_ms - share.detector_ms - share.inspector_ms

    def _pixels(self) -> list[U8Array]:
        return [frame.pixels_hwc for frame in self._frames]

    def _predict_one(self, pixels_hwc: U8Array) -> None:
        # rect would take a 640 × 480 input where ours is 640 × 640
        options = {"imgsz": INPUT_HW[0], "rect": False, "verbose": False, "save": False}
        options |= {"conf": MIN_CONFIDENCE, "iou": MAX_IOU}
        self._predict(pixels_hwc, **options)


def frame_table(
    pairs: Sequence[tuple[str, Sequence[Latency], Sequence[Latency]]],
    ours: Sequence[Latency],
    ultralytics: Sequence[Latency],
    line_outside_ms: float,
) -> Table:
    """Return the table of a frame with one part.

    Args:
        pairs: inspectors' name, our turns, anomalib's turns.
        ours, ultralytics: turns of the detectors.
        line_outside_ms: of our whole line, for people.
    """
    table = Table(
        title="A frame with one part, CPU ms: detector and inspector with all around them\n"
        f"(our line's crop, registration, following and verdict come to {line_outside_ms:.2f} ms "
        "outside the models, detector's and inspector's included; neither peer has these)"
    )
    for number, head in enumerate(("", "ours", "Ultralytics + anomalib", "ratio")):
        table.add_column(head, justify="left" if number == 0 else "right")
    detectors = _row(ours), _row(ultralytics)
    _add(table, "detector: outside", detectors[0].outside, detectors[1].outside)
    for name, mine, theirs in pairs:
        sides = [(d, _row(turns)) for d, turns in zip(detectors, (mine, theirs), strict=True)]
        _add(table, f"{name}: outside the models", *(d.outside + i.outside for d, i in sides))
        _add(table, f"{name}: whole calls", *(d.whole + i.whole for d, i in sides))
    return table


def _row(turns: Sequence[Latency]) -> Latency:
    """Return the median turn: of the whole, and less the median of what is outside."""
    whole = statistics.median(turn.whole for turn in turns)
    return Latency(whole, whole - statistics.median(turn.outside for turn in turns))


def _add(table: Table, name: str, ours: float, theirs: float) -> None:
    table.add_row(name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")
