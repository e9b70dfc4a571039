"""f-AnoGAN's networks: generator, critic and encoder for 64 × 64 pictures.

Source: Schlegl et al., f-AnoGAN, Medical Image Analysis 2019, on the WGAN-GP of Gulrajani et al.,
Improved training of Wasserstein GANs, NeurIPS 2017.
Deviation: four strided convolutions (DCGAN's shape) instead of eight residual convolutions: a fifth
of the work. The critic has no normalisation at all, where the source normalises each picture.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

SIDE_PX = 64
"""Side of the pictures the networks see."""

SMALLEST = 4
"""Side of the grid between convolutions and latent vector."""

LEAK = 0.2


def _halvings(width: int) -> tuple[int, ...]:
    """Return the channels of a picture and after each of the four halvings of its side."""
    return (3, width, 2 * width, 4 * width, 8 * width)


class Generator(nn.Module):
    """(n, latent) → (n, 3, 64, 64), −1..1.

    Args:
        latent: length of z.
        width: channels of the finest grid.
    """

    def __init__(self, latent: int, width: int):
        super().__init__()
        channels = _halvings(width)[::-1]
        self.channels = channels[0]
        self.widen = nn.Linear(latent, channels[0] * SMALLEST * SMALLEST)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for c_in, c_out in pairwise(channels):
            layers += [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1), nn.BatchNorm2d(c_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-2], nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Return pictures."""
        grid = self.widen(z).reshape(-1, self.channels, SMALLEST, SMALLEST)
        picture: Tensor = self.layers(grid)
        return picture


class Critic(nn.Module):
    """(n, 3, 64, 64) → how real, and the features f it goes by.

    Args:
        width: channels of the finest grid.
    """

    def __init__(self, width: int):
        super().__init__()
        channels = _halvings(width)
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(channels):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.tail = nn.Linear(channels[-1] * SMALLEST * SMALLEST, 1)

    def features(self, picture: Tensor) -> Tensor:
        """Return f(x), (n, n_d)."""
        found: Tensor = self.layers(picture)
        return found

    def forward(self, picture: Tensor) -> Tensor:
        """Return (n,), larger is more real, without bounds."""
        real: Tensor = self.tail(self.features(picture))
        return real[:, 0]


class Encoder(nn.Module):
    """(n, 3, 64, 64) → (n, latent), without bounds.

    Args:
        latent: length of z.
        width: channels of the finest grid.
    """

    def __init__(self, latent: int, width: int):
        super().__init__()
        channels = _halvings(width)
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(channels):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.BatchNorm2d(c_out), nn.LeakyReLU(LEAK)]
        flat = channels[-1] * SMALLEST * SMALLEST
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, latent))

    def forward(self, picture: Tensor) -> Tensor:
        """Return z."""
        z: Tensor = self.layers(picture)
        return z


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Return the mean of (‖∇ critic‖ − 1)² at points between real and fake pictures.

    Args:
        critic: its weights get gradients from this.
        real: (n, 3, 64, 64).
        fake: (n, 3, 64, 64).
        mix: (n,) share of the fake one, 0..1.

    Source: Gulrajani et al., NeurIPS 2017, eq. 3.
    """
    between = torch.lerp(real, fake, mix[:, None, None, None]).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    steepness: Tensor = slope.flatten(1).norm(dim=1)
    return (steepness - 1).square().mean()
