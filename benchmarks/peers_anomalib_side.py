"""anomalib's half of `benchmarks.peers_anomalib`: runs in the interpreter that has anomalib.

Trains one method on crops with Lite0's ImageNet weights, judges the test crops, exports to OpenVINO
with anomalib's own export and then times anomalib's own inferencer whenever a line comes in.
It imports nothing of this project. One JSON object a line goes out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from anomalib.deploy import OpenVINOInferencer
from anomalib.models import Padim, Patchcore
from anomalib.pre_processing import PreProcessor
from torch import nn
from torchvision.transforms.v2 import Normalize

BATCH = 8
STAGE_CHANNELS = {1: 24, 2: 40, 3: 80, 4: 112, 5: 192}
"""Stages 2 to 5 end with the blocks 4, 7, 10 and 14 of our own methods."""

STAGES = {"padim": (2, 3, 4, 5), "patchcore": (2, 4)}
PADIM_CHANNELS = 100


class Lite0Stages(nn.Module):
    """timm's own Lite0 up to a stage, with the outputs of the stages wanted."""

    def __init__(self, net: nn.Module, stages: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.blocks = net.blocks[: max(stages) + 1]
        self.stages = stages

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        x, found = self.stem(pixels), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stages:
                found.append(x)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=("padim", "patchcore"), required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--coreset", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tests = np.load(args.test)["crops"]
    args.work.mkdir(parents=True, exist_ok=True)
    about = args.work / "about.json"
    if not about.exists():  # a stopped benchmark goes on with what is trained
        about.write_text(json.dumps(_made(args, tests)), encoding="utf-8")
    _say(json.loads(about.read_text(encoding="utf-8")))
    config = {"INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY"}
    _serve(OpenVINOInferencer(args.work / "weights/openvino/model.xml", "CPU", config), tests)


def _made(args: argparse.Namespace, tests: np.ndarray) -> dict[str, float]:
    """Train, judge the test crops, export; return the seconds of training and the size."""
    crops = np.load(args.crops)["crops"]
    model = anomalib_model(args.method, args.weights, args.coreset / patches(crops))
    started = time.perf_counter()
    train(model, crops)
    seconds = time.perf_counter() - started
    scores, maps = _judged(model, tests)
    np.savez(args.work / "judged.npz", scores=scores, maps=maps)
    file = exported(model, args.work, crops.shape[1:3])
    megabytes = sum(f.stat().st_size for f in file.parent.glob("model.*")) / 1e6
    return {"train_s": seconds, "megabytes": megabytes}


def exported(model: Padim | Patchcore, folder: Path, crop_hw: tuple[int, int]) -> Path:
    """Return OpenVINO's file of a model, by anomalib's own export."""
    # One picture at a time: with a batch of any length PatchCore cannot be exported.
    single = {"dynamic_axes": {}}
    return model.to_openvino(folder, input_size=crop_hw, onnx_kwargs=single)


def patches(crops: np.ndarray) -> int:
    """Return the number of patches of all crops on a grid of stride 16."""
    n, h, w, _ = crops.shape
    return int(n * -(-h // 16) * -(-w // 16))


def anomalib_model(method: str, weights: Path, coreset_share: float) -> Padim | Patchcore:
    """Return anomalib's model with Lite0's stages as its backbone."""
    stages = STAGES[method]
    layers = ["blocks.2", "blocks.4"]
    scaled = Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3)
    options = {
        "backbone": "tf_efficientnet_lite0",
        "layers": layers,
        "pre_trained": False,
        "pre_processor": PreProcessor(transform=scaled),
        "evaluator": False,
        "visualizer": False,
    }
    if method == "padim":
        model = Padim(n_features=PADIM_CHANNELS, **options)
    else:
        model = Patchcore(coreset_sampling_ratio=coreset_share, **options)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    net.load_state_dict(_renamed(torch.load(weights, weights_only=True), net))
    extractor = model.model.feature_extractor
    extractor.feature_extractor = Lite0Stages(net, stages).eval()
    extractor.layers = [f"blocks.{stage}" for stage in stages]
    # The first layer named gives the grid: stride 8 for PaDiM, our 16 for PatchCore, whose greedy
    # choice takes a second for each of 3,000 patches at stride 8.
    model.model.layers = extractor.layers if method == "padim" else extractor.layers[::-1]
    if method == "padim":
        channels = sum(STAGE_CHANNELS[stage] for stage in stages)
        model.model.idx = torch.randperm(channels)[:PADIM_CHANNELS]
    return model


def _renamed(state: dict[str, torch.Tensor], net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the package's weights under timm's names: both list the layers in the same order."""
    own = net.state_dict()
    theirs = [name for name in state if not name.endswith("num_batches_tracked")]
    mine = [name for name in own if not name.endswith("num_batches_tracked")]
    renamed = {}
    for name, source in zip(mine, theirs, strict=True):
        if own[name].shape != state[source].shape:
            raise SystemExit(f"{name} {own[name].shape} is not {source} {state[source].shape}")
        renamed[name] = state[source]
    return {**own, **renamed}


def _pixels(crops_nhwc: np.ndarray) -> torch.Tensor:
    """Return float32 (n, 3, h, w) RGB, 0..1, as anomalib's readers give it."""
    rgb = np.ascontiguousarray(crops_nhwc[..., ::-1])
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255


def train(model: Padim | Patchcore, crops: np.ndarray) -> None:
    model.model.train()
    for start in range(0, len(crops), BATCH):
        model.model(model.pre_processor(_pixels(crops[start : start + BATCH])))
    model.fit()
    model.eval()


def _judged(model: Padim | Patchcore, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) scores and (n, h, w) maps before anomalib's normalisation clips them."""
    scores, maps = [], []
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            found = model.model(model.pre_processor(_pixels(crops[start : start + BATCH])))
            scores.append(found.pred_score.reshape(-1).numpy())
            maps.append(found.anomaly_map[:, 0].numpy())
    return np.concatenate(scores).astype(np.float64), np.concatenate(maps)


class WatchedGraph:
    """A compiled model that remembers the CPU time of its calls, ms."""

    def __init__(self, model: Callable[[object], object]) -> None:
        self._model = model
        self.spent_ms = 0.0

    def __call__(self, inputs: object) -> object:
        started = time.process_time()
        found = self._model(inputs)
        self.spent_ms += (time.process_time() - started) * 1e3
        return found


def _serve(inferencer: OpenVINOInferencer, tests: np.ndarray) -> None:
    """Answer every line that comes in with the CPU time of `predict` and of its graph in it, ms."""
    pictures = [np.ascontiguousarray(crop[..., ::-1]) for crop in tests[:20]]
    inferencer.predict(pictures[0])
    inferencer.model = graph = WatchedGraph(inferencer.model)
    for _ in sys.stdin:
        whole, outside = [], []
        for picture in pictures:
            before, started = graph.spent_ms, time.process_time()
            inferencer.predict(picture)
            whole.append((time.process_time() - started) * 1e3)
            outside.append(whole[-1] - (graph.spent_ms - before))
        middle = float(np.median(whole))
        _say({"whole": middle, "bare": middle - float(np.median(outside))})


def _say(figures: dict[str, float]) -> None:
    print("@" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
