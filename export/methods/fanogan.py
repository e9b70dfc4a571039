"""f-AnoGAN: a generator learns good parts, an encoder finds each part's place among them.

Source: Schlegl et al., f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial
networks, Medical Image Analysis 2019: WGAN-GP, then an encoder trained by the izi_f loss (section
2.2), A(x) = ‖x − G(E(x))‖² / n + κ ‖f(x) − f(G(E(x)))‖² / n_d, map |x − G(E(x))|.
Defaults: 64 px, z of 100, batch 32, Adam 0.0002, 1500 + 200 epochs, critic in every batch and
generator in every fifth as published for carpet and bottle in the work this project grew from;
Adam's β 0 and 0.9, gradient penalty 10, κ 1 (the authors' code).
Deviations:
- Steps are counted, not epochs; 15 of 17 train generator and critic, the rest the encoder.
- Every fifth batch both step at once, the generator against the critic as it was.
- Networks: see `fanogan_net.py`.
- Crops of any shape are squeezed to 64 × 64 inside the graph; the map is enlarged again.
- Pixels beside the product are not counted, in A(x) and in the map; f sees the whole crop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.methods.fanogan_net import SIDE_PX, Critic, Encoder, Generator, gradient_penalty
from export.methods.loop import Counted, TrainingObjective, constant, ends_of, learn
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import enlarged
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight, resized
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress


@dataclass(frozen=True, slots=True)
class FAnoGanSettings:
    """How the networks are built and trained.

    Attributes:
        latent: length of z, standard normal.
        width: channels of the finest grids.
        learning_rate: Adam's, of all networks.
        betas: Adam's.
        batch: crops a step.
        generator_every: batches of the critic for one of the generator.
        penalty: weight of the gradient penalty.
        kappa: weight of the critic's features, in izi_f and in A(x).
        gan_share: part of the steps before the encoder's; 1500 of 1700 epochs.
    """

    latent: int = 100
    width: int = 64
    learning_rate: float = 0.0002
    betas: tuple[float, float] = (0.0, 0.9)
    batch: int = 32
    generator_every: int = 5
    penalty: float = 10.0
    kappa: float = 1.0
    gan_share: float = 15 / 17


class FAnoGanGraph(nn.Module):
    """crops → (score, map).

    Args:
        generator: G.
        critic: f are its features.
        encoder: E.
        weight_hw: (h / 4, w / 4) float32, 1 on the product.
        kappa: weight of the features' term.
    """

    weight: Tensor
    small_weight: Tensor

    def __init__(
        self, generator: Generator, critic: Critic, encoder: Encoder, weight_hw: Tensor,
        kappa: float,
    ):  # fmt: skip
        super().__init__()
        self.generator, self.critic, self.encoder = generator, critic, encoder
        self.kappa = kappa
        self.register_buffer("weight", weight_hw)
        self.register_buffer("small_weight", resized(weight_hw[None, None], (SIDE_PX, SIDE_PX)))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps, 0..2, of uint8 (n, h, w, 3) crops."""
        x = small_pictures(crops)
        rebuilt = self.generator(self.encoder(x))
        off = (x - rebuilt).abs() * self.small_weight  # (n, 3, 64, 64)
        pixels = off.square().mean((1, 2, 3)) / self.small_weight.mean()
        change = self.critic.features(x) - self.critic.features(rebuilt)
        score = pixels + self.kappa * change.square().mean(1)
        crop_hw = (int(crops.shape[1]), int(crops.shape[2]))
        return score, enlarged(off.mean(1), crop_hw) * self.weight

    def rebuilt(self, crops: Tensor) -> Tensor:
        """Return (n, h, w, 3) float32 BGR, 0..255: G(E(x)), enlarged to the crops' size."""
        small = self.generator(self.encoder(small_pictures(crops)))
        whole = resized(small, (int(crops.shape[1]), int(crops.shape[2])))
        return (whole + 1).permute(0, 2, 3, 1) * 127.5


