"""SimpleNet: a small discriminator learns to tell good features from the same with noise.

Source: Liu et al., SimpleNet, CVPR 2023, sections 3.1 to 3.5.
Defaults: levels 2 and 3 with 3 × 3 local averages, adaptor of one linear layer, discriminator of
two layers (linear, BatchNorm, leaky ReLU 0.2, linear), truncated L1 with th = 0.5, Adam 0.0001 for
the adaptor and 0.0002 for the discriminator, weight decay 0.00001, batch 4; map smoothed with
sigma 4 px, score = largest patch.
Published image AUROC on MVTec AD (its ablation): ResNet18 98.3, ResNet50 99.6, WideResNet50 99.6.
Deviations:
- EfficientNet-Lite0, blocks 4 and 10, instead of WideResNet50; features are not pooled to 1536
  channels; each channel is divided by its standard deviation over good crops.
- The discriminator's hidden layer is as wide as the features, 152, instead of 1024; the adaptor
  has a bias, as in the authors' code.
- Noise of 0.25 instead of 0.015, which is meant for WideResNet50's features: with it the loss on
  Lite0's stays at 1 (shared FIELD notes).
- Map and score are softplus(−D), which is never negative and keeps −D's order.
- Patches beside the product are neither learnt nor scored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.methods.loop import TrainingObjective, constant, ends_of, learn
from export.methods.patches import PatchFeatures
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import GaussianSmoothing, enlarged, map_size
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

SMOOTHING_PX = 4.0
LEAK = 0.2


@dataclass(frozen=True, slots=True)
class SimpleNetSettings:
    """How the discriminator is trained.

    Attributes:
        taps: blocks of Lite0.
        stride: input pixels per grid step.
        noise: standard deviation of the noise on the adaptor's output, whose input has 1.
        margin: th of the truncated L1 loss.
        adaptor_rate: Adam's rate for the adaptor.
        discriminator_rate: the same for the discriminator.
        weight_decay: of both.
        batch: crops a step.
    """

    taps: tuple[int, ...] = (4, 10)
    stride: int = 8
    noise: float = 0.25
    margin: float = 0.5
    adaptor_rate: float = 0.0001
    discriminator_rate: float = 0.0002
    weight_decay: float = 0.00001
    batch: int = 4


class Discriminator(nn.Module):
    """Adaptor and two-layer discriminator over (p, d) patch features.

    Args:
        dimensions: d; the hidden layer is as wide.
    """

    def __init__(self, dimensions: int):
        super().__init__()
        self.adaptor = nn.Linear(dimensions, dimensions)
        self.hidden = nn.Linear(dimensions, dimensions)
        self.norm = nn.BatchNorm1d(dimensions)
        self.tail = nn.Linear(dimensions, 1, bias=False)
        for layer in (self.adaptor, self.hidden, self.tail):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (p,) D of (p, d) raw features: larger is more normal."""
        return self.judge(self.adaptor(patches))

    def judge(self, adapted: Tensor) -> Tensor:
        """Return (p,) D of (p, d) adapted features."""
        hidden = functional.leaky_relu(self.norm(self.hidden(adapted)), LEAK)
        verdict: Tensor = self.tail(hidden)
        return verdict[:, 0]


def truncated_l1(normal: Tensor, noisy: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, th − D(q)) + max(0, th + D(q⁻)): the paper's eq. 5."""
    return functional.relu(margin - normal).mean() + functional.relu(margin + noisy).mean()


class SimpleNetGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(
        self,
        features: PatchFeatures,
        discriminator: Discriminator,
        weight_hw: Tensor,
        crop_hw: tuple[int, int],
    ):
        super().__init__()
        self.features = features
        self.discriminator = discriminator
        self.register_buffer("weight", weight_hw)
        self.smooth = GaussianSmoothing(SMOOTHING_PX / MAP_STRIDE, map_size(crop_hw))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        x = self.features(crops)
        d, h, w = (int(s) for s in x.shape[1:])
        verdict = self.discriminator(x.permute(0, 2, 3, 1).reshape(-1, d))
        anomaly = functional.softplus(-verdict).reshape(-1, h, w) * self.weight
        whole = enlarged(anomaly, (int(crops.shape[1]), int(crops.shape[2])))
        return anomaly.amax((1, 2)), self.smooth(whole)


@dataclass(frozen=True, slots=True)
class SimpleNet:
    """The method; see the module's docstring."""

    name: str = "simplenet"
    settings: SimpleNetSettings = field(default_factory=SimpleNetSettings)
    paper: str = "Liu et al., SimpleNet: A Simple Network for Image Anomaly Detection, CVPR 2023"
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the frozen features with their trained discriminator."""
        features = PatchFeatures(self.settings.taps, self.settings.stride, is_pooled=True)
        features = features.eval().to(settings.device)
        features.standardise(data, settings.device, on_progress)
        torch.manual_seed(settings.seed)
        discriminator = Discriminator(features.dimensions).to(settings.device)
        weight = product_weight(data.mask, data.crop_hw, self.settings.stride)
        objective = TrainingObjective(
            self.name, discriminator, self._optimiser(discriminator), constant,
            lambda rng: self.loss(features, discriminator, data, weight, settings.device, rng),
        )  # fmt: skip
        key = fingerprint(data, self.name, self.settings, settings.seed, settings.steps)
        losses = learn(objective, key, settings, on_progress)
        graph = SimpleNetGraph(features, discriminator, weight, data.crop_hw).to("cpu")
        about = {
            "method": self.name,
            "settings": asdict(self.settings),
            "losses": ends_of(losses),
        }
        return Trained(graph.requires_grad_(False).eval(), about, ("/discriminator/",))

    def loss(
        self,
        features: PatchFeatures,
        discriminator: Discriminator,
        data: TrainingSet,
        weight_hw: Tensor,
        device: str,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the truncated L1 loss of one batch's patches and their noisy copies."""
        pick = own_part(rng.integers(0, len(data.crops), self.settings.batch))
        with torch.no_grad():
            x = features(torch.from_numpy(data.crops[pick]).to(device))  # (b, d, gh, gw)
        inside = weight_hw.flatten().nonzero()[:, 0].to(device)
        patches = x.flatten(2)[:, :, inside].transpose(1, 2).reshape(-1, x.shape[1])  # (p, d)
        whole = (self.settings.batch * len(inside), int(x.shape[1]))
        noise = rng.standard_normal(whole, np.float32) * np.float32(self.settings.noise)
        adapted = discriminator.adaptor(patches)
        noisy = adapted + torch.from_numpy(own_part(noise)).to(device)
        verdicts = discriminator.judge(torch.cat([adapted, noisy]))  # one BatchNorm for both
        normal, anomaly = verdicts.chunk(2)
        return truncated_l1(normal, anomaly, self.settings.margin)

    def _optimiser(self, discriminator: Discriminator) -> torch.optim.Optimizer:
        s = self.settings
        adaptor = list(discriminator.adaptor.parameters())
        rest = [p for n, p in discriminator.named_parameters() if not n.startswith("adaptor")]
        return torch.optim.Adam(
            [
                {"params": adaptor, "lr": s.adaptor_rate},
                {"params": rest, "lr": s.discriminator_rate},
            ],
            weight_decay=s.weight_decay,
        )
