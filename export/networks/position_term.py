"""A fitted per-position Gaussian as a torch module that holds constants only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_app.records import F32Array
from export.networks.density import PositionGaussian
from export.networks.gradcam import energy_cam


class PositionTerm(nn.Module):
    """Per-position Gaussian: the map is its GradCAM (additive), the score the log of its peak."""

    mean: Tensor
    whitening: Tensor
    weight: Tensor

    def __init__(self, gaussian: PositionGaussian, weight_hw: F32Array):
        super().__init__()
        self.cell = gaussian.cell
        self.register_buffer("mean", torch.from_numpy(gaussian.mean))
        self.register_buffer("whitening", torch.from_numpy(gaussian.whitening))
        self.register_buffer("weight", torch.from_numpy(weight_hw))

    def forward(self, embedded: Tensor) -> Tensor:
        """Return (n, h, w) energies, >= 0: squared distance × weight, 1 on an average position."""
        return energy_cam(self.whitened(embedded)) * self.weight

    def whitened(self, embedded: Tensor) -> Tensor:
        """Return (n, d, h, w): W (f − μ), W shared by the positions of a cell."""
        d, h, w = self.mean.shape
        k = self.cell
        split = (embedded - self.mean).reshape(-1, d, h // k, k, w // k, k)
        cells = split.permute(2, 4, 1, 0, 3, 5).reshape(len(self.whitening), d, -1)
        white = torch.bmm(self.whitening, cells).reshape(h // k, w // k, d, -1, k, k)
        return white.permute(3, 2, 0, 4, 1, 5).reshape(-1, d, h, w)
