"""Losses that several methods share, with their shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
"""Wang et al., Image quality assessment, IEEE TIP 2004."""

FOCAL_FLOOR = 1e-5
"""Probabilities are kept this far from 0 and 1, as DRAEM's code does."""


class Ssim(nn.Module):
    """Structural similarity of two pictures at every pixel.

    Source: Wang et al., IEEE TIP 2004: Gaussian window of 11 px, sigma 1.5, K1 0.01, K2 0.03.
    Deviation: the window sees zeros outside, the same in both pictures.

    Args:
        span: largest minus smallest value a pixel can have.
    """

    kernel: Tensor

    def __init__(self, span: float):
        super().__init__()
        reach = SSIM_WINDOW // 2
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (offsets / SSIM_SIGMA).square())
        self.register_buffer("kernel", kernel / kernel.sum())
        self.c1, self.c2 = (0.01 * span) ** 2, (0.03 * span) ** 2

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (n, h, w), at most 1, of two (n, c, h, w): the mean over the channels."""
        mean_x, mean_y = self._blurred(x), self._blurred(y)
        var_x = self._blurred(x * x) - mean_x * mean_x
        var_y = self._blurred(y * y) - mean_y * mean_y
        covariance = self._blurred(x * y) - mean_x * mean_y
        light = (2 * mean_x * mean_y + self.c1) / (mean_x.square() + mean_y.square() + self.c1)
        structure = (2 * covariance + self.c2) / (var_x + var_y + self.c2)
        return (light * structure).mean(1)

    def _blurred(self, x: Tensor) -> Tensor:
        c, reach = int(x.shape[1]), SSIM_WINDOW // 2
        column = self.kernel[None, None, :, None].expand(c, 1, -1, 1)
        row = self.kernel[None, None, None, :].expand(c, 1, 1, -1)
        tall = functional.conv2d(x, column, padding=(reach, 0), groups=c)
        return functional.conv2d(tall, row, padding=(0, reach), groups=c)


def focal_loss(logits: Tensor, mask: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return the mean of −α (1 − p)^γ log p over all pixels, p the true class's probability.

    Args:
        logits: (n, 2, h, w): normal, anomalous.
        mask: (n, h, w) float32, 1 on the anomaly.
        gamma: 0 is cross entropy; larger values look at hard pixels.
        alpha: weight of both classes alike (the paper's code weighs them equally).

    Source: Lin et al., Focal loss, ICCV 2017, as DRAEM uses it.
    """
    chances = torch.softmax(logits, 1)
    true = torch.where(mask > 0.5, chances[:, 1], chances[:, 0])
    true = true.clamp(FOCAL_FLOOR, 1 - FOCAL_FLOOR)
    return (-alpha * (1 - true).pow(gamma) * torch.log(true)).mean()
