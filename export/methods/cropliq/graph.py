"""The inspector as one graph: pixels in, score and map out, nothing left for the device to do.

Input `crops` uint8 (n, h, w, 3) BGR. Outputs `score` float32 (n,), larger is more anomalous, and
`map` float32 (n, h / 4, w / 4), >= 0, 1 being an average place of an average good part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edge_app.errors import ShapeError
from edge_app.records import JsonObject
from export.backbones.efficientnet_lite import EfficientNetLite0, normalise_pixels
from export.methods.protocol import Trained
from export.networks.anomaly_map import enlarged
from export.networks.density import DISTANCE_FLOOR
from export.networks.feature_grid import resized
from export.networks.gradcam import logit_cam
from export.networks.regional_term import RegionalTerm
from export.networks.terms import LocalGaussian, StatisticsTerm, peak_score

BACKBONE_SCOPES = ("/backbone/",)
"""Densities and distances need fp32."""

TERM_NAMES = ("detail", "context", "statistics", "regional")

MapKind = Literal[
    "detail_energy", "context_energy", "statistics_cam", "regional_energy", "logit_cam"
]


@dataclass(frozen=True, slots=True)
class InspectorParts:
    """Everything fitted that the graph is put together from.

    Attributes:
        detail: per-position Gaussian on early blocks and a fine grid: small, faint defects.
        context: the same on late blocks and a coarse grid: what is wrong with a neighbourhood.
        statistics: global Gaussian; `global_taps` are the blocks behind it.
        regional: Gaussian per region, None for a product with an outline.
        logit_weights: (c,) "some pseudo-anomaly" minus "normal", of the pretext head.
    """

    backbone: EfficientNetLite0
    detail: LocalGaussian
    context: LocalGaussian
    statistics: StatisticsTerm
    global_taps: tuple[int, ...]
    logit_weights: Tensor
    regional: RegionalTerm | None = None


class Inspector(nn.Module):
    """The largest of the chosen standardised log distances, and one GradCAM map.

    `offset`, `scale` and `weight` are (4,), in the order of TERM_NAMES. They are fixed when the
    inspector is fitted. A term of weight 0 leaves the exported graph; one that was not fitted
    (`regional` of a product with an outline) has weight 0.
    """

    offset: Tensor
    scale: Tensor
    weight: Tensor
    map_scale: Tensor
    logit_weights: Tensor

    def __init__(self, parts: InspectorParts):
        super().__init__()
        self.backbone = parts.backbone
        self.detail, self.context = parts.detail, parts.context
        self.statistics, self.global_taps = parts.statistics, parts.global_taps
        self.regional = parts.regional
        self.register_buffer("logit_weights", parts.logit_weights)
        self.register_buffer("offset", torch.zeros(len(TERM_NAMES)))
        self.register_buffer("scale", torch.ones(len(TERM_NAMES)))
        weight = torch.ones(len(TERM_NAMES))
        weight[3] = float(parts.regional is not None)
        self.register_buffer("weight", weight)
        self.register_buffer("map_scale", torch.ones(1))
        self.map_kind: MapKind = "detail_energy"

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        taps = self.taps(crops)
        used = [i for i in range(len(TERM_NAMES)) if float(self.weight[i]) != 0.0]
        raw = {i: self.term(i, taps) for i in used}
        parts = [(raw[i] - self.offset[i]) * (self.weight[i] / self.scale[i]) for i in used]
        score = torch.stack(parts).amax(0)  # a crop is as anomalous as its most anomalous term
        coarse = self.map_of(self.map_kind, taps) * self.map_scale
        return score, enlarged(coarse, (int(crops.shape[1]), int(crops.shape[2])))

    def taps(self, crops: Tensor) -> dict[int, Tensor]:
        """Return the tapped blocks' outputs by block number."""
        wanted = sorted({*self.detail.taps, *self.context.taps, *self.global_taps})
        found = self.backbone(normalise_pixels(crops), wanted)
        return dict(zip(wanted, found, strict=True))

    def term(self, index: int, taps: dict[int, Tensor]) -> Tensor:
        """Return (n,) log distances of one term, not yet standardised."""
        if index < 2:
            return peak_score((self.detail, self.context)[index].energy(taps))
        if index == 3:
            return self._fitted_regional().score(taps)
        distance: Tensor = self.statistics([taps[b] for b in self.global_taps])
        return torch.log(distance)

    def map_of(self, kind: MapKind, taps: dict[int, Tensor]) -> Tensor:
        """Return one kind's (n, gh, gw) map on its own grid, not yet scaled."""
        if kind == "detail_energy":
            return self.detail.energy(taps)
        if kind == "context_energy":
            return self.context.energy(taps)
        if kind == "regional_energy":
            return self._within_regions(taps)
        if kind == "logit_cam":
            return logit_cam(taps[max(taps)], self.logit_weights)
        levels = self.statistics.maps([taps[b] for b in self.global_taps])
        grid_hw = (int(levels[0].shape[1]), int(levels[0].shape[2]))
        return torch.stack([resized(m[:, None], grid_hw)[:, 0] for m in levels]).sum(0)

    def _within_regions(self, taps: dict[int, Tensor]) -> Tensor:
        """Return the geometric mean of the regions' energies and the context's, (n, gh, gw).

        A region is too coarse for a box; the context says where in it. On magnetic tiles (one
        draw, frozen, 56 × 56) pixel AUROC and PRO are 84.5 and 60.6 of the regions alone, 82.0 and
        71.5 of both, and 82.6 and 67.0 where the context is pooled over 3 × 3 positions.
        """
        fine = self.context.energy(taps)
        grid_hw = (int(fine.shape[1]), int(fine.shape[2]))
        coarse = resized(self._fitted_regional().energy(taps)[:, None], grid_hw)[:, 0]
        return torch.sqrt(fine * coarse + DISTANCE_FLOOR)

    def _fitted_regional(self) -> RegionalTerm:
        if self.regional is None:
            raise ShapeError("This inspector has no regional term: its product has an outline.")
        return self.regional


@dataclass(frozen=True, slots=True, eq=False)
class TrainedInspector:
    """A fitted inspector and what was measured while fitting it.

    Attributes:
        crop_hw: the crop size (height, width) it was made for.
        report: plain JSON: method, taps, shares, choices and measured figures; no times or paths.
    """

    inspector: Inspector
    crop_hw: tuple[int, int]
    report: JsonObject

    def as_trained(self) -> Trained:
        """Return the graph as every method does; all but the backbone stays in fp32."""
        return Trained(self.inspector, self.report, fp16_nodes=BACKBONE_SCOPES)
