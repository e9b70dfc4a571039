"""anomalib's half of the arm `anomalib-patchcore`: runs in the interpreter that has anomalib.

anomalib's own PatchCore, engine, pre-processing (256 × 256, ImageNet's mean and deviation), coreset
(10 %) and adaptive threshold: above it is NG, and it has the best F1 on validation pictures, half
of which carry anomalib's own synthetic anomalies; they are a quarter of the good training pictures,
held out. Its default backbone's weights would have to be downloaded when it runs;
EfficientNet-Lite0's, which our methods use too, take their place. Scores are not normalised:
clipping them to 0..1 would tie the highest.
It imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import timm
import torch
from anomalib.data import Folder
from anomalib.data.utils import ValSplitMode, read_image
from anomalib.engine import Engine
from anomalib.models import Patchcore
from anomalib.post_processing import PostProcessor
from lightning import seed_everything
from torch import nn

HELD_OUT = 0.25
"""Of the good pictures, for the threshold: the share that `edge-export build` holds out."""

STAGES = ("blocks.2", "blocks.4")


class Lite0Stages(nn.Module):
    """timm's own Lite0 with the outputs of two stages (strides 8 and 16)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.blocks = net.blocks[:5]

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        x, found = self.stem(pixels), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if f"blocks.{index}" in STAGES:
                found.append(x)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--pictures", "--out", "--weights"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    seed_everything(args.seed)
    started = time.perf_counter()
    model = _trained(args)
    built = time.perf_counter()
    rows = [
        _judged(model, name, kind, path)
        for name, kind, path in json.loads(args.pictures.read_text())
    ]
    record = {
        "method": "anomalib patchcore",
        "threshold": float(model.post_processor.image_threshold),
        "pictures": rows,
        "build_s": built - started,
        "evaluate_s": time.perf_counter() - built,
    }
    args.out.write_text(json.dumps(record))


def _trained(args: argparse.Namespace) -> Patchcore:
    data = Folder(
        name="product", root=args.data, normal_dir="train/good", test_split_mode="none",
        val_split_mode=ValSplitMode.SYNTHETIC, val_split_ratio=HELD_OUT, seed=args.seed,
        num_workers=0,
    )  # fmt: skip
    model = Patchcore(
        backbone="tf_efficientnet_lite0", layers=list(STAGES), pre_trained=False,
        post_processor=PostProcessor(enable_normalization=False), evaluator=False,
        visualizer=False,
    )  # fmt: skip
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    net.load_state_dict(_renamed(torch.load(args.weights, weights_only=True), net))
    extractor = model.model.feature_extractor
    extractor.feature_extractor = Lite0Stages(net).eval()
    Engine(
        default_root_dir=args.out.parent / "anomalib", accelerator="cpu", logger=False,
        enable_progress_bar=False,
    ).fit(model, datamodule=data)  # fmt: skip
    return model.eval()


def _renamed(state: dict[str, torch.Tensor], net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the package's weights under timm's names: both list the layers in the same order."""
    own = net.state_dict()
    theirs = [name for name in state if not name.endswith("num_batches_tracked")]
    mine = [name for name in own if not name.endswith("num_batches_tracked")]
    renamed = {name: state[source] for name, source in zip(mine, theirs, strict=True)}
    wrong = [name for name in mine if own[name].shape != renamed[name].shape]
    if wrong:
        raise SystemExit(f"the weights do not fit timm's network at {wrong[0]}")
    return {**own, **renamed}


def _judged(model: Patchcore, name: str, kind: str, path: str) -> dict[str, object]:
    """Return one picture's row; anomalib's own label, above the threshold, wants normalisation."""
    with torch.no_grad():
        score = float(model(read_image(path, as_tensor=True)[None]).pred_score)
    verdict = "NG" if score > float(model.post_processor.image_threshold) else "OK"
    return {"picture": name, "kind": kind, "score": score, "verdict": verdict}


if __name__ == "__main__":
    main()
