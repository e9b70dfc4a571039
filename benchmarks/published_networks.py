"""How many numbers each method's networks hold: ours and the paper's, counted from definitions.

Nothing is downloaded: the papers' backbones are torchvision's definitions with random weights, cut
after the last level that the paper looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torchvision import models

from export.backbones.efficientnet_lite import channels_of, load_lite0, stride_of
from export.backbones.pretext_network import PretextNet
from export.methods.autoencoder import Autoencoder, AutoencoderSettings
from export.methods.bgad import BgadSettings
from export.methods.bgad_flow import ConditionalFlow
from export.methods.cutpaste import FORMS, CutPasteSettings
from export.methods.cutpaste_patch import KINDS as PATCH_KINDS
from export.methods.cutpaste_patch import PatchCutPasteSettings
from export.methods.draem import SLIM as DRAEM_SLIM
from export.methods.draem import DraemSettings
from export.methods.draem_net import DraemNet
from export.methods.efficientad import SLIM as EFFICIENTAD_SLIM
from export.methods.efficientad import EfficientAdSettings
from export.methods.efficientad_net import FeatureAutoencoder, Student
from export.methods.fanogan import FAnoGanSettings
from export.methods.fanogan_net import Critic, Encoder, Generator
from export.methods.padim import SLIM as PADIM_SLIM
from export.methods.padim import PaDiMSettings
from export.methods.patchcore import PatchCoreSettings
from export.methods.simplenet import Discriminator, SimpleNetSettings

Hw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers that a method's networks hold.

    Attributes:
        learnt: weights that its training changes.
        frozen: weights of a backbone that it takes as it is.
        stored: numbers that are fitted and kept: a memory, means and covariances.
    """

    learnt: int = 0
    frozen: int = 0
    stored: int = 0


def count(*networks: nn.Module) -> int:
    """Return how many weights the networks have."""
    return sum(p.numel() for network in networks for p in network.parameters())


def imagined(make: Callable[[], nn.Module]) -> int:
    """Return how many weights a network would have; none of them is drawn."""
    with torch.device("meta"):
        return count(make())


def ours(crop_hw: Hw) -> dict[str, Callable[[], Size]]:
    """Return method → counter for crops of this size: some networks and densities grow with it."""
    return {
        "patchcore": _patchcore,
        "padim": lambda: _padim(PaDiMSettings(), crop_hw),
        "padim-slim": lambda: _padim(PADIM_SLIM, crop_hw),
        **{name: partial(_cutpaste, name) for name in FORMS},
        "cutpaste-patch": lambda: _cutpaste_patch(crop_hw),
        "simplenet": _simplenet,
        "draem": lambda: Size(imagined(lambda: DraemNet(*DraemSettings().widths))),
        "draem-slim": lambda: Size(imagined(lambda: DraemNet(*DRAEM_SLIM.widths))),
        "autoencoder-l2": lambda: _autoencoder(crop_hw),
        "autoencoder-ssim": lambda: _autoencoder(crop_hw),
        "bgad": _bgad,
        "f-anogan": _fanogan,
        "efficientad": lambda: _efficientad(EfficientAdSettings(), crop_hw),
        "efficientad-slim": lambda: _efficientad(EFFICIENTAD_SLIM, crop_hw),
    }


PAPERS: dict[str, Callable[[], Size]] = {
    "patchcore": lambda: Size(frozen=_up_to_layer3(models.wide_resnet50_2)),
    "padim": lambda: Size(frozen=_up_to_layer3(models.resnet18)),
    "cutpaste": lambda: Size(imagined(models.resnet18) - imagined(lambda: models.resnet18().fc)),
    "simplenet": lambda: Size(
        count(nn.Linear(1536, 1536), nn.Linear(1536, 1024), nn.BatchNorm1d(1024))
        + count(nn.Linear(1024, 1, bias=False)),
        _up_to_layer3(models.wide_resnet50_2),
    ),
    "draem": lambda: Size(imagined(lambda: DraemNet(128, 64))),
    "bgad": lambda: Size(
        count(*(ConditionalFlow(d, 128, 8, 0) for d in (72, 200, 576))),
        imagined(models.efficientnet_b6) - imagined(lambda: models.efficientnet_b6().classifier),
    ),
    "efficientad": lambda: Size(
        count(_description(768), _paper_autoencoder()), count(_description(384))
    ),
}
"""The papers' networks without what the good parts add (a memory, covariances). CutPaste without
its head; BGAD's EfficientNet-B6 whole; EfficientAD in its small form."""


