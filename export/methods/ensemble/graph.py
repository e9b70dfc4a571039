"""The ensemble as one graph: pixels in, score and map out.

Input `crops` uint8 (n, h, w, 3) BGR. Outputs `score` float32 (n,), standardised so that good crops
lie round 0, and `map` float32 (n, h / 4, w / 4), >= 0, 1 being an average place of a good crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.backbones.efficientnet_lite import EfficientNetLite0, normalise_pixels
from export.methods.ensemble.choice import POWER, SHIFT, Scale
from export.methods.ensemble.terms import ALL_TAPS, Taps
from export.networks.anomaly_map import GaussianSmoothing, enlarged, map_size
from export.networks.onnx_export import MAP_STRIDE

SMOOTHING_PX = 4.0
BACKBONE_SCOPES = ("/backbone/",)
"""Only the backbone tolerates fp16: distances and densities lose too many digits."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureExtractor:
    """Makes the features that all terms judge: surroundings evened out, then the backbone.

    Attributes:
        surroundings: makes crops alike beside the product (`surroundings_of`).
        backbone: frozen.
    """

    surroundings: nn.Module
    backbone: EfficientNetLite0

    def blocks(self, crops: Tensor) -> list[Tensor]:
        """Return what leaves the blocks of ALL_TAPS for uint8 (n, h, w, 3) crops."""
        found: list[Tensor] = self.backbone(normalise_pixels(self.surroundings(crops)), ALL_TAPS)
        return found

    def to(self, device: str) -> FeatureExtractor:
        """Return it on a device; moved in place."""
        return FeatureExtractor(self.surroundings.to(device), self.backbone.to(device))


class EnsembleGraph(nn.Module):
    """crops → (score, map).

    Args:
        extractor: makes the features of a crop.
        terms: modules taps → (score (n,), map (n, gh, gw)), in the order of `names`.
        scales: how each is standardised.
        map_scales: per term, the mean of its map over good crops; 0 leaves the map out.
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        extractor: FeatureExtractor,
        names: Sequence[str],
        terms: Sequence[nn.Module],
        scales: Sequence[Scale],
        map_scales: Sequence[float],
        crop_hw: tuple[int, int],
    ):
        super().__init__()
        self.surroundings, self.backbone = extractor.surroundings, extractor.backbone
        self.names = tuple(names)
        self.terms = nn.ModuleDict(dict(zip(names, terms, strict=True)))
        self.register_buffer("offset", torch.tensor([s.offset for s in scales]))
        self.register_buffer("scale", torch.tensor([s.scale for s in scales]))
        self.map_scales = tuple(map_scales)
        self.crop_hw = crop_hw
        self.smooth = GaussianSmoothing(SMOOTHING_PX / MAP_STRIDE, map_size(crop_hw))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        blocks = self.extractor.blocks(crops)
        taps = dict(zip(ALL_TAPS, blocks, strict=True))
        return self.judge(taps, (int(crops.shape[1]), int(crops.shape[2])))

    @property
    def extractor(self) -> FeatureExtractor:
        """What makes the features that `judge` takes."""
        return FeatureExtractor(self.surroundings, self.backbone)

    def found(self, taps: Taps) -> list[tuple[Tensor, Tensor]]:
        """Return each term's (n,) scores and (n, gh, gw) maps, in the order of `names`."""
        return [self.terms[name](taps) for name in self.names]

    def judge(self, taps: Taps, crop_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the same from the backbone's blocks."""
        found = self.found(taps)
        raw = torch.stack([score for score, _ in found], 1)
        above = ((raw - self.offset) / self.scale + SHIFT).clamp(min=0)
        score = above.pow(POWER).mean(1).pow(1 / POWER) - SHIFT
        maps = [
            enlarged(m * weight, crop_hw)
            for (_, m), weight in zip(found, self.map_scales, strict=True)
            if weight > 0
        ]
        return score, self.smooth(torch.stack(maps).mean(0))
