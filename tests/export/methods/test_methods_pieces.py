"""The pieces that methods share: contract records, registry, loop, losses, maps, textures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from support.method_parts import part, parts, product_mask

from edge_app.errors import DataError, ModelError, ShapeError
from export.cli.main import main
from export.methods import draem_anomalies
from export.methods.loop import TrainingObjective, constant, learn, one_cycle, two_drops
from export.methods.losses import Ssim, focal_loss
from export.methods.names import CROPLIQ, DEFAULT, NAMES
from export.methods.onnx_file import nodes_in, nodes_outside
from export.methods.protocol import TrainingSet, TrainSettings, fingerprint
from export.methods.registry import _MAKERS, method_of
from export.methods.train import check_method
from export.networks.anomaly_map import GaussianSmoothing
from export.networks.feature_grid import product_weight

pytestmark = pytest.mark.needs("the extra train")


def test_every_name_gives_a_method_that_knows_its_paper() -> None:
    """The registry's names are the commands' and the methods' own; each cites its source."""
    assert tuple(_MAKERS) == NAMES
    for name in NAMES:
        method = method_of(name)
        assert method.name == name
        assert method.paper[-4:].isdigit()


def test_methods_state_how_they_are_trained() -> None:
    """Which judge by folds, take no steps, train in one process only, are given real defects."""
    traits = {name: method_of(name).traits for name in NAMES}
    refitted = {"patchcore", "padim", "padim-slim"}
    assert {n for n, t in traits.items() if t.cross_fits == "refitted"} == refitted
    assert {n for n, t in traits.items() if t.cross_fits == "itself"} == {DEFAULT}
    assert {n for n, t in traits.items() if not t.takes_steps} == {DEFAULT, *refitted}
    assert {n for n, t in traits.items() if not t.shares_batches} == {DEFAULT, CROPLIQ, *refitted}
    assert {n for n, t in traits.items() if t.learns_from_defects} == {"bgad"}
    assert {n: t.max_steps for n, t in traits.items() if t.max_steps} == {CROPLIQ: 100}


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    """`pachcore` is taken for patchcore; nonsense gets the list."""
    with pytest.raises(DataError, match=r"did you mean 'patchcore'.*simplenet"):
        method_of("pachcore")
    with pytest.raises(
        DataError, match=r"no method 'xyz': choose one of ensemble, cropliq, patchcore"
    ):
        method_of("xyz")


def test_the_commands_list_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    """In the help of `build` and `compare`, and where a name is refused."""
    for command in ("build", "compare"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = "".join(capsys.readouterr().out.split())
        assert all(name in told for name in NAMES)
    with pytest.raises(DataError, match="did you mean 'cropliq'") as refused:
        check_method("croplik")
    assert all(name in str(refused.value) for name in ("auto", *NAMES))


def test_training_set_refuses_what_no_method_can_use() -> None:
    """Few, odd, empty or grey crops and a mask of another size: each a clear message."""
    crops = parts().crops
    with pytest.raises(DataError, match="at least 4 good crops"):
        TrainingSet(crops[:3], None)
    with pytest.raises(ShapeError, match="multiples of 32"):
        TrainingSet(crops[:, :40], None)
    with pytest.raises(ShapeError, match="multiples of 32"):
        TrainingSet(crops[:, :0], None)
    with pytest.raises(ShapeError, match="uint8"):
        TrainingSet(crops[..., 0], None)
    with pytest.raises(ShapeError, match="mask must be"):
        TrainingSet(crops, product_mask()[:32])


def test_fingerprint_changes_with_pixels_mask_and_settings() -> None:
    """Equal inputs give equal names; one pixel, the mask or a setting gives another."""
    data = parts(4)
    other = data.crops.copy()
    other[0, 0, 0, 0] ^= 1
    names = {
        fingerprint(data, "a", 1),
        fingerprint(data, "a", 2),
        fingerprint(TrainingSet(other, data.mask), "a", 1),
        fingerprint(TrainingSet(data.crops, None), "a", 1),
    }
    assert len(names) == 4
    assert fingerprint(parts(4), "a", 1) in names


def test_rates_fall_as_named() -> None:
    """One-cycle from 0.04 to 1 to 0; two drops at 80 and 90 %; constant."""
    assert one_cycle(0) == pytest.approx(0.04)
    assert one_cycle(0.3) == pytest.approx(1)
    assert one_cycle(0.65) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0)
    assert [two_drops(x) for x in (0, 0.79, 0.8, 0.9)] == [1, 1, 0.2, 0.04]
    assert constant(0.7) == 1


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    """Nothing is exported from a broken training, and the message says what to do."""
    layer = torch.nn.Linear(1, 1)
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    objective = TrainingObjective(
        "broken", layer, optimiser, constant, lambda _rng: layer.weight.sum() * np.nan
    )
    with pytest.raises(DataError, match=r"its loss is nan.*smaller learning rate"):
        learn(objective, "k", TrainSettings(0, 2, "cpu", tmp_path), lambda _step, _done: None)
    assert list(tmp_path.iterdir()) == []


