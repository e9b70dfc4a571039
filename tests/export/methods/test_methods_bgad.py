"""BGAD: the flow's likelihood is one, the boundary holds, real defects reach the training."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    DEFECT_YX,
    assert_compiles,
    assert_keeps_the_contract,
    assert_sees_the_defect,
    damaged,
    part,
    parts,
    product_mask,
    run_torch,
    train,
)

from edge_app.errors import DataError, ShapeError
from export.defects.crops import DefectCrops
from export.methods.bgad import Bgad, BgadSettings, boundary_loss, chosen_positions
from export.methods.bgad_anomalies import draw_real, draw_synthetic, marked, paste_defect
from export.methods.bgad_flow import (
    ConditionalFlow,
    Whitening,
    place_code,
)
from export.methods.protocol import Trained, TrainingSet, TrainSettings, fingerprint

pytestmark = pytest.mark.needs("the extra train")

GOOD_PARTS = 64
"""Sixteen say too little about the coarse level's 192 channels."""

SMALL = Bgad(settings=BgadSettings(couplings=4, place_dimensions=32, batch=4, positions=256))


def spot() -> np.ndarray:
    """Where `damaged` parts are damaged."""
    y, x = np.mgrid[: CROP_HW[0], : CROP_HW[1]]
    return np.asarray((y - DEFECT_YX[0]) ** 2 + (x - DEFECT_YX[1]) ** 2 <= 49, np.uint8)


def real_defects(count: int = 3) -> DefectCrops:
    """Damaged parts and their spots."""
    return DefectCrops(np.stack([damaged(i) for i in range(50, 50 + count)]),
                       np.stack([spot()] * count))  # fmt: skip


def with_defects(defects: DefectCrops | None) -> TrainingSet:
    return TrainingSet(parts(GOOD_PARTS).crops, product_mask(), defects)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Trained]:
    """Return a function that trains once without real defects and once with them."""
    work = tmp_path_factory.mktemp("bgad")

    @cache
    def after_a_few_steps(with_real: bool) -> Trained:
        return train(SMALL, work, 60, with_defects(real_defects() if with_real else None))

    return after_a_few_steps


def test_graph_keeps_the_contract(trained: Callable[[bool], Trained], tmp_path: Path) -> None:
    """Shapes, any n, parity between torch and ONNX Runtime to 1e-3; the flows stay in fp32."""
    about = assert_keeps_the_contract(trained(False), tmp_path)
    assert about["method"] == "bgad"
    assert about["real_defects"] == 0
    assert len(about["fp32_nodes"]) > 50


@pytest.mark.needs("TensorRT-RTX")
def test_bgad_compiles_ahead_of_time(trained: Callable[[bool], Trained], tmp_path: Path) -> None:
    """The graph becomes an engine for an Ampere GPU, and TensorRT 10.3 lists every operator."""
    assert_compiles(trained(False), tmp_path)


@pytest.mark.parametrize("with_real", [False, True])
def test_loss_falls_and_the_map_points_at_a_planted_defect(
    with_real: bool, trained: Callable[[bool], Trained]
) -> None:
    """With and without real defects good features become likelier and the spot stands out."""
    first, last = trained(with_real).about["losses"]
    assert last < 0.98 * first
    assert_sees_the_defect(trained(with_real), within_px=24)


@pytest.mark.slow
def test_real_defects_push_their_kind_away(tmp_path: Path) -> None:
    """Three marked faint spots at least double such spots' distance from good, in deviations."""

    def spotted(seed: int) -> np.ndarray:
        return np.round(0.92 * part(seed) + 0.08 * damaged(seed)).astype(np.uint8)

    real = DefectCrops(np.stack([spotted(i) for i in range(50, 53)]), np.stack([spot()] * 3))
    gaps = []
    for defects in (None, real):
        found = train(SMALL, tmp_path, 60, with_defects(defects))
        good, _ = run_torch(found, np.stack([part(i) for i in range(300, 308)]))
        bad, _ = run_torch(found, np.stack([spotted(i) for i in range(300, 308)]))
        gaps.append((bad.mean() - good.mean()) / good.std())
        assert found.about["real_defects"] == (0 if defects is None else 3)
    assert gaps[1] > 2 * gaps[0]


