"""PatchCore: the distance from each patch to the nearest patch of a good part.

Source: Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022.
Defaults: two mid levels, 3 × 3 neighbourhoods, greedy coreset, one nearest neighbour (sections 3.1
to 3.3); segmentation smoothed with sigma 4 px (section 3.3).
Deviations:
- EfficientNet-Lite0, blocks 4 and 10, instead of WideResNet50 levels 2 and 3; no further pooling to
  1024 channels.
- A coreset of a fixed number instead of 1 to 25 %: the device's memory and time are known.
- The greedy choice runs over at most CANDIDATES random patches.
- The score is the map's maximum without the paper's re-weighting by the neighbour's neighbours.
- Patches beside the product are neither kept nor scored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from edge_app.records import U8Array
from export.methods.coreset import greedy_coreset
from export.methods.patches import PatchFeatures, feature_batches
from export.methods.protocol import FITTED_ONLY, Trained, TrainingSet, TrainSettings, Traits
from export.networks.anomaly_map import GaussianSmoothing, enlarged, map_size
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.workspace import OnProgress

CANDIDATES = 150_000
"""Most patches the greedy choice runs over: all of 761 tiles of 224 px at stride 16. With 20,000 of
them image AUROC on tiles falls from 94 to 83: what is rare among good parts is lost."""

SMOOTHING_PX = 4.0


@dataclass(frozen=True, slots=True)
class PatchCoreSettings:
    """What is kept of the good parts.

    Attributes:
        taps: blocks of Lite0.
        stride: input pixels per grid step.
        coreset: patches in memory.
        is_standardised: each channel is divided by its standard deviation over good crops.
    """

    taps: tuple[int, ...] = (4, 10)
    stride: int = 16
    coreset: int = 3000
    is_standardised: bool = False


class NearestPatch(nn.Module):
    """Euclidean distance of every position to the nearest patch in memory, as one matmul.

    Both sides are centred on the memory's mean: |p − m|² = |p|² + |m|² − 2 p·m loses fewer digits
    when the terms are not much larger than their difference.

    Args:
        memory: (m, d) float32.
    """

    centre: Tensor
    memory: Tensor
    half_squares: Tensor

    def __init__(self, memory: Tensor):
        super().__init__()
        centre = memory.mean(0)
        self.register_buffer("centre", centre[None, :, None, None])
        self.register_buffer("memory", (memory - centre).T.contiguous())  # (d, m)
        self.register_buffer("half_squares", 0.5 * (memory - centre).square().sum(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, h, w) distances of (n, d, h, w) features, >= 0."""
        d, h, w = (int(s) for s in features.shape[1:])
        patches = (features - self.centre).permute(0, 2, 3, 1).reshape(-1, h * w, d)
        nearest = (self.half_squares - patches @ self.memory).amin(2)  # (n, h·w)
        squared = patches.square().sum(2) + 2 * nearest
        # abs, not clamp: rounding below zero is mended, a NaN stays a NaN
        return torch.sqrt(squared.abs()).reshape(-1, h, w)


class PatchCoreGraph(nn.Module):
    """crops → (score, map)."""

    weight: Tensor

    def __init__(
        self, features: PatchFeatures, memory: Tensor, weight_hw: Tensor, crop_hw: tuple[int, int]
    ):
        super().__init__()
        self.features = features
        self.nearest = NearestPatch(memory)
        self.register_buffer("weight", weight_hw)
        self.smooth = GaussianSmoothing(SMOOTHING_PX / MAP_STRIDE, map_size(crop_hw))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        distance = self.nearest(self.features(crops)) * self.weight  # (n, gh, gw)
        whole = enlarged(distance, (int(crops.shape[1]), int(crops.shape[2])))
        return distance.amax((1, 2)), self.smooth(whole)


@dataclass(frozen=True, slots=True)
class PatchCore:
    """The method; see the module's docstring."""

    name: str = "patchcore"
    settings: PatchCoreSettings = field(default_factory=PatchCoreSettings)
    paper: str = (
        "Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore), CVPR 2022"
    )
    traits: ClassVar[Traits] = FITTED_ONLY

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the graph with its memory of good patches; there are no steps to train."""
        generator = torch.Generator().manual_seed(settings.seed)
        features = PatchFeatures(self.settings.taps, self.settings.stride, is_pooled=True)
        features = features.eval().to(settings.device)
        if self.settings.is_standardised:
            features.standardise(data, settings.device, on_progress)
        weight = product_weight(data.mask, data.crop_hw, self.settings.stride)
        patches = _some_patches(
            features, data.crops, weight, generator, settings.device, on_progress
        )
        rows = greedy_coreset(
            patches, self.settings.coreset, generator, lambda d: on_progress("coreset", d)
        )
        graph = PatchCoreGraph(features.to("cpu"), patches[rows].cpu(), weight, data.crop_hw)
        about = {
            "method": self.name,
            "settings": asdict(self.settings),
            "patches_compared": len(patches),
            "patches_kept": len(rows),
        }
        return Trained(graph.eval(), about, ("/nearest/",))


def _some_patches(
    features: PatchFeatures,
    crops: U8Array,
    weight_hw: Tensor,
    generator: torch.Generator,
    device: str,
    on_progress: OnProgress,
) -> Tensor:
    """Return up to CANDIDATES random (p, d) patches on the product, as many from each batch."""
    inside = weight_hw.flatten().nonzero()[:, 0].to(device)  # (k,)
    share = min(1.0, CANDIDATES / (len(crops) * len(inside)))
    kept = []
    for x in feature_batches(features, crops, device, lambda d: on_progress("features", d)):
        patches = x.flatten(2)[:, :, inside].transpose(1, 2).reshape(-1, x.shape[1])
        count = max(1, round(share * len(patches)))
        pick = torch.randperm(len(patches), generator=generator)[:count].to(device)
        kept.append(patches[pick])
    return torch.cat(kept)
