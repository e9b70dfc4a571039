"""CutPaste, SimpleNet, DRAEM and the autoencoders: what is learnt, and what the graph then sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as SklearnKernels
from support.method_parts import (
    CROP_HW,
    assert_keeps_the_contract,
    assert_sees_the_defect,
    part,
    parts,
    product_mask,
    train,
)
from torch.nn import functional

from edge_app.errors import DataError
from export.methods.autoencoder import AutoencoderMethod, AutoencoderSettings
from export.methods.cutpaste import CutPaste, CutPasteSettings, GaussianHead
from export.methods.cutpaste_patch import PatchCutPaste, PatchCutPasteSettings
from export.methods.draem import SLIM, Draem, DraemGraph, DraemSettings
from export.methods.draem_net import DraemNet
from export.methods.fanogan import FAnoGanGraph
from export.methods.fanogan_net import Critic, Encoder, Generator
from export.methods.kernel_density import (
    BANDWIDTHS,
    KernelHead,
    fit_kernels,
    likeliest_bandwidth,
)
from export.methods.protocol import Method, Trained, TrainSettings
from export.methods.simplenet import SimpleNet, SimpleNetSettings, truncated_l1
from export.networks.density import fit_global
from export.networks.feature_grid import product_weight

pytestmark = pytest.mark.needs("the extra train")

SMALL: dict[str, tuple[Method, int]] = {
    "cutpaste": (CutPaste("cutpaste", CutPasteSettings(batch=8)), 4),
    "cutpaste-scar": (CutPaste("cutpaste-scar", CutPasteSettings(batch=8)), 3),
    "cutpaste-3way": (CutPaste("cutpaste-3way", CutPasteSettings(batch=9)), 3),
    "cutpaste-kde": (CutPaste("cutpaste-kde", CutPasteSettings(batch=6, density="kernels")), 3),
    "cutpaste-patch": (PatchCutPaste(settings=PatchCutPasteSettings(batch=12)), 4),
    "simplenet": (SimpleNet(settings=SimpleNetSettings(discriminator_rate=0.002)), 60),
    "draem": (Draem("draem", DraemSettings(widths=(8, 8), batch=8, learning_rate=0.004)), 120),
    "autoencoder-l2": (
        AutoencoderMethod("autoencoder-l2", AutoencoderSettings(latent=16, batch=8)),
        60,
    ),
    "autoencoder-ssim": (
        AutoencoderMethod("autoencoder-ssim", AutoencoderSettings(latent=16, batch=8)),
        30,
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Return a function that trains a method when it is first asked for."""
    work = tmp_path_factory.mktemp("learned")

    @cache
    def after_a_few_steps(name: str) -> Trained:
        method, steps = SMALL[name]
        return train(method, work, steps)

    return after_a_few_steps


SLOW = ("draem", "autoencoder-l2", "autoencoder-ssim", "cutpaste-scar", "cutpaste-3way")
"""Ten to thirty seconds of training each; what is theirs alone is tested below without it."""


def names(*wanted: str) -> list[Any]:
    """Return parameters, those that take long for the slow tier."""
    return [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in wanted]


