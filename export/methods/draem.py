"""DRAEM: rebuild the part without its anomaly, and learn to see the difference that matters.

Source: Zavrtanik et al., DRAEM, ICCV 2021: L2 + λ·SSIM for the reconstruction, focal loss for the
segmentation (section 3), score = the map's maximum after a 21 × 21 mean filter (section 3.4).
Defaults: λ 1, γ 2, α 1, Adam 0.0001, rate a fifth after 80 and again after 90 % of the training,
batch 8, an anomaly in every second picture (the authors' code).
`draem-slim` has a fraction of the channels, for the edge.
Published image AUROC on MVTec screw: 93.9 (256 px, 700 epochs).
Deviations:
- The crop's own size instead of 256 × 256; steps are counted, not epochs.
- No random rotation: parts come upright.
- Without a texture folder textures are drawn (`draem_anomalies.py`).
- The map is averaged over 4 × 4 pixels, and 0 beside the product.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.cameras.picture_listing import list_pictures
from export.methods.draem_anomalies import add_texture
from export.methods.draem_net import DraemNet
from export.methods.loop import TrainingObjective, ends_of, learn, two_drops
from export.methods.losses import Ssim, focal_loss
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

SCORE_WINDOW = 21
"""Side of the mean filter before the score's maximum, pixels."""

ANOMALY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class DraemSettings:
    """How both networks are trained.

    Attributes:
        widths: finest channels of the reconstructive and of the discriminative sub-network.
        ssim_weight: λ.
        gamma: of the focal loss.
        alpha: of the focal loss.
        learning_rate: Adam's.
        batch: crops a step.
        textures: folder of pictures to take textures from (DTD in the paper), or None.
    """

    widths: tuple[int, int] = (128, 64)
    ssim_weight: float = 1.0
    gamma: float = 2.0
    alpha: float = 1.0
    learning_rate: float = 0.0001
    batch: int = 8
    textures: Path | None = None


SLIM = DraemSettings(widths=(16, 16))
"""For the edge: 2.9 million parameters instead of 97.4."""


class DraemGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(self, network: DraemNet, weight_hw: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("weight", weight_hw)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps, 0..1, of uint8 (n, h, w, 3) crops."""
        _, logits = self.network(unit_pixels(crops))
        chance = torch.softmax(logits, 1)[:, 1:] * self.weight  # (n, 1, h, w)
        mean = functional.avg_pool2d(chance, SCORE_WINDOW, 1, SCORE_WINDOW // 2)
        return mean.amax((1, 2, 3)), functional.avg_pool2d(chance, MAP_STRIDE)[:, 0]

    def rebuilt(self, crops: Tensor) -> Tensor:
        """Return (n, h, w, 3) float32 BGR, about 0..255: the part without its anomaly."""
        rebuilt: Tensor = self.network(unit_pixels(crops))[0]
        return rebuilt.permute(0, 2, 3, 1) * 255.0


def unit_pixels(crops_nhwc: Tensor) -> Tensor:
    """Return (n, 3, h, w) float32, 0..1; cast first, as TensorRT's parser wants it."""
    return crops_nhwc.float().permute(0, 3, 1, 2) / 255


@dataclass(frozen=True, slots=True)
class Draem:
    """The method; see the module's docstring."""

    name: str = "draem"
    settings: DraemSettings = field(default_factory=DraemSettings)
    paper: str = "Zavrtanik et al., DRAEM, ICCV 2021"
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return both trained networks as one graph."""
        torch.manual_seed(settings.seed)
        network = DraemNet(*self.settings.widths).to(settings.device)
        ssim = Ssim(span=1.0).to(settings.device)
        textures = [] if self.settings.textures is None else list_pictures(self.settings.textures)
        optimiser = torch.optim.Adam(network.parameters(), self.settings.learning_rate)

        def loss(rng: np.random.Generator) -> Tensor:
            batch = [own_part(x) for x in self.batch(data, textures, rng)]
            changed_crops, target, mask = (torch.from_numpy(x).to(settings.device) for x in batch)
            return self.loss(network, ssim, changed_crops, target, mask)

        key = fingerprint(data, self.name, self.settings, settings.seed, settings.steps)
        objective = TrainingObjective(self.name, network, optimiser, two_drops, loss)
        losses = learn(objective, key, settings, on_progress)
        weight = product_weight(data.mask, data.crop_hw, 1)
        graph = DraemGraph(network.to("cpu").requires_grad_(False), weight)
        plain = {k: v for k, v in asdict(self.settings).items() if k != "textures"}
        about = {
            "method": self.name,
            "settings": {**plain, "texture_pictures": len(textures)},
            "parameters": sum(p.numel() for p in network.parameters()),
            "losses": ends_of(losses),
        }
        return Trained(graph.eval(), about, ())

    def batch(
        self, data: TrainingSet, textures: list[Path], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return changed (b, h, w, 3), untouched (b, h, w, 3) and holes (b, h, w), all uint8."""
        changed_crops, target, holes = [], [], []
        for _ in range(self.settings.batch):
            crop = data.crops[int(rng.integers(len(data.crops)))]
            changed, hole = crop, np.zeros(data.crop_hw, np.uint8)
            if rng.random() < ANOMALY_SHARE:
                changed, hole = add_texture(rng, crop, data.mask, textures)
            changed_crops.append(changed)
            target.append(crop)
            holes.append(hole)
        return np.stack(changed_crops), np.stack(target), np.stack(holes)

    def loss(
        self, network: DraemNet, ssim: Ssim, changed_crops: Tensor, target: Tensor, holes: Tensor
    ) -> Tensor:
        """Return L2 + λ (1 − SSIM) of the reconstruction + focal loss of the segmentation."""
        whole = unit_pixels(target)
        rebuilt, logits = network(unit_pixels(changed_crops))
        rebuilding = functional.mse_loss(rebuilt, whole)
        structure = (1 - ssim(rebuilt, whole)).mean()
        s = self.settings
        finding = focal_loss(logits, holes.float(), s.gamma, s.alpha)
        total: Tensor = rebuilding + s.ssim_weight * structure + finding
        return total
