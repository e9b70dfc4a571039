"""The classifier as a graph: uint8 regions → frozen Lite0 → pooled features → logits."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from edge_app.records import F32Array, U8Array
from export.backbones.efficientnet_lite import load_lite0, normalise_pixels
from export.defect_classifier.softmax_head import Head
from export.networks.onnx_export import OPSET, checked_model, quiet_tracing

TAPS = (4, 7)
"""Blocks read: shapes at stride 8 and their surroundings at stride 16."""

BATCH = 64


class RegionFeatures(nn.Module):
    """Lite0's maps of a region, pooled over all of it, its middle half and its very centre.

    The defect is in the middle: what is there counts apart from what is round it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = load_lite0(TAPS[-1])

    def forward(self, regions: Tensor) -> Tensor:
        """Return (m, d) float32 features of uint8 (m, h, w, 3) BGR regions."""
        maps = self.net(normalise_pixels(regions), TAPS)
        return torch.cat([pooled for tapped in maps for pooled in _pooled(tapped)], 1)


def _pooled(maps: Tensor) -> list[Tensor]:
    """Return mean, standard deviation, middle maximum, middle mean and centre mean, (m, c) each."""
    mean = maps.mean((2, 3))
    square = maps.square().mean((2, 3))
    spread = (square - mean.square()).clamp(min=0).sqrt()
    middle = maps[:, :, _inner(maps.shape[2], 4), _inner(maps.shape[3], 4)]
    centre = maps[:, :, _centre(maps.shape[2]), _centre(maps.shape[3])]
    return [mean, spread, middle.amax((2, 3)), middle.mean((2, 3)), centre.mean((2, 3))]


def _inner(length: int, share: int) -> slice:
    return slice(length // share, length - length // share)


def _centre(length: int) -> slice:
    half = max(1, length // 8)
    return slice(length // 2 - half, length // 2 + half)


class ClassifierGraph(nn.Module):
    """Features and head in one: uint8 (m, h, w, 3) → (m, c) logits."""

    def __init__(self, features: RegionFeatures, head: Head) -> None:
        super().__init__()
        self.features = features
        # Standardising is folded into the last layer: one product less, the same logits.
        weight = head.weight / head.spread[:, None]
        self.last = nn.Linear(*weight.shape)
        with torch.no_grad():
            self.last.weight.copy_(torch.from_numpy(weight.T.copy()))
            self.last.bias.copy_(torch.from_numpy(head.bias - head.mean @ weight))

    def forward(self, regions: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(regions))
        return logits


def features_of(net: RegionFeatures, regions: U8Array) -> F32Array:
    """Return (n, d) float32 features of uint8 (n, h, w, 3) regions."""
    found = []
    with torch.no_grad():
        for start in range(0, len(regions), BATCH):
            found.append(net(torch.from_numpy(regions[start : start + BATCH])))
    features: F32Array = torch.cat(found).numpy()
    return features


def write_classifier(graph: ClassifierGraph, region_hw: tuple[int, int], out: Path) -> None:
    """Write classifier.onnx; the number of regions is free.

    Raises:
        ModelError: the exported graph does not pass ONNX's checker.
    """
    example = torch.zeros((2, *region_hw, 3), dtype=torch.uint8)
    with torch.no_grad(), quiet_tracing():
        torch.onnx.export(
            graph.eval(), (example,), str(out), dynamo=False, opset_version=OPSET,
            input_names=["regions"], output_names=["logits"],
            dynamic_axes={"regions": {0: "m"}, "logits": {0: "m"}},
        )  # fmt: skip
    model = checked_model(onnx.load(str(out)))
    out.write_bytes(model.SerializeToString(deterministic=True))
