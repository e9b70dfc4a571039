"""Lite0 with a classifier head for a pretext task; only late blocks learn.

Pooling and one linear layer behind the last block give GradCAM of a logit a closed form. What lies
before the trained blocks never changes, so its output can be computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.backbones.efficientnet_lite import EfficientNetLite0, channels_of, normalise_pixels


class PretextNet(nn.Module):
    """Lite0 with pooling and one linear layer behind its last block.

    Args:
        backbone: ends at the block whose output the head pools.
        first_trained: blocks below it are frozen.
        ways: classes the head tells apart.
    """

    def __init__(self, backbone: EfficientNetLite0, first_trained: int, ways: int):
        super().__init__()
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
