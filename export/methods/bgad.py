"""BGAD: a conditional flow learns how likely good features are, and an explicit boundary parts them
from anomalous ones.

Source: Yao et al., Explicit Boundary Guided Semi-Push-Pull Contrastive Learning for Supervised
Anomaly Detection, CVPR 2023: boundaries b_n (β-th percentile of good log-likelihoods) and
b_a = b_n − τ (eq. 4), loss Σ|min(log p_i − b_n, 0)| + Σ|max(log p_j − b_n + τ, 0)| (eq. 6).
Defaults (the authors' code): 3 levels, 8 couplings, position code of 128, β 0.05, τ 0.1,
log-likelihoods divided by d, and by 10 in the boundary loss, λ 1, Adam 0.0002, the first of 25
epochs without boundaries.
Deviations:
- EfficientNet-Lite0, blocks 4, 10 and 14, instead of EfficientNet-B6; each level is whitened
  round the good mean of every place, so that short trainings begin at a Gaussian, not at nothing.
- Steps are counted, not epochs: a 25th of them comes before the boundaries. One-cycle rate with
  0.002 at its peak: 0.0002 for 200 epochs is more than two cores do.
- A step takes up to `positions` good and as many anomalous positions of each level, not all.
- A position is anomalous if a quarter of its cell is, good if nothing of it is, else left out.
- Boundary losses are means over what violates the boundary (as in the code), not sums.
- Half of a batch has a synthetic anomaly, with real defects or without (`bgad_anomalies.py`);
  `real` crops with real ones come on top. Good positions are taken from the batch alone.
- Score = largest −log p / d, averaged over the levels: s = 1 − exp(log p) saturates in float32.
  The map is softplus of the same, which is never negative and keeps its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, prod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.errors import DataError
from edge_app.records import F32Array, U8Array
from export.backbones.efficientnet_lite import channels_of, stride_of
from export.defects.crops import DefectCrops
from export.methods.bgad_anomalies import Anomaly, draw_real, draw_synthetic, marked
from export.methods.bgad_flow import (
    ConditionalFlow,
    LevelFeatures,
    Whitening,
    good_points,
    grid_of,
    place_code,
)
from export.methods.loop import Counted, TrainingObjective, ends_of, learn, one_cycle
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import enlarged, peak_on_product
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

ANOMALOUS_SHARE = 0.25
"""Part of a position's cell that must be defective for the position to count as anomalous."""


@dataclass(frozen=True, slots=True)
class BgadSettings:
    """How the flows are built and trained.

    Attributes:
        taps: blocks of Lite0, one flow each.
        couplings: in each flow.
        place_dimensions: of the position code.
        beta: share of good positions below the normal boundary.
        tau: distance of the boundaries, in log p / d / normaliser.
        normaliser: divides log p / d in the boundary loss.
        weight: λ of the boundary loss.
        learning_rate: Adam's peak.
        batch: crops a step; every second one has a synthetic anomaly once there are boundaries.
        real: crops with real defects a step besides, where there are any.
        positions: most good, most synthetic and most real anomalous positions of a level a step.
        warm_up: share of the steps on good crops alone, without boundaries.
    """

    taps: tuple[int, ...] = (4, 10, 14)
    couplings: int = 8
    place_dimensions: int = 128
    beta: float = 0.05
    tau: float = 0.1
    normaliser: float = 10.0
    weight: float = 1.0
    learning_rate: float = 0.002
    batch: int = 8
    real: int = 4
    positions: int = 512
    warm_up: float = 0.04


class BgadGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(
        self, features: LevelFeatures, flows: nn.ModuleList, crop_hw: tuple[int, int],
        place_dimensions: int, weight_hw: Tensor,
    ):  # fmt: skip
        super().__init__()
        self.features = features
        self.whitening = nn.ModuleList(
            Whitening(prod(grid_of(tap, crop_hw)), channels_of(tap)) for tap in features.taps
        )
        self.flows = flows
        self.register_buffer("weight", weight_hw)
        for level, tap in enumerate(features.taps):
            code = place_code(place_dimensions, grid_of(tap, crop_hw))
            self.register_buffer(f"place_{level}", code)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        crop_hw = (int(crops.shape[1]), int(crops.shape[2]))
        levels = self.features(crops)
        anomaly = torch.stack([self.level(i, x, crop_hw) for i, x in enumerate(levels)]).mean(0)
        return peak_on_product(anomaly, self.weight), functional.softplus(anomaly) * self.weight

    def whiten(self, data: TrainingSet, device: str, on_progress: OnProgress) -> None:
        """Take out of every level what good crops have in common; the module is on the device."""
        levels = zip(
            self.features.taps,
            good_points(self.features, data.crops, device, on_progress),
            strict=True,
        )
        for index, (tap, points) in enumerate(levels):
            product = product_weight(data.mask, data.crop_hw, stride_of(tap)).numpy()
            self.white(index).fit(points, np.flatnonzero(product > 0))

    def white(self, index: int) -> Whitening:
        """Return a level's whitening."""
        found = self.whitening[index]
        assert isinstance(found, Whitening)
        return found

    def at(self, index: int, x: Tensor, positions: np.ndarray) -> Tensor:
        """Return (k,) log p / d of one level at k positions of its (b, d, h, w) features."""
        d, count = int(x.shape[1]), int(x.shape[2] * x.shape[3])
        chosen = torch.from_numpy(positions).to(x.device)
        points = x.permute(0, 2, 3, 1).reshape(-1, d)[chosen]  # (k, d)
        places = chosen % count
        white = self.white(index).at(points, places)
        likely: Tensor = self.flows[index](white[None], self.get_buffer(f"place_{index}")[places])
        return likely[0]

    def level(self, index: int, x: Tensor, crop_hw: tuple[int, int]) -> Tensor:
        """Return one level's −log p / d on the map's grid, (n, h / 4, w / 4)."""
        h, w = int(x.shape[2]), int(x.shape[3])
        points = x.flatten(2).transpose(1, 2)  # (n, p, d)
        likely = self.flows[index](self.whitening[index](points), self.get_buffer(f"place_{index}"))
        return enlarged(-likely.reshape(-1, h, w), crop_hw)


def boundary_loss(good: Tensor, bad: Tensor, beta: float, tau: float) -> Tensor:
    """Return how far good log-likelihoods lie below b_n and bad ones above b_n − τ.

    Args:
        good: (p,) log-likelihoods of good positions, p >= 1; they set b_n.
        bad: (q,) of anomalous ones; may be empty.
        beta: share of the good ones below b_n.
        tau: margin between the boundaries.
    """
    ordered = good.detach().sort().values
    b_n = ordered[min(len(ordered) - 1, int(len(ordered) * beta))]
    below = b_n - good[good <= b_n]
    above = bad[bad >= b_n - tau] - (b_n - tau)
    return below.mean() + (above.mean() if len(above) else bad.sum() * 0)


