"""`--method blockstats`: one Gaussian of colour and edge statistics for each block of a part.

Imported by `edge-export` when the method is asked for. The device never sees it.
"""

from __future__ import annotations

import torch

from blockstats_method.graph import BLOCK_PX, FEATURES, BlockGaussians, block_features
from export.methods.protocol import FITTED_ONLY, Trained, TrainingSet, TrainSettings
from export.workspace import OnProgress

RIDGE = 1e-4
"""Added to the covariances' diagonals: a hundredth of the range from black to white, squared."""


class BlockStatistics:
    """The method. Implements `export.methods.protocol.Method`."""

    name = "blockstats"
    paper = "After Defard et al., PaDiM, ICPR 2021, with colour and edges in the network's place"
    traits = FITTED_ONLY

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Fit mean and covariance of each block to the good crops; there are no steps to take."""
        del settings  # no steps, no chance, no GPU
        count, features = len(data.crops), []
        for done, crop in enumerate(data.crops, 1):
            features.append(block_features(torch.from_numpy(crop[None])).double())
            on_progress("features", done / count)
        blocks = torch.cat(features)  # (n, f, gh, gw)
        mean = blocks.mean(0)
        off = (blocks - mean).flatten(2).permute(2, 1, 0)  # (blocks, f, n)
        covariance = off @ off.transpose(1, 2) / (count - 1) + RIDGE * torch.eye(FEATURES)
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
        graph = BlockGaussians(mean.float(), whitening.float(), _weight(data))
        about = {"method": self.name, "settings": {"block_px": BLOCK_PX, "ridge": RIDGE}}
        return Trained(graph, about)


def _weight(data: TrainingSet) -> torch.Tensor:
    """Return (gh, gw): 1 where a block touches the product, 0 beside it."""
    h, w = data.crop_hw
    if data.mask is None:
        return torch.ones(h // BLOCK_PX, w // BLOCK_PX)
    mask = torch.from_numpy(data.mask).float().reshape(1, 1, h, w)
    return (torch.nn.functional.max_pool2d(mask, BLOCK_PX)[0, 0] > 0).float()
