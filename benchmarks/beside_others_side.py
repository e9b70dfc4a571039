"""The peers' half of `benchmarks.beside_others`: runs in the interpreter that has anomalib and
Ultralytics, beside which nothing of this project is installed.

Trains anomalib's method on crops, exports it with anomalib's own export, and then judges the frames
it is told to: Ultralytics' predict, each box cut out of the frame, anomalib's OpenVINO inferencer.
Reads lines "FROM TO COUNT,COUNT,..." (how many of each frame's boxes are inspected, the surest
first) and answers each with one JSON object, as `line_cost_side` does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the libraries print, already when they are imported, is no answer

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from anomalib.deploy import OpenVINOInferencer  # noqa: E402
from line_cost_side import STAGES, Spent  # noqa: E402
from peers_anomalib_side import anomalib_model, exported, patches, train  # noqa: E402
from ultralytics import YOLO  # noqa: E402


def main() -> None:
    """Answer until the input ends."""
    about = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    args = argparse.Namespace(**about)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    one_thread_in_onnxruntime()
    spent = Spent()
    judge = Peers(args, spent)
    frames = np.load(args.frames)
    print(json.dumps({"ready": True}), file=ANSWERS, flush=True)
    for order in sys.stdin:
        first, end, counts = order.split()
        found = answer(judge, spent, frames[int(first) : int(end)], counts)
        print(json.dumps(found), file=ANSWERS, flush=True)


def answer(judge: Peers, spent: Spent, frames: np.ndarray, counts: str) -> dict[str, Any]:
    """Return what each frame took, by stage."""
    found: dict[str, Any] = {"cpu": defaultdict(list), "wall": defaultdict(list)}
    judged = []
    for pixels, count in zip(frames, map(int, counts.split(",")), strict=True):
        spent.cpu_ms.clear()
        spent.wall_ms.clear()
        judged.append(spent.timed("frame", judge)(pixels, count))
        for stage in STAGES:
            found["cpu"][stage].append(spent.cpu_ms[stage])
            found["wall"][stage].append(spent.wall_ms[stage])
    return {**found, "judged": judged, "verdicts": []}


def one_thread_in_onnxruntime() -> None:
    """Have every session run on one thread: Ultralytics' own takes what the library takes."""
    begin = onnxruntime.InferenceSession.__init__

    def one_thread(self: Any, model: Any, sess_options: Any = None, **more: Any) -> None:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        begin(self, model, options, **more)

    onnxruntime.InferenceSession.__init__ = one_thread


class Peers:
    """A frame's way through both: predict, cut, inspect."""

    def __init__(self, args: argparse.Namespace, spent: Spent) -> None:
        self._hw, self._margin = tuple(args.crop_hw), args.margin
        self._options = {
            "imgsz": tuple(args.input_hw), "conf": args.confidence, "iou": args.iou,
            "verbose": False, "save": False, "device": "cpu",
        }  # fmt: skip
        network = YOLO(args.detector, task="obb")
        network.predict(np.zeros((*args.input_hw, 3), np.uint8), **self._options)
        predictor = network.predictor
        predictor.inference = spent.timed("detector graph", predictor.inference)
        inferencer = OpenVINOInferencer(trained(args), "CPU", openvino_config())
        inferencer.model = spent.timed("inspector graph", inferencer.model)
        self._predict: Callable[..., Any] = spent.timed("find", network.predict)
        self._cut = spent.timed("pose and crop", cut)
        self._inspect = spent.timed("score", inferencer.predict)

    def __call__(self, pixels_hwc: np.ndarray, count: int) -> int:
        """Judge a frame; return how many parts were inspected."""
        found = self._predict(pixels_hwc, **self._options)[0].obb
        surest = found.conf.argsort(descending=True)[:count]
        for box in found.xywhr[surest].tolist():
            self._inspect(self._cut(pixels_hwc, box, self._hw, self._margin))
        return len(surest)


def openvino_config() -> dict[str, Any]:
    """Return one thread, and answers as soon as possible."""
    return {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}


def trained(args: argparse.Namespace) -> Path:
    """Return anomalib's exported model, trained if it is not there yet."""
    file = Path(args.work) / "weights/openvino/model.xml"
    if not file.is_file():
        torch.manual_seed(0)
        crops = np.load(args.crops)["crops"]
        share = min(1.0, args.coreset / patches(crops))
        model = anomalib_model(args.method, Path(args.weights), share)
        if not args.is_blurred:
            model.model.anomaly_map_generator.blur = torch.nn.Identity()
        train(model, crops)
        file = exported(model, Path(args.work), crops.shape[1:3])
    return file


def cut(pixels_hwc: np.ndarray, box: list[float], hw: tuple[int, int], margin: float) -> np.ndarray:
    """Return a box's pixels with a margin, upright, RGB uint8 (h, w, 3): one warp, no direction."""
    x, y, w, h, angle = box
    if w < h:
        w, h, angle = h, w, angle + math.pi / 2
    scale = max(w * (1 + 2 * margin) / hw[1], h * (1 + 2 * margin) / hw[0])
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([x, y]) - turn @ ((np.array(hw[::-1]) - 1) / 2)
    warp = np.column_stack([turn, shift])
    crop = cv2.warpAffine(pixels_hwc, warp, hw[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)


if __name__ == "__main__":
    main()
