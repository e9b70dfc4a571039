"""CutPaste on patches: the same pretext learnt on small patches, so that each place has a density.

Source: Li et al., CutPaste, CVPR 2021, "Localization with Patch Representation": a patch is cut out
before CutPaste is applied to it; at test time a Gaussian (eq. 3) gives every patch's score, the
largest one is the crop's (figure 1), and Gaussian smoothing carries the scores to the pixels, as
the receptive field upsampling of Liznerski et al., Explainable Deep One-Class Classification,
ICLR 2021 (FCDD).
The pretext's anomalies, optimiser and rate are `cutpaste.py`'s.
Defaults: three-way, patches of 32 px, smoothing with sigma 10 px over the patch (FCDD's code for
fields of 32 px and more).
Deviations, beside those of `cutpaste.py`:
- The patches are not passed through the network one by one: one fully convolutional pass over the
  crop, whose last grid is averaged over each window of a patch's size. A position sees beyond its
  patch there, where the pretext has seen zeros.
- Each place has its own Gaussian, as parts come aligned, fitted to whole crops: one for all places
  has 79 % image AUROC on tiles where these have 92 (docs/methods_table.md).
- Blocks 8 to 10 of Lite0 learn, not 8 to 14: the grid would be as wide as a patch.
- Patches stand 16 px apart (the grid's step), not 4.
- Smoothed scores are divided by the kernels' sum at each pixel: a constant stays one up to the
  border.
- Patches beside the product are neither learnt nor scored.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.errors import DataError
from edge_app.records import U8Array
from export.augment import pseudo_anomaly
from export.backbones.efficientnet_lite import EfficientNetLite0, load_lite0, stride_of
from export.backbones.pretext_network import PretextNet
from export.methods.cutpaste import PAPER, last_features
from export.methods.loop import TrainingObjective, ends_of, learn, one_cycle
from export.methods.patches import feature_batches
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits, fingerprint
from export.networks.anomaly_map import map_size
from export.networks.density import fit_positions
from export.networks.distributed import own_part
from export.networks.feature_grid import product_weight
from export.networks.onnx_export import MAP_STRIDE
from export.networks.position_term import PositionTerm
from export.workspace import OnProgress

KINDS = ("cutpaste", "scar")
"""Anomalies of classes 1 and 2; class 0 is the untouched patch."""

SMOOTHING_PX = 10.0

PLACES_TRIED = 20
"""Patches tried for one that can show a visible anomaly; flat ones cannot."""


@dataclass(frozen=True, slots=True)
class PatchCutPasteSettings:
    """How the pretext is learnt, and on what.

    Attributes:
        patch_px: side of a patch, a multiple of the last block's stride.
        first_trained: blocks below it stay as ImageNet left them.
        last_block: the head and the density average this block's output over a patch.
        learning_rate: peak, SGD with momentum 0.9.
        weight_decay: of all that learns.
        batch: patches a step, all classes together.
    """

    patch_px: int = 32
    first_trained: int = 8
    last_block: int = 10
    learning_rate: float = 0.001
    weight_decay: float = 0.00003
    batch: int = 96


class GoodPatches:
    """Square patches of good crops whose middle lies on the product.

    Where no middle can (a product on the crop's border) all patches of the crop count.

    Args:
        data: the good crops and the product's mask.
        patch_px: side of a patch, at most the crop's.
    """

    def __init__(self, data: TrainingSet, patch_px: int):
        self._crops = data.crops
        self._side = patch_px
        half, (h, w) = patch_px // 2, (length - patch_px + 1 for length in data.crop_hw)
        can_be = np.ones((h, w), bool)
        if data.mask is not None:
            has_product = data.mask[half : half + h, half : half + w] > 0
            can_be = has_product if has_product.any() else can_be
        self._corners_yx = np.argwhere(can_be)  # (k, 2), of top left pixels

    def drawn(self, rng: np.random.Generator) -> U8Array:
        """Return a random patch, uint8 (patch_px, patch_px, 3)."""
        crop = self._crops[int(rng.integers(len(self._crops)))]
        y, x = self._corners_yx[int(rng.integers(len(self._corners_yx)))]
        patch: U8Array = crop[y : y + self._side, x : x + self._side]
        return patch

    def with_anomaly(self, rng: np.random.Generator, kind: str) -> U8Array:
        """Return a random patch with one pseudo-anomaly.

        Raises:
            DataError: no visible anomaly could be made on PLACES_TRIED patches.
        """
        for _ in range(PLACES_TRIED - 1):
            with suppress(DataError):  # a flat patch
                return pseudo_anomaly(rng, self.drawn(rng), None, kind).crop_hwc
        return pseudo_anomaly(rng, self.drawn(rng), None, kind).crop_hwc


class PatchEmbeddings(nn.Module):
    """uint8 crops → (n, c, ph, pw): the last block's output averaged over each patch.

    Args:
        backbone: ends at the block that is averaged.
        patch_px: side of a patch, a multiple of the block's stride.
    """

    def __init__(self, backbone: EfficientNetLite0, patch_px: int):
        super().__init__()
        self.backbone = backbone
        self.stride = stride_of(len(backbone.blocks) - 1)
        self.window = patch_px // self.stride

    def forward(self, crops: Tensor) -> Tensor:
        """Return the patches' embeddings, row by row, one grid step apart, all inside the crop."""
        return functional.avg_pool2d(last_features(self.backbone, crops), self.window, 1)


class PatchUpsampling(nn.Module):
    """Patch scores → map: each patch spreads its score over its pixels with Gaussian weights.

    Args:
        patch_px: side of a patch.
        stride_px: between two patches.
        crop_hw: (height, width); fixed, so that the kernels' sums are constants.
    """

    kernel: Tensor
    norm: Tensor

    def __init__(self, patch_px: int, stride_px: int, crop_hw: tuple[int, int]):
        super().__init__()
        side, sigma = patch_px // MAP_STRIDE, SMOOTHING_PX / MAP_STRIDE
        offsets = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        strip = torch.exp(-0.5 * (offsets / sigma).square())
        self.step = stride_px // MAP_STRIDE
        self.register_buffer("kernel", torch.outer(strip, strip)[None, None])
        patches_hw = [(length - patch_px) // stride_px + 1 for length in crop_hw]
        self.register_buffer("norm", self._spread(torch.ones(1, *patches_hw)))
        assert self.norm.shape[1:] == map_size(crop_hw)

    def forward(self, scores_nhw: Tensor) -> Tensor:
        """Return (n, h / 4, w / 4) of (n, ph, pw)."""
        return self._spread(scores_nhw) / self.norm

    def _spread(self, scores_nhw: Tensor) -> Tensor:
        return functional.conv_transpose2d(scores_nhw[:, None], self.kernel, stride=self.step)[:, 0]


class PatchGraph(nn.Module):
    """crops → (score, map)."""

    def __init__(
        self, embeddings: PatchEmbeddings, density: PositionTerm, upsampling: PatchUpsampling
    ):
        super().__init__()
        self.embeddings = embeddings
        self.density = density
        self.upsampling = upsampling

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) scores and (n, h / 4, w / 4) maps of uint8 (n, h, w, 3) crops."""
        distance = torch.sqrt(self.density(self.embeddings(crops)))  # (n, ph, pw)
        return distance.amax((1, 2)), self.upsampling(distance)


def patch_weight(
    mask_hw: U8Array | None, crop_hw: tuple[int, int], embeddings: PatchEmbeddings
) -> Tensor:
    """Return (ph, pw) float32: 1 for patches at least half on the product.

    A product so thin that no patch is half full keeps its fullest ones.
    """
    grid = product_weight(mask_hw, crop_hw, embeddings.stride)
    full = functional.avg_pool2d(grid[None], embeddings.window, 1)[0]
    return (full >= min(0.5, float(full.max()))).float()


@dataclass(frozen=True, slots=True)
class PatchCutPaste:
    """The method; see the module's docstring."""

    name: str = "cutpaste-patch"
    settings: PatchCutPasteSettings = field(default_factory=PatchCutPasteSettings)
    paper: str = PAPER
    traits: ClassVar[Traits] = Traits()

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the pretext-trained backbone with its Gaussian of patches."""
        s = self.settings
        torch.manual_seed(settings.seed)
        network = PretextNet(load_lite0(s.last_block), s.first_trained, len(KINDS) + 1)
        network = network.to(settings.device)
        optimiser = torch.optim.SGD(
            network.trained_parameters(), s.learning_rate, momentum=0.9,
            weight_decay=s.weight_decay,
        )  # fmt: skip
        good = GoodPatches(data, s.patch_px)
        objective = TrainingObjective(
            self.name, network, optimiser, one_cycle,
            lambda rng: self.loss(network, good, settings.device, rng),
        )  # fmt: skip
        key = fingerprint(data, self.name, s, settings.seed, settings.steps)
        losses = learn(objective, key, settings, on_progress)
        graph, shrinkage = self._with_density(network, data, settings.device, on_progress)
        about = {
            "method": self.name,
            "settings": asdict(s),
            "losses": ends_of(losses),
            "shrinkage": round(shrinkage, 4),
        }
        return Trained(graph.to("cpu").eval(), about, ("/density/",))

    def _with_density(
        self, network: PretextNet, data: TrainingSet, device: str, on_progress: OnProgress
    ) -> tuple[PatchGraph, float]:
        """Return the graph and how much its covariances were shrunk."""
        side = self.settings.patch_px
        embeddings = PatchEmbeddings(network.backbone.requires_grad_(False), side).eval()
        batches = feature_batches(
            embeddings, data.crops, device, lambda d: on_progress("features", d)
        )
        grid = torch.cat([x.cpu() for x in batches]).numpy()  # (n, c, ph, pw)
        gaussian = fit_positions(grid, cell=1)
        weight = patch_weight(data.mask, data.crop_hw, embeddings)
        density = PositionTerm(gaussian, weight.numpy())
        upsampling = PatchUpsampling(side, embeddings.stride, data.crop_hw)
        return PatchGraph(embeddings, density, upsampling), gaussian.shrinkage

    def loss(
        self, network: PretextNet, good: GoodPatches, device: str, rng: np.random.Generator
    ) -> Tensor:
        """Return the cross entropy over one batch of patches, untouched and with an anomaly."""
        labels = np.arange(self.settings.batch) % (len(KINDS) + 1)
        patches = [
            good.drawn(rng) if x == 0 else good.with_anomaly(rng, KINDS[x - 1]) for x in labels
        ]
        batch = torch.from_numpy(own_part(np.stack(patches))).to(device)
        target = torch.from_numpy(own_part(labels)).to(device)
        return functional.cross_entropy(network(network.prefix(batch)), target)