@dataclass(frozen=True, slots=True)
class Bgad:
    """The method; see the module's docstring."""

    name: str = "bgad"
    settings: BgadSettings = field(default_factory=BgadSettings)
    paper: str = (
        "Yao et al., Explicit Boundary Guided Semi-Push-Pull Contrastive Learning for Supervised "
        "Anomaly Detection, CVPR 2023"
    )
    traits: ClassVar[Traits] = Traits(learns_from_defects=True)

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the frozen, whitened features with their trained flows.

        Raises:
            DataError: there are real defects, but nobody marked where.
        """
        s = self.settings
        defects = marked(data.defects)
        if data.defects is not None and defects is None:
            raise DataError(
                f"None of the {len(data.defects.crops)} real defects is marked: BGAD learns from "
                "where they are. Put NAME_mask.png beside NAME.png, or leave the defects away."
            )
        features = LevelFeatures(s.taps).eval().to(settings.device)
        features.standardise(data.crops, settings.device, on_progress)
        torch.manual_seed(settings.seed)
        flows = nn.ModuleList(
            ConditionalFlow(channels_of(tap), s.place_dimensions, s.couplings, settings.seed)
            for tap in s.taps
        )
        weight = product_weight(data.mask, data.crop_hw, MAP_STRIDE)
        graph = BgadGraph(features, flows, data.crop_hw, s.place_dimensions, weight)
        graph = graph.to(settings.device)
        graph.whiten(data, settings.device, on_progress)
        counted = Counted(flows)
        objective = TrainingObjective(
            self.name, counted, torch.optim.Adam(flows.parameters(), s.learning_rate), one_cycle,
            lambda rng: self.loss(
                graph, data, defects, counted.next_turn() >= s.warm_up * settings.steps, rng
            ),
        )  # fmt: skip
        key = fingerprint(data, self.name, s, settings.seed, settings.steps)
        losses = learn(objective, key, settings, on_progress)
        about = {
            "method": self.name,
            "settings": asdict(s),
            "parameters": sum(p.numel() for p in flows.parameters()),
            "real_defects": 0 if defects is None else len(defects.crops),
            "unmarked_defects": 0
            if data.defects is None or defects is None
            else len(data.defects.crops) - len(defects.crops),
            "losses": ends_of(losses[min(len(losses) - 1, ceil(s.warm_up * settings.steps)) :]),
        }
        return Trained(
            graph.to("cpu").requires_grad_(False).eval(), about, ("/whitening", "/flows")
        )

    def loss(
        self,
        graph: BgadGraph,
        data: TrainingSet,
        defects: DefectCrops | None,
        has_boundary: bool,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return −log σ(log p / d) of good positions, and the boundary loss once there is one."""
        s = self.settings
        crops, regions = (own_part(x) for x in self.batch(data, has_boundary, rng))
        synthetic = len(crops)
        if has_boundary and defects is not None:
            real = _stacked([draw_real(rng, data, defects) for _ in range(s.real)])
            crops, regions = (
                np.concatenate([a, own_part(b)])
                for a, b in zip((crops, regions), real, strict=True)
            )
        with torch.no_grad():
            levels = graph.features(torch.from_numpy(crops).to(graph.weight.device))
        total = torch.zeros((), device=graph.weight.device)
        for index, (tap, x) in enumerate(zip(s.taps, levels, strict=True)):
            product = product_weight(data.mask, data.crop_hw, stride_of(tap)).numpy()
            good, bad = chosen_positions(rng, regions[:synthetic], product, s.positions)
            _, real_bad = chosen_positions(rng, regions[synthetic:], product, s.positions)
            places = [good, bad, real_bad + synthetic * product.size]
            likely = graph.at(index, x, np.concatenate(places))
            normal, anomaly = likely[: len(good)], likely[len(good) :]
            total = total - functional.logsigmoid(normal).mean()
            if has_boundary:
                scaled = normal / s.normaliser, anomaly / s.normaliser
                total = total + s.weight * boundary_loss(*scaled, s.beta, s.tau)
        return total

    def batch(
        self, data: TrainingSet, has_boundary: bool, rng: np.random.Generator
    ) -> tuple[U8Array, U8Array]:
        """Return crops (b, h, w, 3) and the synthetic anomaly on them (b, h, w), 1 where it is."""
        blank = np.zeros(data.crop_hw, np.uint8)
        return _stacked(
            [
                draw_synthetic(rng, data)
                if has_boundary and number % 2
                else (data.crops[int(rng.integers(len(data.crops)))], blank)
                for number in range(self.settings.batch)
            ]
        )


def chosen_positions(
    rng: np.random.Generator, regions_nhw: U8Array, product_hw: F32Array, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return up to `most` good and `most` anomalous positions, as indices into (b · h · w).

    Every anomaly gives the same number at most, so that a large one does not drown the small ones.

    Args:
        rng: draws them where there are more.
        regions_nhw: uint8 (b, H, W), 1 on the anomaly.
        product_hw: float32 (h, w), 1 on the product; its shape is the grid's.
    """
    (height, width), (h, w) = regions_nhw.shape[1:], product_hw.shape
    cells = regions_nhw.reshape(-1, h, height // h, w, width // w)
    share = cells.mean((2, 4), dtype=np.float32)  # (b, h, w)
    on_product = product_hw[None] > 0
    good = np.flatnonzero(on_product & (share == 0))
    is_bad = on_product & (share >= ANOMALOUS_SHARE)
    crops = np.flatnonzero(is_bad.any((1, 2)))
    each = most // max(1, len(crops))
    bad = [_some(rng, np.flatnonzero(is_bad[i]) + i * h * w, each) for i in crops]
    return _some(rng, good, most), np.concatenate([*bad, np.zeros(0, np.int64)])


def _stacked(anomalies: Sequence[Anomaly]) -> tuple[U8Array, U8Array]:
    return np.stack([crop for crop, _ in anomalies]), np.stack([mark for _, mark in anomalies])


def _some(rng: np.random.Generator, indices: np.ndarray, most: int) -> np.ndarray:
    return indices if len(indices) <= most else rng.choice(indices, most, replace=False)