def test_ssim_is_one_for_equal_pictures_and_small_for_noise() -> None:
    """A picture against itself is 1 everywhere; against unrelated noise it is near 0."""
    x, y = torch.rand(2, 1, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    ssim = Ssim(span=1.0)
    assert ssim(x, x).shape == (1, 24, 40)
    torch.testing.assert_close(ssim(x, x), torch.ones(1, 24, 40))
    assert float(ssim(x, y)[:, 5:-5, 5:-5].mean()) < 0.1


def test_ssim_falls_where_the_structure_goes_and_nowhere_else() -> None:
    """Blurring the left half of noise leaves the right half's similarity at 1."""
    x = torch.rand(1, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[..., :32] = x[..., :32].mean()
    found = Ssim(span=1.0)(x, y)[0]
    assert float(found[:, :24].mean()) < 0.3
    torch.testing.assert_close(found[:, 40:], torch.ones(32, 24))


def test_focal_loss_by_hand() -> None:
    """p = 0.5 everywhere, γ = 2: 0.25 · ln 2; γ = 0 is cross entropy."""
    logits, mask = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 3)
    assert float(focal_loss(logits, mask, 2.0, 1.0)) == pytest.approx(0.25 * np.log(2))
    assert float(focal_loss(logits, mask, 0.0, 1.0)) == pytest.approx(np.log(2))


def test_smoothing_keeps_constants_and_equals_the_gaussian_inside() -> None:
    """A constant map stays constant up to the border; inside it equals OpenCV's filter."""
    smooth = GaussianSmoothing(1.0, (20, 30))
    torch.testing.assert_close(smooth(torch.ones(2, 20, 30)), torch.ones(2, 20, 30))
    x = np.random.default_rng(0).random((20, 30), np.float32)
    expected = cv2.GaussianBlur(x, (7, 7), 1.0)
    found = smooth(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-5)


def test_product_weight_is_the_mask_on_the_grid() -> None:
    """Without a mask all count; with one only positions at least half full."""
    assert float(product_weight(None, (64, 96), 8).min()) == 1
    weight = product_weight(product_mask(), (64, 96), 8)
    assert weight.shape == (8, 12)
    assert weight[0].sum() == 0
    assert weight[4, 5] == 1


def test_scopes_without_nodes_are_refused() -> None:
    """A scope the exporter does not know must not silently let fp16 in."""
    node = onnx.helper.make_node("Relu", ["a"], ["b"], name="/near/Relu")
    graph = onnx.helper.make_graph([node], "g", [], [])
    model = onnx.helper.make_model(graph)
    assert nodes_in(model, ("/near/",)) == ["/near/Relu"]
    assert nodes_in(model, ()) == []
    assert nodes_outside(model, ("/near/",)) == [
        node.name for node in model.graph.node if node.name != "/near/Relu"
    ]
    with pytest.raises(ModelError, match="no nodes in /far/"):
        nodes_in(model, ("/far/",))


def test_texture_is_painted_inside_its_hole_and_on_the_product() -> None:
    """Pixels outside the hole keep their values; the hole lies on the product."""
    rng = np.random.default_rng(0)
    seen = 0
    for seed in range(12):
        crop = part(seed)
        painted, hole = draem_anomalies.add_texture(rng, crop, product_mask(), [])
        assert (painted[hole == 0] == crop[hole == 0]).all()
        assert not hole[product_mask() == 0].any()
        seen += bool((painted != crop).any())
    assert seen >= 11


def test_a_grey_product_gets_grey_textures() -> None:
    """Colour on a grey part would tell a network all it needs: none is painted there."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        painted, _ = draem_anomalies.add_texture(rng, part(0), product_mask(), [])
        assert int(np.ptp(painted.astype(int), axis=2).max()) <= 1


def test_grey_textures_keep_their_contrast() -> None:
    """Red stripes on black become black and white ones where the red channel is drawn; the mean
    of the channels would leave a third of the contrast."""
    stripes = np.zeros((4, 6, 3), np.uint8)
    stripes[:, ::2, 2] = 255
    drawn = [draem_anomalies.greyed(np.random.default_rng(seed), stripes) for seed in range(12)]
    assert {int(np.ptp(x)) for x in drawn} == {0, 255}
    assert all(int(np.ptp(x, axis=2).max()) == 0 for x in drawn)


@pytest.mark.parametrize(("side_px", "finest"), [(1, 1), (64, 8), (96, 8), (256, 32), (448, 32)])
def test_holes_are_no_finer_on_small_crops(side_px: int, finest: int) -> None:
    """A Perlin cell is at least 8 px wide, as 32 of them are at the paper's 256 px."""
    assert 2 ** (draem_anomalies.octaves(side_px) - 1) == finest


def test_textures_come_from_a_folder_where_there_is_one(tmp_path: Path) -> None:
    """A folder with one red picture: what shines through is made of it, not of drawn texture."""
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((10, 12, 3), (0, 0, 255), np.uint8))
    picture = draem_anomalies._texture(np.random.default_rng(0), (20, 30), [path])
    assert picture.shape == (20, 30, 3)
    assert (picture == (0, 0, 255)).all()


def test_perlin_noise_is_smooth_centred_and_of_any_shape() -> None:
    """Neighbours differ little, the mean is near 0, one cell and a non-square picture work."""
    rng = np.random.default_rng(0)
    noise = draem_anomalies.perlin(rng, (48, 80), (4, 8))
    assert noise.shape == (48, 80)
    assert abs(float(noise.mean())) < 0.2
    assert float(np.abs(np.diff(noise, axis=1)).max()) < 0.4
    assert draem_anomalies.perlin(rng, (1, 1), (1, 1)).shape == (1, 1)


@pytest.mark.parametrize("operation", draem_anomalies.OPERATIONS)
def test_picture_operations_keep_shape_and_type(operation: draem_anomalies.Operation) -> None:
    """Each works on colour, on a flat picture and on a single pixel."""
    rng = np.random.default_rng(0)
    for picture in (part(0), np.full((5, 7, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8)):
        out = operation(rng, picture)
        assert out.shape == picture.shape
        assert out.dtype == np.uint8
