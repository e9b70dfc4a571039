"""CutPaste: learn to tell pasted patches from good parts, then fit a Gaussian to what was learnt.

Source: Li et al., CutPaste, CVPR 2021: pretext (section 2.2), Scar and 3-way (2.3), Gaussian
density estimator on the last pooled features (eq. 3), GradCAM for localisation (figure 1).
Defaults: SGD with momentum 0.9, weight decay 0.00003 (section 4).
Deviations:
- EfficientNet-Lite0 from ImageNet, blocks 0 to 7 frozen, instead of ResNet18 from scratch: hundreds
  of steps, not 65,000. Learning rate 0.001, not 0.03: fast fine-tuning makes the features forget
  (shared FIELD notes, tiles: 89 → 73 image AUROC at 0.01).
- One-cycle rate instead of a single cosine period: with BatchNorm folded a cold start at the full
  rate diverges.
- One linear head instead of an MLP, so that GradCAM has a closed form.
- Patches are pasted as `export/augment` does it (inside the product, smaller ones too).
- Whole crops are neither shifted nor tinted before, as the paper's are: parts come aligned.
- The classes of a batch are different crops, not the same ones.
- Covariance shrunk by Ledoit-Wolf.
- GradCAM of the density's distance with activations centred on the good mean: its positions sum to
  the squared distance before the ReLU. The kernel density's is centred on the nearest kernels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.records import JsonObject
from export.augment import pseudo_anomaly
from export.backbones.efficientnet_lite import EfficientNetLite0, load_lite0, normalise_pixels
from export.backbones.pretext_network import PretextNet
from export.methods.kernel_density import KernelHead, fit_kernels
from export.methods.loop import TrainingObjective, ends_of, learn, one_cycle
from export.methods.patches import feature_batches
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import enlarged
from export.networks.density import DISTANCE_FLOOR, GlobalGaussian, fit_global
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.gradcam import squared_distance_gradient
from export.workspace import OnProgress

PAPER = (
    "Li et al., CutPaste: Self-Supervised Learning for Anomaly Detection and Localization, "
    "CVPR 2021"
)

FORMS: dict[str, tuple[str, ...]] = {
    "cutpaste": ("cutpaste",),
    "cutpaste-scar": ("scar",),
    "cutpaste-3way": ("cutpaste", "scar"),
    "cutpaste-kde": ("cutpaste",),
}
"""Method name → anomalies of classes 1 and 2; class 0 is the untouched crop."""

MAP_STRIDE_LAST = 32
"""Input pixels per position of Lite0's last blocks."""


@dataclass(frozen=True, slots=True)
class CutPasteSettings:
    """How the pretext is learnt.

    Attributes:
        first_trained: blocks below it stay as ImageNet left them.
        last_block: the head and the density pool this block's output.
        learning_rate: peak, SGD with momentum 0.9.
        weight_decay: of all that learns.
        batch: crops a step, all classes together.
        density: "gaussian" or "kernels".
    """

    first_trained: int = 8
    last_block: int = 14
    learning_rate: float = 0.001
    weight_decay: float = 0.00003
    batch: int = 32
    density: Literal["gaussian", "kernels"] = "gaussian"


KERNELS = CutPasteSettings(density="kernels")


class GaussianHead(nn.Module):
    """Distance of the pooled last features from the good-part Gaussian, and its GradCAM."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, gaussian: GlobalGaussian):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(gaussian.mean).float())
        self.register_buffer("whitening", torch.from_numpy(gaussian.whitening).float())

    def forward(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) distances and (n, h, w) maps, >= 0, of (n, c, h, w) features.

        αₖ is the gradient of d²/2 with respect to channel k, the same at all h·w positions.
        """
        pooled = last.mean((2, 3))  # (n, c)
        squared = ((pooled - self.mean) @ self.whitening.T).square().sum(1)
        count = last.shape[2] * last.shape[3]
        alpha = squared_distance_gradient(pooled, self.mean, self.whitening) / (2 * count)
        centred = last - self.mean[None, :, None, None]
        cam = functional.relu((centred * alpha[:, :, None, None]).sum(1))
        return torch.sqrt(squared + DISTANCE_FLOOR), cam


class CutPasteGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(self, backbone: EfficientNetLite0, density: nn.Module, weight_hw: Tensor):
        super().__init__()
        self.backbone = backbone
        self.density = density
        self.register_buffer("weight", weight_hw)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        score, cam = self.density(last_features(self.backbone, crops))
        return score, enlarged(cam * self.weight, (int(crops.shape[1]), int(crops.shape[2])))


def last_features(backbone: EfficientNetLite0, crops: Tensor) -> Tensor:
    """Return the last block's (n, c, h / 32, w / 32) output."""
    last: Tensor = backbone(normalise_pixels(crops), (len(backbone.blocks) - 1,))[0]
    return last


@dataclass(frozen=True, slots=True)
class CutPaste:
    """The method; see the module's docstring."""

    name: str = "cutpaste"
    settings: CutPasteSettings = field(default_factory=CutPasteSettings)
    paper: str = PAPER
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the pretext-trained backbone with its Gaussian."""
        network = self._network(settings.seed).to(settings.device)
        optimiser = torch.optim.SGD(
            network.trained_parameters(),
            self.settings.learning_rate,
            momentum=0.9,
            weight_decay=self.settings.weight_decay,
        )
        objective = TrainingObjective(
            self.name, network, optimiser, one_cycle,
            lambda rng: self.loss(network, data, settings.device, rng),
        )  # fmt: skip
        key = fingerprint(data, self.name, self.settings, settings.seed, settings.steps)
        losses = learn(objective, key, settings, on_progress)
        graph, fitted = self._with_density(network, data, settings.device, on_progress)
        about = {
            "method": self.name,
            "settings": asdict(self.settings),
            "losses": ends_of(losses),
            **fitted,
        }
        return Trained(graph.to("cpu").eval(), about, ("/density/",))

    def loss(
        self, network: PretextNet, data: TrainingSet, device: str, rng: np.random.Generator
    ) -> Tensor:
        """Return the cross entropy over one batch of untouched crops and crops with an anomaly."""
        kinds = FORMS[self.name]
        labels = np.arange(self.settings.batch) % (len(kinds) + 1)
        crops = []
        for label in labels:
            crop = data.crops[int(rng.integers(len(data.crops)))]
            if label > 0:
                crop = pseudo_anomaly(rng, crop, data.mask, kinds[label - 1]).crop_hwc
            crops.append(crop)
        batch = torch.from_numpy(own_part(np.stack(crops))).to(device)
        target = torch.from_numpy(own_part(labels)).to(device)
        return functional.cross_entropy(network(network.prefix(batch)), target)

    def _network(self, seed: int) -> PretextNet:
        torch.manual_seed(seed)
        backbone = load_lite0(self.settings.last_block)
        return PretextNet(backbone, self.settings.first_trained, len(FORMS[self.name]) + 1)

    def _with_density(
        self, network: PretextNet, data: TrainingSet, device: str, on_progress: OnProgress
    ) -> tuple[CutPasteGraph, JsonObject]:
        """Return the graph and what was fitted."""
        backbone = network.backbone.requires_grad_(False)
        pooled = PooledLast(backbone).eval()
        batches = feature_batches(pooled, data.crops, device, lambda d: on_progress("features", d))
        embeddings = torch.cat([x.cpu() for x in batches]).double().numpy()
        weight = product_weight(data.mask, data.crop_hw, MAP_STRIDE_LAST)
        if self.settings.density == "kernels":
            kernels = fit_kernels(embeddings)
            fitted: JsonObject = {"bandwidth": float(f"{kernels.bandwidth:.4g}")}
            return CutPasteGraph(backbone, KernelHead(kernels), weight), fitted
        gaussian = fit_global(embeddings)
        fitted = {
            "shrinkage": round(gaussian.shrinkage, 4),
            "effective_rank": round(gaussian.effective_rank, 1),
        }
        return CutPasteGraph(backbone, GaussianHead(gaussian), weight), fitted


class PooledLast(nn.Module):
    """crops → (n, c) means of the last block's output."""

    def __init__(self, backbone: EfficientNetLite0):
        super().__init__()
        self.backbone = backbone

    def forward(self, crops: Tensor) -> Tensor:
        """Return (n, c)."""
        return last_features(self.backbone, crops).mean((2, 3))