@pytest.mark.parametrize("name", names(*SMALL))
def test_graph_keeps_the_contract(
    name: str, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    """Shapes, any n, parity between torch and ONNX Runtime to 1e-3."""
    about = assert_keeps_the_contract(trained(name), tmp_path)
    assert about["method"] == name


@pytest.mark.parametrize("name", names("simplenet", "draem", "autoencoder-l2", "autoencoder-ssim"))
def test_loss_falls(name: str, trained: Callable[[str], Trained]) -> None:
    """The last step's loss is clearly below the first one's."""
    first, last = trained(name).about["losses"]
    assert last < 0.8 * first


@pytest.mark.slow
def test_cutpaste_learns_its_pretext(tmp_path: Path) -> None:
    """The loss starts at that of guessing, ln 2, and falls by a fifth in 30 steps."""
    method = CutPaste("cutpaste", CutPasteSettings(batch=16))
    first, last = train(method, tmp_path, steps=30).about["losses"]
    assert first == pytest.approx(np.log(2), abs=0.1)
    assert last < 0.8 * first


@pytest.mark.parametrize("name", names("simplenet", "draem", "autoencoder-l2", "autoencoder-ssim"))
def test_map_points_at_a_planted_defect(name: str, trained: Callable[[str], Trained]) -> None:
    """Damaged parts score above good ones and the map's peak lies on the spot."""
    assert_sees_the_defect(trained(name))


@pytest.mark.parametrize("name", ["cutpaste", "cutpaste-kde"])
def test_cutpaste_map_rises_at_a_planted_defect(
    name: str, trained: Callable[[str], Trained]
) -> None:
    """The last block's grid is 32 px wide, so the peak may lie one position off."""
    assert_sees_the_defect(trained(name), within_px=48)


def test_draem_has_the_papers_size() -> None:
    """97.4 million parameters with the authors' widths, 2.9 with those for the edge."""
    with torch.device("meta"):
        nets = DraemNet(128, 64), DraemNet(*SLIM.widths)
    full, slim = (sum(p.numel() for p in net.parameters()) for net in nets)
    assert full == pytest.approx(97.4e6, rel=0.001)
    assert round(slim / 1e6, 1) == 2.9


def test_draem_takes_crops_that_are_not_square() -> None:
    """64 × 96 in, a reconstruction of the same size and two logits a pixel out."""
    net = DraemNet(4, 4).eval()
    with torch.no_grad():
        rebuilt, logits = net(torch.rand(1, 3, *CROP_HW))
    assert rebuilt.shape == (1, 3, *CROP_HW)
    assert logits.shape == (1, 2, *CROP_HW)


def test_draem_and_fanogan_maps_are_zero_beside_the_product() -> None:
    """Whatever untrained networks see there."""
    weight = product_weight(product_mask(), CROP_HW, 4)
    crops = torch.from_numpy(np.stack([part(0), part(1)]))
    with torch.no_grad():
        draem = DraemGraph(DraemNet(4, 4), product_weight(product_mask(), CROP_HW, 1)).eval()
        gan = FAnoGanGraph(Generator(8, 4), Critic(4), Encoder(8, 4), weight, 1.0).eval()
        beside = functional.max_pool2d(weight[None], 3, 1, 1)[0] == 0  # not even in part
        for _, map_nhw in (draem(crops), gan(crops)):
            assert float(map_nhw[:, beside].max()) == 0
            assert float(map_nhw[:, weight > 0].min()) > 0


def test_gaussian_head_is_gradcam_of_half_the_squared_distance() -> None:
    """αₖ equals autograd's gradient averaged over positions; positions sum to the distance."""
    generator = np.random.default_rng(0)
    head = GaussianHead(fit_global(generator.normal(size=(40, 6))))
    features = torch.randn(2, 6, 3, 4, requires_grad=True)
    distance, cam = head(features)
    half = 0.5 * (distance.square() - 1e-6)
    (gradient,) = torch.autograd.grad(half.sum(), features)
    alpha = gradient.mean((2, 3), keepdim=True)
    additive = (alpha * (features - head.mean[None, :, None, None])).sum(1)
    torch.testing.assert_close(cam, additive.clamp(min=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(additive.sum((1, 2)), 2 * half, rtol=1e-4, atol=1e-4)


def test_kernel_density_is_scikit_learns() -> None:
    """Scores differ from −h² log p by a constant, for points near and far."""
    generator = np.random.default_rng(0)
    density = fit_kernels(generator.normal(size=(60, 3)) * [1, 5, 0.2] + 4)
    reference = SklearnKernels(bandwidth=density.bandwidth).fit(density.points)
    asked = generator.normal(size=(9, 3)) * [2, 9, 0.5] + 4
    score, _ = KernelHead(density)(torch.from_numpy(asked).float()[:, :, None, None])
    log = reference.score_samples((asked - density.mean) / density.std)
    offset = score.numpy() + density.bandwidth**2 * log
    np.testing.assert_allclose(offset, offset[0], rtol=1e-3, atol=1e-3)


def test_bandwidth_is_the_likeliest_by_leaving_one_out() -> None:
    """No other value of the grid makes the left-out points likelier, by scikit-learn's count."""
    points = np.random.default_rng(1).normal(size=(25, 2))
    chosen = likeliest_bandwidth(points)

    def likelihood(h: float) -> float:
        rest = [np.delete(points, i, 0) for i in range(25)]
        pairs = zip(rest, points, strict=True)
        return sum(float(SklearnKernels(bandwidth=h).fit(r).score(p[None])) for r, p in pairs)

    near = [h for h in BANDWIDTHS if 0.05 < h < 5]
    assert chosen == max(near, key=likelihood)


def test_kernel_map_is_gradcam_of_the_score() -> None:
    """αₖ equals autograd's gradient with respect to the features, averaged over positions."""
    generator = np.random.default_rng(2)
    head = KernelHead(fit_kernels(generator.normal(size=(40, 6))))
    features = torch.randn(2, 6, 3, 4, requires_grad=True)
    score, cam = head(features)
    (gradient,) = torch.autograd.grad(score.sum(), features)
    assert cam.shape == (2, 3, 4)
    pooled = (features.mean((2, 3)) - head.mean) / head.std
    shares = torch.softmax(-0.5 * (pooled[:, None] - head.points).square().sum(2) / head.square, 1)
    reference = (shares @ head.points) * head.std + head.mean
    expected = (gradient * (features - reference[:, :, None, None])).sum(1).clamp(min=0)
    torch.testing.assert_close(cam, expected, rtol=1e-3, atol=1e-5)


def test_kernels_on_copies_of_one_crop_are_refused() -> None:
    """No spread, no bandwidth."""
    with pytest.raises(DataError, match="do not vary"):
        fit_kernels(np.ones((5, 3)))


def test_truncated_l1_by_hand() -> None:
    """th 0.5: D = 1 and 0 on good patches cost 0 and 0.5; −1 and 0.25 on noisy ones 0 and 0.75."""
    loss = truncated_l1(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.25]), 0.5)
    assert float(loss) == pytest.approx(0.25 + 0.375)


def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Checkpoints and per-step randomness: a resumed run equals one that ran through."""
    method = SimpleNet(settings=replace(SimpleNetSettings(), batch=2))
    data = parts(6)
    whole = train(method, tmp_path / "whole", steps=10, data=data)

    class Stopped(Exception):
        pass

    def stop_at_half(step: str, done: float) -> None:
        if step == "simplenet" and done > 0.5:
            raise Stopped

    settings = TrainSettings(seed=3, steps=10, device="cpu", work=tmp_path / "stopped")
    with pytest.raises(Stopped):
        method.train(data, settings, stop_at_half)
    resumed = train(method, tmp_path / "stopped", steps=10, data=data)
    pairs = zip(whole.graph.state_dict().items(), resumed.graph.state_dict().values(), strict=True)
    for (name, expected), found in pairs:
        assert torch.equal(expected, found), name
