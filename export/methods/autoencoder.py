"""Convolutional autoencoder: what a bottleneck trained on good parts cannot rebuild is anomalous.

Sources: latent 1024, horizontal flip, pixels normalised by 0.5, batch 70, Adam 0.001 and 300 epochs
at 256 px as published for carpet and bottle in the work this project grew from; the SSIM form from
Bergmann et al., Improving unsupervised defect segmentation by SSIM to autoencoders, VISAPP 2019.
Deviations:
- The crop's own size instead of 256 × 256; steps are counted, not epochs.
- No flip: parts come upright, and a mirrored one is no good part.
- Batch 16, for two cores.
- Map: squared error, or 1 − SSIM, averaged over 4 × 4 pixels and smoothed with sigma 4 px; errors
  beside the product count as 0 before. Score = its maximum (the source names none).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.methods.loop import TrainingObjective, constant, ends_of, learn
from export.methods.losses import Ssim
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import GaussianSmoothing, map_size
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

FORMS = ("autoencoder-l2", "autoencoder-ssim")

CHANNELS = (3, 32, 64, 128, 128, 128)
"""Channels after each halving of the picture; the last grid is h / 32 × w / 32."""

SMOOTHING_PX = 4.0


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """How it is built and trained.

    Attributes:
        latent: width of the bottleneck.
        learning_rate: Adam's.
        batch: crops a step.
    """

    latent: int = 1024
    learning_rate: float = 0.001
    batch: int = 16


class Autoencoder(nn.Module):
    """Five strided convolutions, a bottleneck, five transposed ones.

    Args:
        crop_hw: sides divisible by 32.
        latent: width of the bottleneck.
    """

    def __init__(self, crop_hw: tuple[int, int], latent: int):
        super().__init__()
        self.grid_hw = (crop_hw[0] // 32, crop_hw[1] // 32)
        flat = CHANNELS[-1] * self.grid_hw[0] * self.grid_hw[1]
        down: list[nn.Module] = []
        for c_in, c_out in pairwise(CHANNELS):
            down += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for c_in, c_out in pairwise(CHANNELS[::-1]):
            up += [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.encode = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, latent))
        self.widen = nn.Linear(latent, flat)
        self.decode = nn.Sequential(*up[:-1], nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 3, h, w), −1..1, of the same."""
        wide = functional.leaky_relu(self.widen(self.encode(x)), 0.2)
        rebuilt: Tensor = self.decode(wide.reshape(-1, CHANNELS[-1], *self.grid_hw))
        return rebuilt


class L2Error(nn.Module):
    """Squared difference at every pixel."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (n, h, w), >= 0, of two (n, 3, h, w): the mean over the channels."""
        return (x - y).square().mean(1)


class SsimError(nn.Module):
    """1 − SSIM at every pixel, of pixels in −1..1 shifted to 0..2: SSIM wants no negative ones."""

    def __init__(self) -> None:
        super().__init__()
        self.ssim = Ssim(span=2.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (n, h, w), 0..2, of two (n, 3, h, w)."""
        similar: Tensor = self.ssim(x + 1, y + 1)
        return 1 - similar


ERRORS: dict[str, Callable[[], nn.Module]] = {
    "autoencoder-l2": L2Error,
    "autoencoder-ssim": SsimError,
}


class AutoencoderGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(
        self, network: Autoencoder, error: nn.Module, weight_hw: Tensor, crop_hw: tuple[int, int]
    ):
        super().__init__()
        self.network = network
        self.error = error
        self.register_buffer("weight", weight_hw)
        self.smooth = GaussianSmoothing(SMOOTHING_PX / MAP_STRIDE, map_size(crop_hw))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        x = signed_pixels(crops)
        error = self.error(x, self.network(x))[:, None] * self.weight  # (n, 1, h, w)
        smooth = self.smooth(functional.avg_pool2d(error, MAP_STRIDE)[:, 0])
        return smooth.amax((1, 2)), smooth

    def rebuilt(self, crops: Tensor) -> Tensor:
        """Return (n, h, w, 3) float32 BGR, 0..255: what comes through the bottleneck."""
        rebuilt: Tensor = self.network(signed_pixels(crops))
        return (rebuilt.permute(0, 2, 3, 1) + 1) * 127.5


def signed_pixels(crops_nhwc: Tensor) -> Tensor:
    """Return (n, 3, h, w) float32, −1..1: (pixel / 255 − 0.5) / 0.5."""
    return crops_nhwc.float().permute(0, 3, 1, 2) / 127.5 - 1


@dataclass(frozen=True, slots=True)
class AutoencoderMethod:
    """The method; see the module's docstring."""

    name: str = "autoencoder-l2"
    settings: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    paper: str = (
        "Bergmann et al., Improving Unsupervised Defect Segmentation by Applying Structural "
        "Similarity to Autoencoders, VISAPP 2019"
    )
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the trained autoencoder with its error map."""
        torch.manual_seed(settings.seed)
        network = Autoencoder(data.crop_hw, self.settings.latent).to(settings.device)
        error = ERRORS[self.name]().to(settings.device)
        optimiser = torch.optim.Adam(network.parameters(), self.settings.learning_rate)

        def loss(rng: np.random.Generator) -> Tensor:
            pick = own_part(rng.integers(0, len(data.crops), self.settings.batch))
            x = signed_pixels(torch.from_numpy(data.crops[pick]).to(settings.device))
            mean: Tensor = error(x, network(x)).mean()
            return mean

        key = fingerprint(data, self.name, self.settings, settings.seed, settings.steps)
        objective = TrainingObjective(self.name, network, optimiser, constant, loss)
        losses = learn(objective, key, settings, on_progress)
        weight = product_weight(data.mask, data.crop_hw, 1)
        network.requires_grad_(False)
        graph = AutoencoderGraph(network, error, weight, data.crop_hw).to("cpu")
        about = {
            "method": self.name,
            "settings": asdict(self.settings),
            "parameters": sum(p.numel() for p in network.parameters()),
            "losses": ends_of(losses),
        }
        return Trained(graph.eval(), about, ("/error/",))
