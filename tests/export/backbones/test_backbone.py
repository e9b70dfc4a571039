"""EfficientNet-Lite0 as we define it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edge_app.errors import ShapeError
from export.backbones.efficientnet_lite import (
    BN_EPS,
    EfficientNetLite0,
    SameConv,
    fold_batchnorm,
    load_lite0,
    normalise_pixels,
    same_padding,
    stride_of,
)

pytestmark = pytest.mark.needs("the extra train")


def test_folded_convolution_equals_convolution_then_batchnorm() -> None:
    """Folding changes nothing but rounding."""
    torch.manual_seed(0)
    state = {"c.weight": torch.randn(5, 3, 3, 3)}
    state |= {f"b.{k}": torch.rand(5) + 0.5 for k in ("weight", "bias", "running_mean")}
    state["b.running_var"] = torch.rand(5) + 0.1
    conv = SameConv(3, 5, 3)
    fold_batchnorm(conv, state, "c", "b")
    x = torch.randn(2, 3, 7, 9)
    plain = functional.conv2d(x, state["c.weight"], padding=1)
    mean, var, gain, shift = (
        state[f"b.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
    )
    expected = functional.batch_norm(plain, mean, var, gain, shift, eps=BN_EPS)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (14, 5, 2, (1, 2)),
        (9, 5, 1, (2, 2)),
        (1, 3, 2, (1, 1)),
    ],
)
def test_padding_is_tensorflows(
    length: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    """SAME padding puts the odd pixel behind; values by hand from TensorFlow's rule."""
    assert same_padding(length, kernel, stride) == expected


def test_taps_have_their_strides_on_a_long_crop() -> None:
    """Blocks 0, 2, 4, 10 and 14 of a 64 × 160 crop come out at strides 2, 4, 8, 16 and 32."""
    net = load_lite0(14)
    crop = torch.zeros((1, 64, 160, 3), dtype=torch.uint8)
    with torch.no_grad():
        taps = net(normalise_pixels(crop), (0, 2, 4, 10, 14))
    assert [stride_of(b) for b in (0, 2, 4, 10, 14)] == [2, 4, 8, 16, 32]
    assert [t.shape[2:] for t in taps] == [(32, 80), (16, 40), (8, 20), (4, 10), (2, 5)]


def test_pretrained_features_tell_pictures_apart() -> None:
    """The weights are in place: stripes and noise differ far more than noise and noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    stripes = np.tile(np.repeat([0, 255], 8).astype(np.uint8)[None, :, None], (64, 4, 3))
    batch = torch.from_numpy(np.concatenate([noise, stripes[None]]))
    with torch.no_grad():
        features = load_lite0(10)(normalise_pixels(batch), (10,))[0].mean((2, 3))
    near, far = (features[0] - features[1]).norm(), (features[0] - features[2]).norm()
    assert far > 3 * near


def test_a_block_that_does_not_exist_is_refused() -> None:
    """Lite0 ends at block 15."""
    with pytest.raises(ShapeError, match=r"blocks 0\.\.15, got last_block 16"):
        EfficientNetLite0(16)
