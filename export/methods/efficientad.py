"""EfficientAD-style student and teacher: what good parts never taught the student is anomalous.

Source: Batzner et al., EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level
Latencies, WACV 2024: hard feature loss (eq. 1 to 3), penalty on foreign pictures (eq. 4),
autoencoder and second head for logical anomalies (3.3), maps scaled by the 0.9 and 0.995 quantiles
of hold-out good parts, and averaged (3.4).
Defaults: hardest 0.1 % of the distances, Adam 0.0001, weight decay 0.00001, a tenth of the rate
after 95 % of the steps, colour changed by up to 20 % for the autoencoder, a tenth of the good parts
held out.
`efficientad-slim` has a quarter of the student's channels, for the edge.
Deviations:
- Networks, above all the teacher: see `efficientad_net.py`.
- The penalty's pictures are drawn textures (DRAEM's): ImageNet's are not at hand.
- Distances beside the product are 0 in the losses.
- Batch 4 instead of 1; steps are counted, 70,000 in the paper.
- The map is 0 where the averaged one is negative, below the usual, and beside the product; the
  score is the averaged map's largest value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.records import U8Array
from export.backbones.efficientnet_lite import normalise_pixels
from export.methods.draem_anomalies import drawn_texture
from export.methods.efficientad_net import (
    STRIDE,
    FeatureAutoencoder,
    QuantileScale,
    Student,
    Teacher,
)
from export.methods.loop import TrainingObjective, ends_of, learn
from export.methods.patches import BATCH
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import enlarged, peak_on_product
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

LOW_QUANTILE, HIGH_QUANTILE = 0.9, 0.995
"""Of good parts' distances; they become 0 and 0.1."""

LEAST_SPREAD = 1e-6
"""Between the quantiles, so that flat pictures do not divide by zero."""

COLOUR_CHANGE = 0.2

DROP_AT, DROP = 0.95, 0.1


@dataclass(frozen=True, slots=True)
class EfficientAdSettings:
    """How student and autoencoder are built and trained.

    Attributes:
        taps: blocks of Lite0 that are the teacher.
        width: channels of the student's first convolution.
        hardest: share of the distances that the hard loss is the mean of.
        learning_rate: Adam's.
        weight_decay: of both networks.
        batch: crops, and textures, a step.
        held_back_share: of the good crops, for the quantiles.
    """

    taps: tuple[int, ...] = (4, 10)
    width: int = 128
    hardest: float = 0.001
    learning_rate: float = 0.0001
    weight_decay: float = 0.00001
    batch: int = 4
    held_back_share: float = 0.1


SLIM = EfficientAdSettings(width=32)


class EfficientAdGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(
        self, teacher: Teacher, student: Student, autoencoder: FeatureAutoencoder,
        weight_hw: Tensor,
    ):  # fmt: skip
        super().__init__()
        self.teacher, self.student, self.autoencoder = teacher, student, autoencoder
        self.local, self.logical = QuantileScale(), QuantileScale()
        self.register_buffer("weight", weight_hw)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        local, logical = self.distances(crops)
        both = 0.5 * self.local(local) + 0.5 * self.logical(logical)
        whole = enlarged(both, (int(crops.shape[1]), int(crops.shape[2])))
        return peak_on_product(whole, self.weight), functional.relu(whole) * self.weight

    def distances(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return student from teacher and student from autoencoder, each (n, h / 8, w / 8)."""
        x = normalise_pixels(crops)
        as_teacher, as_autoencoder = self.student(x)
        local = (self.teacher(crops) - as_teacher).square().mean(1)
        return local, (self.autoencoder(x) - as_autoencoder).square().mean(1)

    def fit_scales(self, crops: U8Array, product_hw: Tensor, device: str) -> None:
        """Set both quantile scales from good crops nobody learnt from.

        Args:
            crops: uint8 (n, h, w, 3).
            product_hw: (h / 8, w / 8), 1 on the product.
            device: where the graph is.
        """
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        with torch.no_grad():
            for start in range(0, len(crops), BATCH):
                maps = self.distances(torch.from_numpy(crops[start : start + BATCH]).to(device))
                for kept, map_nhw in zip(found, maps, strict=True):
                    kept.append(map_nhw.cpu()[:, product_hw > 0])
        for scale, kept in zip((self.local, self.logical), found, strict=True):
            values = torch.cat(kept).double().numpy()
            low, high = np.quantile(values, (LOW_QUANTILE, HIGH_QUANTILE))
            scale.low.fill_(float(low))
            scale.high.fill_(float(max(high, low + LEAST_SPREAD)))


@dataclass(frozen=True, slots=True)
class EfficientAd:
    """The method; see the module's docstring."""

    name: str = "efficientad"
    settings: EfficientAdSettings = field(default_factory=EfficientAdSettings)
    paper: str = (
        "Batzner et al., EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level "
        "Latencies, WACV 2024"
    )
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the teacher with its trained student and autoencoder."""
        s = self.settings
        training, hold_out = hold_out_split(data.crops, s.held_back_share, settings.seed)
        product = product_weight(data.mask, data.crop_hw, STRIDE)
        teacher = Teacher(s.taps).eval().to(settings.device)
        teacher.levels.standardise(training, settings.device, on_progress)
        torch.manual_seed(settings.seed)
        student = Student(teacher.dimensions, s.width).to(settings.device)
        autoencoder = FeatureAutoencoder(data.crop_hw, teacher.dimensions).to(settings.device)
        learners = nn.ModuleList([student, autoencoder])
        weight = product_weight(data.mask, data.crop_hw, MAP_STRIDE)
        graph = EfficientAdGraph(teacher, student, autoencoder, weight).to(settings.device)
        objective = TrainingObjective(
            self.name, learners,
            torch.optim.Adam(learners.parameters(), s.learning_rate, weight_decay=s.weight_decay),
            late_drop, lambda rng: self.loss(graph, training, product, rng),
        )  # fmt: skip
        key = fingerprint(data, self.name, s, settings.seed, settings.steps)
        losses = learn(objective, key, settings, on_progress)
        graph.eval().requires_grad_(False)
        graph.fit_scales(hold_out, product, settings.device)
        about = {
            "method": self.name,
            "settings": asdict(s),
            "parameters": sum(p.numel() for p in learners.parameters()),
            "held_back_crops": len(hold_out),
            "losses": ends_of(losses),
        }
        return Trained(graph.to("cpu"), about, ("/local/", "/logical/"))

    def loss(
        self, graph: EfficientAdGraph, crops: U8Array, product_hw: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return hard + penalty + autoencoder + second head, of one batch."""
        s, device = self.settings, graph.weight.device
        good = crops[own_part(rng.integers(0, len(crops), s.batch))]
        hw = (int(good.shape[1]), int(good.shape[2]))
        other = own_part(np.stack([drawn_texture(rng, hw) for _ in range(s.batch)]))
        tinted = torch.from_numpy(recoloured(rng, good)).to(device)
        seen = torch.from_numpy(good).to(device)
        with torch.no_grad():
            taught, taught_tinted = graph.teacher(seen), graph.teacher(tinted)
        on_product = product_hw.to(device)
        as_teacher, _ = graph.student(normalise_pixels(seen))
        hard = hardest_mean((taught - as_teacher).square() * on_product, s.hardest)
        on_other, _ = graph.student(normalise_pixels(torch.from_numpy(other).to(device)))
        rebuilt = graph.autoencoder(normalise_pixels(tinted))
        _, as_autoencoder = graph.student(normalise_pixels(tinted))
        logical = (taught_tinted - rebuilt).square() + (rebuilt - as_autoencoder).square()
        total: Tensor = hard + on_other.square().mean() + (logical * on_product).mean()
        return total


def hardest_mean(distances: Tensor, share: float) -> Tensor:
    """Return the mean of the largest share of all values, at least one: L_hard."""
    count = max(1, round(share * distances.numel()))
    return distances.flatten().topk(count).values.mean()


def hold_out_split(crops: U8Array, share: float, seed: int) -> tuple[U8Array, U8Array]:
    """Return the crops to learn from and the rest, at least one, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(crops))
    count = max(1, round(share * len(crops)))
    return crops[np.sort(order[count:])], crops[np.sort(order[:count])]


def recoloured(rng: np.random.Generator, crops: U8Array) -> U8Array:
    """Return all crops with brightness, contrast or saturation changed by the same factor."""
    factor = np.float32(rng.uniform(1 - COLOUR_CHANGE, 1 + COLOUR_CHANGE))
    x = crops.astype(np.float32)
    centres = (np.float32(0), x.mean((1, 2, 3), keepdims=True), x.mean(3, keepdims=True))
    centre = centres[int(rng.integers(3))]
    tinted = np.round(centre + factor * (x - centre))
    return np.asarray(np.clip(tinted, 0, 255), np.uint8)


def late_drop(done: float) -> float:
    """Return 1, and a tenth of it after 95 % of the steps."""
    return 1.0 if done < DROP_AT else DROP