def test_whitened_good_points_have_neither_mean_nor_correlation() -> None:
    """Each place's own mean goes, and what the directions have in common round it."""
    rng = np.random.default_rng(0)
    mixing = np.eye(6) + 0.4 * np.tri(6)
    points = rng.normal(size=(3000, 2, 6)) @ mixing + rng.normal(size=(2, 6)) * 9
    white = Whitening(2, 6)
    white.fit(points, np.arange(2))
    after = white(torch.from_numpy(points).float()).numpy()
    assert np.abs(after.mean(0)).max() < 1e-3
    flat = after.reshape(-1, 6)
    assert np.abs(flat.T @ flat / len(flat) - np.eye(6)).max() < 0.1
    at = white.at(torch.from_numpy(points[:, 1]).float(), torch.ones(3000, dtype=torch.long))
    assert np.allclose(at.numpy(), after[:, 1], atol=1e-5)


def test_the_belt_does_not_count_for_the_whitening() -> None:
    """A place beside the product may vary as it likes."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 2, 4))
    points[:, 1] *= 50
    white = Whitening(2, 4)
    white.fit(points, np.array([0]))
    assert np.abs(white.matrix.numpy() - np.eye(4)).max() < 0.1


def test_the_flow_is_a_density() -> None:
    """log p · d equals the Gaussian's at the image plus autograd's log |det J| of the map."""
    torch.manual_seed(0)
    flow = ConditionalFlow(4, 8, 3, seed=1).requires_grad_(False)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    point, place = torch.randn(4), torch.randn(1, 8)

    def moved(x: torch.Tensor) -> torch.Tensor:
        for coupling in flow.couplings:
            x, _ = coupling(x[None, None], place)
            x = x[0, 0]
        return x

    z = moved(point)
    jacobian = torch.autograd.functional.jacobian(moved, point)  # type: ignore[no-untyped-call]
    normal = -0.5 * (float(z.square().sum()) + 4 * math.log(2 * math.pi))
    expected = normal + float(torch.linalg.slogdet(jacobian).logabsdet)
    assert 4 * float(flow(point[None, None], place)) == pytest.approx(expected, rel=1e-4)


def test_likelihood_depends_on_the_place() -> None:
    """The same feature is not equally likely everywhere: the position code conditions the flow."""
    torch.manual_seed(0)
    flow = ConditionalFlow(6, 16, 2, seed=0).requires_grad_(False)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    likely = flow(torch.ones(1, 12, 6), place_code(16, (3, 4)))
    assert likely.shape == (1, 12)
    assert float(likely.std()) > 1e-3


def test_place_code_names_every_position() -> None:
    """A 3 × 5 grid has 15 different codes within −1..1; a single position is coded too."""
    code = place_code(16, (3, 5))
    assert code.shape == (15, 16)
    assert len({tuple(row) for row in code.numpy().round(5).tolist()}) == 15
    assert float(code.abs().max()) <= 1
    assert place_code(8, (1, 1)).shape == (1, 8)


def test_boundary_loss_by_hand() -> None:
    """β 0.25 of −3, −2, −1, 0 puts b_n at −2; bad −2.05 and −4 against b_a −2.1 cost 0.05."""
    good, bad = torch.tensor([0.0, -2.0, -3.0, -1.0]), torch.tensor([-2.05, -4.0])
    loss = boundary_loss(good, bad, beta=0.25, tau=0.1)
    assert float(loss) == pytest.approx((1 + 0) / 2 + 0.05, abs=1e-6)
    alone = boundary_loss(good, torch.zeros(0), beta=0.25, tau=0.1)
    assert float(alone) == pytest.approx(0.5)


def test_positions_are_good_anomalous_or_neither() -> None:
    """Cells touched by less than a quarter are left out, and so is the belt."""
    regions = np.zeros((2, 8, 12), np.uint8)
    regions[0, 0:2, 0:4] = 1  # half of the first 4 × 4 cell
    regions[1, 4, 8] = 1  # a sixteenth of the last cell
    product = np.ones((2, 3), np.float32)
    product[0, 1] = 0
    good, bad = chosen_positions(np.random.default_rng(0), regions, product, 99)
    assert good.tolist() == [2, 3, 4, 5, 6, 8, 9, 10]
    assert bad.tolist() == [0]
    few, _ = chosen_positions(np.random.default_rng(0), regions, product, 3)
    assert len(set(few.tolist())) == 3


def test_a_large_anomaly_does_not_drown_a_small_one() -> None:
    """Of 12 + 2 anomalous cells ten are asked for: both anomalies may give five, one has two."""
    regions = np.zeros((2, 12, 16), np.uint8)
    regions[0] = 1
    regions[1, :4, :8] = 1
    product = np.ones((3, 4), np.float32)
    _, bad = chosen_positions(np.random.default_rng(0), regions, product, 10)
    assert len(set(bad.tolist())) == 7
    assert sorted(bad[bad >= 12].tolist()) == [12, 13]


def test_a_pasted_defect_lies_on_the_product_and_nowhere_else() -> None:
    """Pixels outside the pasted region keep their values; the region lies on the product."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        good = part(seed)
        crop, region = paste_defect(rng, good, product_mask(), (damaged(99), spot()))
        assert region.any()
        assert not region[product_mask() == 0].any()
        assert (crop[region == 0] == good[region == 0]).all()
        assert int(np.ptp(crop.astype(int), axis=2).max()) <= 1


