"""The classifier as a graph: uint8 regions → frozen Lite0 → pooled features → logits."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from edge_app.records import F32Array, U8Array
from export.backbones.efficientnet_lite import load_lite0, normalise_pixels
from export.known_kinds_head import Head
from export.onnx_file import OPSET, checked_model, quiet_tracing

TAPS = (4, 7)
"""Blocks read: shapes at stride 8 and their surroundings at stride 16."""

BATCH = 64
WAYS = 8
"""Four turns, each with its mirror image."""


class RegionFeatures(nn.Module):
    """Lite0's maps of a region, pooled over all of it, its middle half and its very centre.

    The defect is in the middle: what is there counts apart from what is round it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = load_lite0(TAPS[-1])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (m, d) float32 features of normalised (m, 3, h, w) pixels."""
        maps = self.net(pixels, TAPS)
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
    """Features and head in one: uint8 (m, h, w, 3) → (m, c) logits.

    Args:
        is_turned: features are the mean over all turns and mirror images; regions are square.
    """

    def __init__(self, features: RegionFeatures, head: Head, is_turned: bool) -> None:
        super().__init__()
        self.features = features
        self.is_turned = is_turned
        # Standardising is folded into the last layer: one product less, the same logits.
        weight = head.weight / head.spread[:, None]
        self.last = nn.Linear(*weight.shape)
        with torch.no_grad():
            self.last.weight.copy_(torch.from_numpy(weight.T.copy()))
            self.last.bias.copy_(torch.from_numpy(head.bias - head.mean @ weight))

    def forward(self, regions: Tensor) -> Tensor:
        """Return (m, c) logits of uint8 (m, h, w, 3) BGR regions."""
        pixels = normalise_pixels(regions)
        found = _ways_mean(self.features, pixels) if self.is_turned else self.features(pixels)
        logits: Tensor = self.last(found)
        return logits


def _ways_mean(features: RegionFeatures, pixels: Tensor) -> Tensor:
    """Return the mean of the features over the eight turns and mirror images, (m, d)."""
    four = torch.cat([pixels, _mirrored(pixels, 2), _mirrored(pixels, 3),
                      _mirrored(_mirrored(pixels, 2), 3)])  # fmt: skip
    found = features(torch.cat([four, four.transpose(2, 3)]))  # (8 m, d)
    mean: Tensor = found.reshape(WAYS, -1, found.shape[1]).mean(0)
    return mean


def _mirrored(pixels: Tensor, axis: int) -> Tensor:
    """Mirror by a gather, which needs no slice that runs backwards."""
    length = int(pixels.shape[axis])  # a constant of the graph: only the number of regions is free
    return pixels.index_select(axis, torch.arange(length - 1, -1, -1))


def features_of(net: RegionFeatures, regions: U8Array) -> F32Array:
    """Return (n, d) float32 features of uint8 (n, h, w, 3) regions, as cut."""
    found = []
    with torch.no_grad():
        for start in range(0, len(regions), BATCH):
            pixels = normalise_pixels(torch.from_numpy(regions[start : start + BATCH]))
            found.append(net(pixels))
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