def _paper_autoencoder() -> nn.Module:
    """Return EfficientAD's: six convolutions to 64 numbers, eight back to 384 channels."""
    widths = (3, 32, 32, 64, 64, 64)
    down = [nn.Conv2d(a, b, 4) for a, b in pairwise(widths)]
    up = [nn.Conv2d(64, 64, 4) for _ in range(6)]
    ends = [nn.Conv2d(64, 64, 8), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 384, 3)]
    return nn.Sequential(*down, *up, *ends)


def _description(channels: int) -> nn.Module:
    """Return the small patch description network with so many output channels (table 6)."""
    return nn.Sequential(
        nn.Conv2d(3, 128, 4), nn.Conv2d(128, 256, 4), nn.Conv2d(256, 256, 3),
        nn.Conv2d(256, channels, 4),
    )  # fmt: skip


def _up_to_layer3(make: Callable[[], models.ResNet]) -> int:
    return imagined(make) - imagined(lambda: nn.Sequential(make().layer4, make().fc))


def _lite0(tap: int) -> int:
    return count(load_lite0(tap))


def _patchcore() -> Size:
    s = PatchCoreSettings()
    dimensions = sum(channels_of(tap) for tap in s.taps)
    return Size(frozen=_lite0(max(s.taps)), stored=s.coreset * dimensions)


def _padim(s: PaDiMSettings, crop_hw: Hw) -> Size:
    d = s.dimensions
    positions = (crop_hw[0] // s.stride) * (crop_hw[1] // s.stride)
    return Size(frozen=_lite0(max(s.taps)), stored=positions * (d * d + d))


def _cutpaste(name: str) -> Size:
    s = CutPasteSettings()
    network = PretextNet(load_lite0(s.last_block), s.first_trained, len(FORMS[name]) + 1)
    learnt = sum(p.numel() for p in network.trained_parameters())
    return Size(learnt, count(network) - learnt)


def _cutpaste_patch(crop_hw: Hw) -> Size:
    s = PatchCutPasteSettings()
    network = PretextNet(load_lite0(s.last_block), s.first_trained, len(PATCH_KINDS) + 1)
    learnt = sum(p.numel() for p in network.trained_parameters())
    d, stride = channels_of(s.last_block), stride_of(s.last_block)
    rows, columns = ((side - s.patch_px) // stride + 1 for side in crop_hw)
    return Size(learnt, count(network) - learnt, rows * columns * (d * d + d))


def _simplenet() -> Size:
    s = SimpleNetSettings()
    dimensions = sum(channels_of(tap) for tap in s.taps)
    return Size(count(Discriminator(dimensions)), _lite0(max(s.taps)))


def _autoencoder(crop_hw: Hw) -> Size:
    return Size(count(Autoencoder(crop_hw, AutoencoderSettings().latent)))


def _bgad() -> Size:
    s = BgadSettings()
    flows = [ConditionalFlow(channels_of(t), s.place_dimensions, s.couplings, 0) for t in s.taps]
    return Size(count(*flows), _lite0(max(s.taps)))


def _fanogan() -> Size:
    s = FAnoGanSettings()
    return Size(count(Generator(s.latent, s.width), Critic(s.width), Encoder(s.latent, s.width)))


def _efficientad(s: EfficientAdSettings, crop_hw: Hw) -> Size:
    d = sum(channels_of(tap) for tap in s.taps)
    learners = Student(d, s.width), FeatureAutoencoder(crop_hw, d)
    return Size(count(*learners), _lite0(max(s.taps)))