def test_defects_larger_than_the_turned_crop_and_of_one_pixel_are_pasted() -> None:
    """A defect as wide as the crop fits after a quarter turn; a single pixel is one."""
    rng = np.random.default_rng(1)
    whole, dot = np.ones(CROP_HW, np.uint8), np.zeros(CROP_HW, np.uint8)
    dot[0, 0] = 1
    for shape in (whole, dot):
        for _ in range(6):
            _, region = paste_defect(rng, part(0), None, (damaged(1), shape))
            assert region.any()


def test_real_defects_come_as_they_are_and_pasted() -> None:
    """A quarter are pasted copies on other parts; the others are the pictures, unchanged."""
    data, defects = with_defects(real_defects()), real_defects()
    rng = np.random.default_rng(0)
    drawn = [draw_real(rng, data, defects)[0] for _ in range(60)]
    unchanged = sum(any((x == d).all() for d in defects.crops) for x in drawn)
    assert 36 <= unchanged <= 54
    crop, region = draw_synthetic(rng, data)
    assert crop.shape == (*CROP_HW, 3)
    assert not region[product_mask() == 0].any()


def test_a_batch_is_painted_alike_with_real_defects_and_without() -> None:
    """Before the boundaries everything is good; then every second crop is painted."""
    data = with_defects(real_defects())
    _, before = SMALL.batch(data, False, np.random.default_rng(0))
    _, after = SMALL.batch(data, True, np.random.default_rng(0))
    assert not before.any()
    assert after.any((1, 2)).tolist() == [False, True, False, True]


def test_unmarked_defects_are_counted_or_refused(tmp_path: Path) -> None:
    """Without one marked region the training stops and says what to do; some are counted out."""
    blank = real_defects(2)
    half = DefectCrops(blank.crops, np.stack([spot(), np.zeros(CROP_HW, np.uint8)]))
    assert len(marked(half).crops) == 1  # type: ignore[union-attr]
    about = train(SMALL, tmp_path, 1, with_defects(half)).about
    assert (about["real_defects"], about["unmarked_defects"]) == (1, 1)
    none = DefectCrops(blank.crops, np.zeros_like(blank.regions))
    with pytest.raises(DataError, match=r"None of the 2 real defects is marked.*NAME_mask\.png"):
        train(SMALL, tmp_path, 1, with_defects(none))


def test_training_set_refuses_defects_that_do_not_fit() -> None:
    """Another size, grey pictures, or regions of other pictures: each a clear message."""
    crops, regions = real_defects().crops, real_defects().regions
    with pytest.raises(ShapeError, match=r"must be uint8 \(m, h, w, 3\)"):
        DefectCrops(crops[..., 0], regions)
    with pytest.raises(ShapeError, match="like their crops"):
        DefectCrops(crops, regions[:, :32])
    with pytest.raises(ShapeError, match="like the good crops"):
        with_defects(DefectCrops(crops[:, :32], regions[:, :32]))


def test_fingerprint_changes_with_the_defects() -> None:
    """A training with other defects never goes on from this one's checkpoint."""
    names = {fingerprint(with_defects(d)) for d in (None, real_defects(2), real_defects(3))}
    assert len(names) == 3


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    """The batch count is kept in the checkpoint: boundaries begin at the same step."""
    whole = train(SMALL, tmp_path / "whole", steps=10)

    class Stopped(Exception):
        pass

    def stop_at_half(step: str, done: float) -> None:
        if step == "bgad" and done > 0.5:
            raise Stopped

    settings = TrainSettings(seed=3, steps=10, device="cpu", work=tmp_path / "stopped")
    with pytest.raises(Stopped):
        SMALL.train(parts(), settings, stop_at_half)
    resumed = train(SMALL, tmp_path / "stopped", steps=10)
    pairs = zip(whole.graph.state_dict().items(), resumed.graph.state_dict().values(), strict=True)
    for (name, expected), found in pairs:
        assert torch.equal(expected, found), name
