"""CropLiq's pretext task: which class of synthetic anomaly, if any, is on this crop?

Two-way is the paper (Le and Kim): E[CE(g(x), 0) + CE(g(CL(x)), 1)]. Three-way adds CutPaste,
four-way Scar.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from export.backbones.pretext_network import PretextNet

WAYS: dict[int, tuple[str, ...]] = {
    2: ("cropliq",),
    3: ("cropliq", "cutpaste"),
    4: ("cropliq", "cutpaste", "scar"),
}
"""Pretext form → synthetic anomalies of classes 1, 2, ...; class 0 is the untouched crop."""


def anchor_of(network: PretextNet) -> list[Tensor]:
    """Return copies of the late blocks' weights as they are now: where L2-SP pulls back to."""
    late = network.backbone.blocks[network.first_trained :]
    return [p.detach().clone() for p in late.parameters()]


def pretext_loss(
    network: PretextNet, logits: Tensor, labels: Tensor, anchor: list[Tensor], strength: float
) -> Tensor:
    """Return mean cross entropy plus ½ · strength · |w − w₀|² over the late blocks.

    Source of the second term: Li, Grandvalet and Davoine, L2-SP, ICML 2018.
    """
    late = network.backbone.blocks[network.first_trained :]
    pairs = zip(late.parameters(), anchor, strict=True)
    drift = torch.stack([(p - a).square().sum() for p, a in pairs]).sum()
    return functional.cross_entropy(logits, labels) + 0.5 * strength * drift
