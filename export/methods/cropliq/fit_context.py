"""Where an inspector is fitted: one network, its device, the mask and one source of randomness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_app.records import U8Array
from export.backbones.efficientnet_lite import normalise_pixels
from export.backbones.pretext_network import PretextNet
from export.workspace import OnProgress

BATCH = 8
"""Crops a forward pass: more does not speed up two cores."""


@dataclass(frozen=True, slots=True)
class FitContext:
    """A fit's network, device, product mask and one source of randomness."""

    network: PretextNet
    mask_hw: U8Array | None
    rng: np.random.Generator
    device: str
    progress: OnProgress

    def batches(self, crops: U8Array, step: str) -> Iterator[Tensor]:
        """Yield uint8 batches on the device and report the step's progress."""
        for start in range(0, len(crops), BATCH):
            yield torch.from_numpy(crops[start : start + BATCH]).to(self.device)
            self.progress(step, min(1.0, (start + BATCH) / len(crops)))

    def taps(self, batch: Tensor, wanted: tuple[int, ...]) -> dict[int, Tensor]:
        """Return the wanted blocks' outputs by block number."""
        with torch.no_grad():
            found = self.network.backbone(normalise_pixels(batch), wanted)
        return dict(zip(sorted(wanted), found, strict=True))