def small_pictures(crops_nhwc: Tensor) -> Tensor:
    """Return (n, 3, 64, 64) float32, −1..1: averaged over whole blocks first, then bilinear."""
    x = crops_nhwc.float().permute(0, 3, 1, 2) / 127.5 - 1
    block = (max(1, int(x.shape[2]) // SIDE_PX), max(1, int(x.shape[3]) // SIDE_PX))
    return resized(functional.avg_pool2d(x, block), (SIDE_PX, SIDE_PX))


@dataclass(frozen=True, slots=True)
class FAnoGan:
    """The method; see the module's docstring."""

    name: str = "f-anogan"
    settings: FAnoGanSettings = field(default_factory=FAnoGanSettings)
    paper: str = (
        "Schlegl et al., f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial "
        "networks, Medical Image Analysis 2019"
    )
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return generator, critic and encoder as one graph."""
        s = self.settings
        torch.manual_seed(settings.seed)
        generator = Generator(s.latent, s.width).to(settings.device)
        critic = Critic(s.width).to(settings.device)
        encoder = Encoder(s.latent, s.width).to(settings.device)
        objectives = (
            self._gan_objective(generator, critic, data, settings.device),
            self._encoder_objective(generator, critic, encoder, data, settings.device),
        )
        key = fingerprint(data, self.name, s, settings.seed, settings.steps)
        critic_losses, losses = self._learn_both(objectives, key, settings, on_progress)
        weight = product_weight(data.mask, data.crop_hw, MAP_STRIDE)
        graph = FAnoGanGraph(generator, critic, encoder, weight, s.kappa).to("cpu")
        about = {
            "method": self.name,
            "settings": asdict(s),
            "parameters": sum(p.numel() for p in graph.parameters()),
            "critic_losses": ends_of(critic_losses),
            "losses": ends_of(losses),
        }
        return Trained(graph.requires_grad_(False).eval(), about, ())

    def _learn_both(
        self,
        objectives: tuple[TrainingObjective, TrainingObjective],
        key: str,
        settings: TrainSettings,
        on_progress: OnProgress,
    ) -> tuple[list[float], list[float]]:
        """Train generator and critic, then the encoder; both show the share of all steps."""
        first = max(1, round(self.settings.gan_share * settings.steps))
        rest = max(1, settings.steps - first)

        def shown(before: int, steps: int) -> OnProgress:
            return lambda _, done: on_progress(self.name, (before + done * steps) / (first + rest))

        gan, encoding = objectives
        critic_losses = learn(gan, key, replace(settings, steps=first), shown(0, first))
        gan.network.requires_grad_(False)
        losses = learn(encoding, key, replace(settings, steps=rest), shown(first, rest))
        return critic_losses, losses

    def _gan_objective(
        self, generator: Generator, critic: Critic, data: TrainingSet, device: str
    ) -> TrainingObjective:
        s = self.settings
        counted = Counted(nn.ModuleList([generator, critic]))
        optimiser = torch.optim.Adam(counted.parameters(), s.learning_rate, s.betas)

        def loss(rng: np.random.Generator) -> Tensor:
            real = self._drawn(data, device, rng)
            with torch.no_grad():
                fake = generator(self._latent(device, rng))
            mix = torch.from_numpy(own_part(rng.random(s.batch, np.float32))).to(device)
            distance = critic(fake).mean() - critic(real).mean()
            total: Tensor = distance + s.penalty * gradient_penalty(critic, real, fake, mix)
            if counted.next_turn() % s.generator_every == s.generator_every - 1:
                critic.requires_grad_(False)  # this term teaches the generator only
                total = total - critic(generator(self._latent(device, rng))).mean()
                critic.requires_grad_(True)
            return total

        return TrainingObjective(self.name, counted, optimiser, constant, loss)

    def _encoder_objective(
        self, generator: Generator, critic: Critic, encoder: Encoder, data: TrainingSet, device: str
    ) -> TrainingObjective:
        s = self.settings
        optimiser = torch.optim.Adam(encoder.parameters(), s.learning_rate, s.betas)

        def loss(rng: np.random.Generator) -> Tensor:
            x = self._drawn(data, device, rng)
            return izi_f(x, generator(encoder(x)), critic, s.kappa)

        return TrainingObjective(f"{self.name} encoder", encoder, optimiser, constant, loss)

    def _drawn(self, data: TrainingSet, device: str, rng: np.random.Generator) -> Tensor:
        """Return (batch, 3, 64, 64) good crops."""
        pick = own_part(rng.integers(0, len(data.crops), self.settings.batch))
        return small_pictures(torch.from_numpy(data.crops[pick]).to(device))

    def _latent(self, device: str, rng: np.random.Generator) -> Tensor:
        """Return (batch, latent) standard normal."""
        z = rng.standard_normal((self.settings.batch, self.settings.latent), np.float32)
        return torch.from_numpy(own_part(z)).to(device)


def izi_f(x: Tensor, rebuilt: Tensor, critic: Critic, kappa: float) -> Tensor:
    """Return ‖x − x′‖² / n + κ ‖f(x) − f(x′)‖² / n_d, averaged over the batch."""
    change = critic.features(x) - critic.features(rebuilt)
    return (x - rebuilt).square().mean() + kappa * change.square().mean()
