"""f-AnoGAN: who learns when, what the generator draws, and what the graph then sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    DEFECT_YX,
    assert_compiles,
    assert_keeps_the_contract,
    damaged,
    part,
    parts,
    run_torch,
    train,
)

from export.methods.fanogan import FAnoGan, FAnoGanGraph, FAnoGanSettings, izi_f, small_pictures
from export.methods.fanogan_net import Critic, Encoder, Generator, gradient_penalty
from export.methods.protocol import Trained, TrainSettings
from export.methods.reconstruction import rebuild, write_reconstruction

pytestmark = pytest.mark.needs("the extra train")

SMALL = FAnoGan(
    settings=FAnoGanSettings(width=8, latent=16, batch=8, learning_rate=0.002, gan_share=0.5)
)
STEPS = 200


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """100 batches for the critic, 20 of them for the generator too, 100 for the encoder."""
    return train(SMALL, tmp_path_factory.mktemp("fanogan"), STEPS)


def graph_of(trained: Trained) -> FAnoGanGraph:
    assert isinstance(trained.graph, FAnoGanGraph)
    return trained.graph


def test_graph_keeps_the_contract(trained: Trained, tmp_path: Path) -> None:
    """Shapes, any n, parity between torch and ONNX Runtime to 1e-3."""
    about = assert_keeps_the_contract(trained, tmp_path)
    assert about["method"] == "f-anogan"


@pytest.mark.needs("TensorRT-RTX")
def test_fanogan_compiles_ahead_of_time(trained: Trained, tmp_path: Path) -> None:
    """The graph becomes an engine for an Ampere GPU, and TensorRT 10.3 lists every operator."""
    assert_compiles(trained, tmp_path)


def test_encoder_loss_falls(trained: Trained) -> None:
    """izi_f is clearly lower at the end of the encoder's training than at its start."""
    first, last = trained.about["losses"]
    assert last < 0.8 * first


def test_generator_draws_good_parts(trained: Trained) -> None:
    """Drawn pictures look more like good parts than those of an untrained generator."""
    good = small_pictures(torch.from_numpy(parts().crops)).mean(0)
    z = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    untrained = Generator(16, 8).eval()
    with torch.no_grad():
        after = (graph_of(trained).generator(z).mean(0) - good).abs().mean()
        before = (untrained(z).mean(0) - good).abs().mean()
    assert float(after) < 0.5 * float(before)


def test_score_rises_and_the_map_points_at_a_planted_defect(trained: Trained) -> None:
    """Each damaged part scores above the same part undamaged; the map's peak lies on the spot."""
    good, _ = run_torch(trained, np.stack([part(i) for i in range(200, 208)]))
    bad, maps = run_torch(trained, np.stack([damaged(i) for i in range(200, 208)]))
    assert (bad > good).all()
    for map_hw in maps:
        y, x = np.unravel_index(int(map_hw.argmax()), map_hw.shape)
        assert abs(int(y) * 4 + 2 - DEFECT_YX[0]) <= 12
        assert abs(int(x) * 4 + 2 - DEFECT_YX[1]) <= 12


def test_rebuilt_part_has_no_defect(trained: Trained, tmp_path: Path) -> None:
    """Where the spot is black, what is rebuilt is bright again, in ONNX Runtime too."""
    crop = damaged(400)
    with torch.no_grad():
        rebuilt = graph_of(trained).rebuilt(torch.from_numpy(crop[None]))[0].numpy()
    assert rebuilt.shape == (*CROP_HW, 3)
    assert 0 <= rebuilt.min() <= rebuilt.max() <= 255
    assert rebuilt[28:37, 64:73].mean() > crop[28:37, 64:73].mean() + 60
    assert write_reconstruction(trained.graph, CROP_HW, tmp_path / "reconstruction.onnx")
    shown = rebuild(tmp_path / "reconstruction.onnx", crop)
    np.testing.assert_allclose(shown, rebuilt, atol=0.6)


