"""What lies beside the product in a crop: the same in every crop that the network sees.

Late blocks see far: a belt's seam, a rail or a neighbouring part beside a good part makes its edge
look odd, although no place beyond the product is judged. So the graph puts the mean good crop in
place of what lies beyond the product's outline, before the network sees the crop.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from edge_app.records import F32Array, U8Array

RIM_PX = 6
"""Beyond the outline that is still seen: edges, and what a part's own pose and shape vary by."""

SOFT_PX = 2.0
"""Deviation of the transition from what is seen to the mean: no edge of its own."""


class Surroundings(nn.Module):
    """Crops (n, h, w, 3) → the same, float32, with `beside` where they are not kept.

    Args:
        keep: float32 (h, w), 0..1: 1 on the product and its rim.
        beside: float32 (h, w, 3), 0..255: what is put in the place of the rest.
    """

    keep: Tensor
    beside: Tensor

    def __init__(self, keep: F32Array, beside: F32Array):
        super().__init__()
        self.register_buffer("keep", torch.from_numpy(keep)[..., None])
        self.register_buffer("beside", torch.from_numpy(beside * (1 - keep)[..., None]))

    def forward(self, crops: Tensor) -> Tensor:
        """Return float32 (n, h, w, 3) of uint8 (n, h, w, 3)."""
        return crops.float() * self.keep + self.beside


def surroundings_of(crops: U8Array, mask: U8Array | None) -> nn.Module:
    """Return what makes crops alike beside the product; the identity where it fills them.

    Args:
        crops: uint8 (n, h, w, 3), good ones.
        mask: uint8 (h, w), > 0 on the product; None: it fills the crop.
    """
    if mask is None:
        return nn.Identity()
    side = 2 * RIM_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    seen = cv2.dilate((mask > 0).astype(np.float32), disc)
    if seen.all():
        return nn.Identity()
    keep = cv2.GaussianBlur(seen, (0, 0), SOFT_PX)
    mean = crops.mean(0, dtype=np.float64).astype(np.float32)
    return Surroundings(keep.astype(np.float32), mean)
