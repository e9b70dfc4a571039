"""Gentle pretext fine-tuning: a few dozen small steps that must not forget what ImageNet taught.

Plain fine-tuning solves the pretext (accuracy 0.99) and loses 1 to 18 points of AUROC, so: late
blocks only, small rate, L2 to the start, BatchNorm folded (hence constant).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_app.errors import DataError, ShapeError
from edge_app.records import U8Array
from export.augment import pseudo_anomaly
from export.backbones.efficientnet_lite import EfficientNetLite0, load_lite0
from export.backbones.pretext_network import PretextNet
from export.methods.cropliq.fit import FitSettings, fit_inspector
from export.methods.cropliq.fit_context import FitContext
from export.methods.cropliq.graph import TrainedInspector
from export.methods.cropliq.pretext_loss import WAYS, anchor_of, pretext_loss
from export.networks.precision import mixed_precision
from export.pose.silhouette import product_silhouette
from export.workspace import OnProgress

MIN_CROPS = 10
"""Fewest good crops: 8 to fit and 2 to hold back. Below it a density is guesswork."""

POOL_MAX = 1600
"""Crops with synthetic anomalies whose frozen features are kept: 1600 × 80 × 14 × 14 float16 are
50 MB."""


@dataclass(frozen=True, slots=True)
class PretextSettings:
    """How gently the pretext is learnt.

    Attributes:
        ways: 2 (the paper), 3 or 4.
        first_trained: blocks below it stay as ImageNet left them.
        last_block: the head pools this block's output.
        learning_rate: peak of a one-cycle schedule, SGD with momentum 0.9.
        batch: crops a step.
        anchor_strength: L2-SP weight.

    Raises:
        ShapeError: another number of ways.
    """

    ways: int = 4
    first_trained: int = 8
    last_block: int = 14
    learning_rate: float = 0.001
    batch: int = 32
    anchor_strength: float = 0.01

    def __post_init__(self) -> None:
        if self.ways not in WAYS:
            raise ShapeError(
                f"CropLiq is 2-, 3- or 4-way, got {self.ways}: choose one of {list(WAYS)}."
            )


def train_inspector(
    good_crops: Sequence[U8Array],
    product_mask: U8Array | None,
    out_dir: Path,
    *,
    seed: int,
    steps: int,
    device: str = "cpu",
    progress: OnProgress,
    pretext: PretextSettings | None = None,
    fit: FitSettings | None = None,
) -> TrainedInspector:
    """Return an inspector fitted to crops of good parts.

    A stated share of the crops is held out: it fixes the scales and chooses the map. The trained
    backbone is kept in `out_dir` under a key of all inputs, so a stopped build takes it from there.

    Args:
        good_crops: uint8 (h, w, 3) BGR, all of one size, sides divisible by 32.
        product_mask: uint8 (h, w), > 0 where the product may be (its box will do: the outline is
            found inside it), or None when the product fills the crop.
        out_dir: for the checkpoint; made if missing.
        seed: with equal inputs and thread count the CPU gives equal bytes.
        steps: pretext steps; 0 leaves ImageNet's weights alone.
        device: "cpu" or "cuda:0"; the fitted inspector is returned on the CPU.

    Raises:
        DataError: too few crops, or no visible anomaly can be made on them.
        ShapeError: crops of mixed or unsuitable sizes.
    """
    settings = pretext or PretextSettings()
    crops = _stacked(good_crops)
    mask = None if product_mask is None else product_silhouette(crops, product_mask)
    key = _key(crops, mask, repr((seed, steps, settings)))
    network = _pretext_network(settings, seed)
    path = out_dir / f"pretext-{key}.pt"
    accuracy = _restored(network, path)
    if accuracy is None:
        accuracy = _learn(network, crops, mask, settings, seed, steps, device, progress)
        _keep(network, accuracy, path)
    context = FitContext(network, mask, np.random.default_rng((seed, 2)), device, progress)
    return fit_inspector(context, crops, fit or FitSettings(), accuracy)


def _stacked(crops: Sequence[U8Array]) -> U8Array:
    if len(crops) < MIN_CROPS:
        raise DataError(
            f"An inspector needs at least {MIN_CROPS} good crops (200 are better), got {len(crops)}"
        )
    shapes = {c.shape for c in crops}
    h, w = crops[0].shape[:2]
    if len(shapes) > 1 or len(crops[0].shape) != 3 or h % 32 or w % 32:
        raise ShapeError(
            "Crops must be uint8 (h, w, 3) of one size with sides divisible by 32, got "
            f"{sorted(shapes)[:4]}: set crop_hw accordingly."
        )
    return np.stack(crops)


def _key(crops: U8Array, mask_hw: U8Array | None, settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    digest.update(np.ascontiguousarray(crops).data)
    digest.update(b"" if mask_hw is None else mask_hw.tobytes())
    return digest.hexdigest()[:16]


def _pretext_network(settings: PretextSettings, seed: int) -> PretextNet:
    torch.manual_seed(seed)
    backbone: EfficientNetLite0 = load_lite0(settings.last_block)
    return PretextNet(backbone, settings.first_trained, settings.ways)


def _restored(network: PretextNet, path: Path) -> float | None:
    """Load a finished pretext run; None when there is none. Half-written files cannot occur."""
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    accuracy = float(state.pop("accuracy"))
    network.load_state_dict(state)
    return accuracy


def _keep(network: PretextNet, accuracy: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    torch.save({**network.state_dict(), "accuracy": torch.tensor(accuracy)}, half)
    half.replace(path)


def _learn(
    network: PretextNet,
    crops: U8Array,
    mask_hw: U8Array | None,
    settings: PretextSettings,
    seed: int,
    steps: int,
    device: str,
    progress: OnProgress,
) -> float:
    """Train in place; return the pretext accuracy over the last tenth of the steps, 0..1."""
    if steps == 0:
        return 0.0
    rng = np.random.default_rng((seed, 1))
    network.to(device)
    pool, labels = _feature_pool(network, crops, mask_hw, settings, rng, device, progress)
    optimiser = torch.optim.SGD(network.trained_parameters(), settings.learning_rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(steps, 4)
    )
    anchor, hits = anchor_of(network), []
    for step in range(steps):
        pick = torch.from_numpy(rng.integers(0, len(pool), settings.batch))
        batch, target = pool[pick].to(device).float(), labels[pick].to(device)
        with mixed_precision(device):
            logits = network(batch)
        optimiser.zero_grad()
        loss = pretext_loss(network, logits.float(), target, anchor, settings.anchor_strength)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        hits.append(float((logits.argmax(1) == target).float().mean()))
        progress("pretext", (step + 1) / steps)
    network.to("cpu")
    return float(np.mean(hits[-max(1, steps // 10) :]))


def _feature_pool(
    network: PretextNet,
    crops: U8Array,
    mask_hw: U8Array | None,
    settings: PretextSettings,
    rng: np.random.Generator,
    device: str,
    progress: OnProgress,
) -> tuple[Tensor, Tensor]:
    """Return the frozen blocks' float16 outputs of the pretext's crops, and their classes."""
    count = min(POOL_MAX, settings.ways * len(crops))
    features: list[Tensor] = []
    for start in range(0, count, settings.batch):
        numbers = range(start, min(start + settings.batch, count))
        batch = np.stack([_drawn(crops, i, mask_hw, settings.ways, rng) for i in numbers])
        features.append(network.prefix(torch.from_numpy(batch).to(device)).half().cpu())
        progress("synthetic anomalies", numbers[-1] / count)
    return torch.cat(features), torch.arange(count) % settings.ways


def _drawn(
    crops: U8Array, number: int, mask_hw: U8Array | None, ways: int, rng: np.random.Generator
) -> U8Array:
    crop: U8Array = crops[int(rng.integers(len(crops)))]
    label = number % ways
    if label == 0:
        return crop
    return pseudo_anomaly(rng, crop, mask_hw, WAYS[ways][label - 1]).crop_hwc
