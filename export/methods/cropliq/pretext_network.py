"""CropLiq's pretext network: which kind of pseudo-anomaly, if any, was painted on this crop?

Two-way is the paper (Le and Kim): E[CE(g(x), 0) + CE(g(CL(x)), 1)]. Three-way adds CutPaste,
four-way Scar. The network is Lite0 with pooling and one linear layer behind its last block, so
GradCAM of a logit has a closed form. Only late blocks learn; what lies before is computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_app.errors import ShapeError
from export.backbones.efficientnet_lite import EfficientNetLite0, channels_of, normalise_pixels

WAYS: dict[int, tuple[str, ...]] = {
    2: ("cropliq",),
    3: ("cropliq", "cutpaste"),
    4: ("cropliq", "cutpaste", "scar"),
}
"""Pretext form → painted kinds; class 0 is the untouched crop."""


class PretextNet(nn.Module):
    """Lite0 with a pretext head.

    Args:
        backbone: ends at the block whose output the head pools.
        first_trained: blocks below it are frozen.
        ways: 2, 3 or 4.
    """

    def __init__(self, backbone: EfficientNetLite0, first_trained: int, ways: int):
        super().__init__()
        if ways not in WAYS:
            raise ShapeError(f"CropLiq is 2-, 3- or 4-way, got {ways}: choose one of {list(WAYS)}.")
        self.backbone = backbone
        self.first_trained = first_trained
        self.head = nn.Linear(channels_of(len(backbone.blocks) - 1), ways)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        self._freeze()

    def _freeze(self) -> None:
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(False)
        for block in self.backbone.blocks[self.first_trained :]:
            block.requires_grad_(True)

    def prefix(self, crops_nhwc: Tensor) -> Tensor:
        """Return the frozen blocks' output for uint8 (n, h, w, 3) crops; no gradient."""
        with torch.no_grad():
            x = self.backbone.run_stem(normalise_pixels(crops_nhwc))
            last = self.first_trained - 1
            return self.backbone.run_blocks(x, 0, self.first_trained, (last,))[0]

    def forward(self, prefix: Tensor) -> Tensor:
        """Return (n, ways) logits from the frozen blocks' output."""
        end = len(self.backbone.blocks)
        last = self.backbone.run_blocks(prefix, self.first_trained, end, (end - 1,))[0]
        logits: Tensor = self.head(last.mean((2, 3)))
        return logits

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return what learns: late blocks, then the head."""
        return [p for p in self.parameters() if p.requires_grad]


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