def test_score_is_the_papers_distance() -> None:
    """Without a mask A(x) is izi_f of the crop and what the generator rebuilds."""
    torch.manual_seed(0)
    generator, critic, encoder = Generator(8, 4).eval(), Critic(4), Encoder(8, 4).eval()
    graph = FAnoGanGraph(generator, critic, encoder, torch.ones(16, 24), kappa=0.7)
    crops = torch.from_numpy(part(0)[None])
    with torch.no_grad():
        score, map_nhw = graph(crops)
        x = small_pictures(crops)
        expected = izi_f(x, generator(encoder(x)), critic, 0.7)
    assert float(score) == pytest.approx(float(expected), rel=1e-5)
    assert map_nhw.shape == (1, 16, 24)


def test_gradient_penalty_is_zero_for_slope_one() -> None:
    """A critic that is the mean of pixels, scaled to slope 1, is free; twice as steep costs 1."""

    class Plane(Critic):
        def __init__(self, slope: float):
            super().__init__(1)
            self.slope = slope

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            flat = picture.flatten(1)
            value: torch.Tensor = flat.sum(1) * self.slope / flat.shape[1] ** 0.5
            return value

    real, fake, mix = torch.rand(3, 3, 64, 64), torch.rand(3, 3, 64, 64), torch.rand(3)
    assert float(gradient_penalty(Plane(1.0), real, fake, mix)) == pytest.approx(0, abs=1e-3)
    assert float(gradient_penalty(Plane(2.0), real, fake, mix)) == pytest.approx(1, rel=1e-3)


def test_generator_steps_in_every_fifth_batch(tmp_path: Path) -> None:
    """Four batches leave the generator's weights as they were; the fifth changes them."""
    settings = FAnoGanSettings(width=4, latent=8, batch=2)
    generators = []
    for steps in (1, 4, 5):
        torch.manual_seed(0)
        generator, critic = Generator(8, 4), Critic(4)
        objective = FAnoGan(settings=settings)._gan_objective(generator, critic, parts(4), "cpu")
        for step in range(steps):
            objective.optimiser.zero_grad()
            torch.autograd.backward(objective.loss(np.random.default_rng(step)))
            objective.optimiser.step()
        generators.append(generator.widen.weight.detach())
        assert all(p.requires_grad for p in critic.parameters())
    assert torch.equal(generators[0], generators[1])
    assert not torch.equal(generators[1], generators[2])


@pytest.mark.parametrize("hw", [(64, 64), (32, 96), (224, 224), (128, 320), (64, 32)])
def test_crops_of_any_shape_are_squeezed(hw: tuple[int, int]) -> None:
    """Flat pictures keep their value at every crop size."""
    flat = torch.full((1, *hw, 3), 255, dtype=torch.uint8)
    small = small_pictures(flat)
    assert small.shape == (1, 3, 64, 64)
    torch.testing.assert_close(small, torch.ones(1, 3, 64, 64))


def test_progress_counts_all_steps_once(tmp_path: Path) -> None:
    """Generator and encoder share one bar, so that a budget can be read off its first step."""
    method = FAnoGan(settings=FAnoGanSettings(width=4, latent=8, batch=2))
    shown: list[float] = []
    settings = TrainSettings(seed=3, steps=8, device="cpu", work=tmp_path)
    method.train(parts(4), settings, lambda _step, done: shown.append(done))
    assert shown == pytest.approx([x / 8 for x in range(1, 9)])


def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Stopped while the generator waits for its turn, it comes at the same batch after it."""
    method = FAnoGan(settings=FAnoGanSettings(width=4, latent=8, batch=4))
    whole = train(method, tmp_path / "whole", steps=17, data=parts(4))

    class Stopped(Exception):
        pass

    def stop_in_between(step: str, done: float) -> None:
        if step == "f-anogan" and done > 0.5:
            raise Stopped

    settings = TrainSettings(seed=3, steps=17, device="cpu", work=tmp_path / "stopped")
    with pytest.raises(Stopped):
        method.train(parts(4), settings, stop_in_between)
    resumed = train(method, tmp_path / "stopped", steps=17, data=parts(4))
    pairs = zip(whole.graph.state_dict().items(), resumed.graph.state_dict().values(), strict=True)
    for (name, expected), found in pairs:
        assert torch.equal(expected, found), name
