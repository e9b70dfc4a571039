"""PaDiM: one Gaussian of patch features at every position of an aligned part.

Source: Defard et al., PaDiM, ICPR 2021.
Defaults: one mean and one covariance per position, 0.01 added to its diagonal (section III-B),
map = Mahalanobis distance smoothed with sigma 4 px, score = the map's maximum (III-C).
`padim` keeps all 424 channels, `padim-slim` 100 chosen at random, the paper's ResNet18 setting:
a covariance takes d² numbers at each position.
Deviations:
- EfficientNet-Lite0, blocks 4, 7, 10 and 14, instead of ResNet18 levels 1 to 3.
- A grid of stride 16, to which finer levels are averaged down, instead of the finest level's own.
- Positions beside the product are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from edge_app.errors import DataError
from edge_app.records import F32Array
from export.methods.patches import PatchFeatures, feature_batches
from export.methods.protocol import FITTED_ONLY, Trained, TrainingSet, TrainSettings, Traits
from export.networks.anomaly_map import GaussianSmoothing, enlarged, map_size
from export.networks.density import PositionGaussian, whitening_of
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.networks.position_term import PositionTerm
from export.workspace import OnProgress

SMOOTHING_PX = 4.0

RIDGE = 0.01
"""Added to the covariances' diagonals (the paper's). Ledoit-Wolf instead costs 0.3 points of image
AUROC on tiles."""


@dataclass(frozen=True, slots=True)
class PaDiMSettings:
    """What the Gaussians look at.

    Attributes:
        taps: blocks of Lite0.
        stride: input pixels per grid step.
        dimensions: channels chosen at random from all taps'; 424 are all of the default ones.
    """

    taps: tuple[int, ...] = (4, 7, 10, 14)
    stride: int = 16
    dimensions: int = 424


class ChosenFeatures(nn.Module):
    """A fixed random choice of the patch features' channels."""

    chosen: Tensor

    def __init__(self, features: PatchFeatures, chosen: Tensor):
        super().__init__()
        self.features = features
        self.register_buffer("chosen", chosen)

    def forward(self, crops: Tensor) -> Tensor:
        """Return (n, dimensions, gh, gw)."""
        return torch.index_select(self.features(crops), 1, self.chosen)


class PaDiMGraph(nn.Module):
    """crops → (score, map)."""

    def __init__(self, features: ChosenFeatures, density: PositionTerm, crop_hw: tuple[int, int]):
        super().__init__()
        self.features = features
        self.density = density
        self.smooth = GaussianSmoothing(SMOOTHING_PX / MAP_STRIDE, map_size(crop_hw))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        distance = torch.sqrt(self.density(self.features(crops)))  # (n, gh, gw)
        whole = enlarged(distance, (int(crops.shape[1]), int(crops.shape[2])))
        smooth = self.smooth(whole)
        return smooth.amax((1, 2)), smooth


def ridge_gaussians(features: F32Array, done: Callable[[float], None]) -> PositionGaussian:
    """Fit one mean and one covariance to each position of (n, d, h, w) features of good crops.

    Raises:
        DataError: features that are not finite.
    """
    if not np.isfinite(features).all():
        raise DataError("Features of good crops are not finite: check the backbone's weights.")
    n, d, h, w = features.shape
    mean = features.mean(0, dtype=np.float64)  # (d, h, w)
    whitening = np.empty((h * w, d, d), np.float32)
    for position in range(h * w):
        y, x = divmod(position, w)
        centred = features[:, :, y, x].astype(np.float64) - mean[:, y, x]  # (n, d)
        covariance = centred.T @ centred / (n - 1) + RIDGE * np.eye(d)
        whitening[position] = whitening_of(covariance)
        done((position + 1) / (h * w))
    return PositionGaussian(mean.astype(np.float32), whitening, cell=1, shrinkage=0.0)


SLIM = PaDiMSettings(dimensions=100)
"""For the edge: an eighteenth of the covariances' size."""


@dataclass(frozen=True, slots=True)
class PaDiM:
    """The method; see the module's docstring."""

    name: str = "padim"
    settings: PaDiMSettings = field(default_factory=PaDiMSettings)
    paper: str = "Defard et al., PaDiM: a Patch Distribution Modeling Framework, ICPR 2021"
    traits: ClassVar[Traits] = FITTED_ONLY

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the graph with its Gaussians; there are no steps to train."""
        generator = torch.Generator().manual_seed(settings.seed)
        patches = PatchFeatures(self.settings.taps, self.settings.stride, is_pooled=False)
        count = min(self.settings.dimensions, patches.dimensions)
        chosen = torch.randperm(patches.dimensions, generator=generator)[:count]
        features = ChosenFeatures(patches, chosen.sort().values).eval().to(settings.device)
        batches = feature_batches(
            features, data.crops, settings.device, lambda d: on_progress("features", d)
        )
        grid = torch.cat([x.cpu() for x in batches]).numpy()  # (n, d, gh, gw)
        gaussian = ridge_gaussians(grid, lambda d: on_progress("densities", d))
        weight = product_weight(data.mask, data.crop_hw, self.settings.stride)
        density = PositionTerm(gaussian, weight.numpy())
        graph = PaDiMGraph(features.to("cpu"), density, data.crop_hw)
        about = {
            "method": self.name,
            "settings": asdict(self.settings),
            "dimensions": count,
        }
        return Trained(graph.eval(), about, ("/density/",))
