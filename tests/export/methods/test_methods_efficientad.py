"""EfficientAD-style: its losses by hand, its quantiles, and what the graph then sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    assert_compiles,
    assert_keeps_the_contract,
    assert_sees_the_defect,
    part,
    parts,
    product_mask,
    run_torch,
    train,
)

from export.methods.efficientad import (
    EfficientAd,
    EfficientAdGraph,
    EfficientAdSettings,
    hardest_mean,
    hold_out_split,
    late_drop,
    recoloured,
)
from export.methods.efficientad_net import FeatureAutoencoder, Student
from export.methods.protocol import Trained
from export.networks.anomaly_map import peak_on_product

pytestmark = pytest.mark.needs("the extra train")

SMALL = EfficientAd(settings=EfficientAdSettings(width=8, learning_rate=0.005, batch=2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """40 steps on 18 of 20 parts."""
    return train(SMALL, tmp_path_factory.mktemp("efficientad"), 40, parts(20))


def test_graph_keeps_the_contract(trained: Trained, tmp_path: Path) -> None:
    """Shapes, any n, parity between torch and ONNX Runtime to 1e-3."""
    about = assert_keeps_the_contract(trained, tmp_path)
    assert about["method"] == "efficientad"
    assert about["held_back_crops"] == 2


@pytest.mark.needs("TensorRT-RTX")
def test_efficientad_compiles_ahead_of_time(trained: Trained, tmp_path: Path) -> None:
    """The graph becomes an engine for an Ampere GPU, and TensorRT 10.3 lists every operator."""
    assert_compiles(trained, tmp_path)


def test_loss_falls(trained: Trained) -> None:
    """The last steps' loss is clearly below the first ones'."""
    first, last = trained.about["losses"]
    assert last < 0.8 * first


def test_map_points_at_a_planted_defect(trained: Trained) -> None:
    """Damaged parts score above good ones and the map's peak lies near the spot."""
    assert_sees_the_defect(trained, within_px=20)


def test_quantiles_of_held_back_parts_become_0_and_a_tenth(trained: Trained) -> None:
    """On the parts that set them, 90 % of each scaled map is below 0 and 99.5 % below 0.1."""
    graph = trained.graph
    assert isinstance(graph, EfficientAdGraph)
    _, held = hold_out_split(parts(20).crops, 0.1, seed=3)
    with torch.no_grad():
        local, logical = graph.distances(torch.from_numpy(held))
    inside = torch.from_numpy(product_mask()[4::8, 4::8] > 0)
    for scale, distances in ((graph.local, local), (graph.logical, logical)):
        values = scale(distances)[:, inside]
        assert float((values < 0).float().mean()) == pytest.approx(0.9, abs=0.05)
        assert float(values.quantile(0.995)) == pytest.approx(0.1, abs=0.05)


def test_belt_is_not_scored(trained: Trained) -> None:
    """A blot beside the product leaves the map there at 0."""
    crop = part(500)
    crop[0:10, 0:6] = 255
    _, map_nhw = run_torch(trained, crop[None])
    assert (map_nhw[0, :2] == 0).all()


def test_both_networks_keep_the_teachers_grid() -> None:
    """64 × 96 pixels give 8 × 12 positions; a crop as small as the contract allows works."""
    for h, w in ((64, 96), (32, 32)):
        local, logical = Student(10, 4)(torch.zeros(2, 3, h, w))
        rebuilt = FeatureAutoencoder((h, w), 10)(torch.zeros(2, 3, h, w))
        assert local.shape == logical.shape == rebuilt.shape == (2, 10, h // 8, w // 8)


def test_hardest_mean_by_hand() -> None:
    """A quarter of 1..8 are 7 and 8; a share below one value takes the largest."""
    values = torch.arange(1.0, 9.0).reshape(2, 2, 2)
    assert float(hardest_mean(values, 0.25)) == 7.5
    assert float(hardest_mean(values, 0.001)) == 8


def test_held_back_parts_are_a_tenth_and_never_learnt_from() -> None:
    """20 parts split into 18 and 2 without a common one; four still leave one."""
    crops = parts(20).crops
    fitted, held = hold_out_split(crops, 0.1, seed=0)
    assert (len(fitted), len(held)) == (18, 2)
    assert not any((a == b).all() for a in fitted for b in held)
    assert [len(x) for x in hold_out_split(crops[:4], 0.1, 0)] == [3, 1]


def test_recolouring_changes_up_to_a_fifth() -> None:
    """Values stay within 20 %; grey pictures stay grey."""
    rng = np.random.default_rng(0)
    crops = parts(4).crops
    seen = [recoloured(rng, crops) for _ in range(12)]
    assert all(int(np.ptp(x.astype(int), axis=3).max()) == 0 for x in seen)
    ratios = [x.mean() / crops.mean() for x in seen]
    assert 0.75 < min(ratios) < 0.99
    assert 1.01 < max(ratios) < 1.25


def test_rate_drops_once() -> None:
    """1 until 95 % of the steps, then a tenth."""
    assert [late_drop(x) for x in (0, 0.94, 0.95, 1)] == [1, 1, 0.1, 0.1]


def test_peak_is_looked_for_on_the_product() -> None:
    """A larger value beside the product does not count; a negative peak stays negative."""
    maps = torch.tensor([[[-3.0, -2.0], [9.0, 1.0]], [[-3.0, -2.0], [9.0, -7.0]]])
    weight = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert peak_on_product(maps, weight).tolist() == [1.0, -2.0]
