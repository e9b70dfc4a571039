"""PatchCore and PaDiM: the field's strong references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    assert_keeps_the_contract,
    assert_sees_the_defect,
    damaged,
    parts,
    run_torch,
    train,
)

from edge_app.errors import DataError
from export.methods.coreset import greedy_coreset
from export.methods.padim import PaDiM, PaDiMSettings, ridge_gaussians
from export.methods.patchcore import NearestPatch, PatchCore, PatchCoreSettings
from export.methods.patches import PatchFeatures
from export.methods.protocol import Trained, TrainingSet

pytestmark = pytest.mark.needs("the extra train")


@pytest.fixture(scope="module")
def patchcore(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One small PatchCore for the whole file."""
    return train(
        PatchCore(settings=PatchCoreSettings(coreset=120, stride=8)),
        tmp_path_factory.mktemp("patchcore"),
    )


@pytest.fixture(scope="module")
def padim(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One small PaDiM for the whole file."""
    return train(PaDiM(settings=PaDiMSettings(dimensions=40)), tmp_path_factory.mktemp("padim"))


def test_patchcore_keeps_the_contract_and_names_its_distances(
    patchcore: Trained, tmp_path: Path
) -> None:
    """Parity holds, and exactly the distances' nodes stay in fp32."""
    about = assert_keeps_the_contract(patchcore, tmp_path)
    assert about["patches_kept"] == 120
    assert about["fp32_nodes"]
    assert all(name.startswith("/nearest/") for name in about["fp32_nodes"])


def test_padim_keeps_the_contract_and_names_its_density(padim: Trained, tmp_path: Path) -> None:
    """Parity holds, and exactly the density's nodes stay in fp32."""
    about = assert_keeps_the_contract(padim, tmp_path)
    assert all(name.startswith("/density/") for name in about["fp32_nodes"])


def test_both_references_point_at_a_planted_defect(patchcore: Trained, padim: Trained) -> None:
    """Damaged parts score above good ones and the map's peak lies on the spot."""
    assert_sees_the_defect(patchcore)
    assert_sees_the_defect(padim)


def test_nothing_beside_the_product_is_kept_or_scored(tmp_path: Path) -> None:
    """With a mask on the left half alone, a spot on the right half is not seen at all."""
    mask = np.zeros(CROP_HW, np.uint8)
    mask[:, : CROP_HW[1] // 2] = 255
    data = TrainingSet(parts(8).crops, mask)
    for method in (
        PatchCore(settings=PatchCoreSettings(coreset=20)),
        PaDiM(settings=PaDiMSettings(dimensions=9)),
    ):
        trained = train(method, tmp_path, data=data)
        _, map_nhw = run_torch(trained, np.stack([damaged(50)]))
        assert map_nhw[0, :, :10].max() > 0
        assert map_nhw[0, :, 18:].max() == 0


def test_distances_are_those_of_the_nearest_patch() -> None:
    """The matmul form equals distances taken one by one, also far from the origin."""
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(50, 7, generator=generator) + 100
    features = torch.randn(2, 7, 3, 5, generator=generator) + 100
    patches = features.permute(0, 2, 3, 1).reshape(-1, 1, 7)
    expected = (patches - memory).norm(dim=2).amin(1)
    found = NearestPatch(memory)(features)
    torch.testing.assert_close(found, expected.reshape(2, 3, 5), rtol=1e-4, atol=1e-4)


def test_a_patch_in_memory_has_no_distance() -> None:
    """Rounding leaves at most a thousandth, and never a NaN."""
    memory = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    assert float(NearestPatch(memory)(memory.T[None, :, :, None]).max()) < 1e-2


def test_coreset_keeps_the_rare_patch_that_chance_would_lose() -> None:
    """One patch in 500 lies apart: four choices include it."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(500, 6, generator=generator) * 0.1
    patches[321] += 5
    rows = greedy_coreset(patches, 4, generator, lambda _done: None)
    assert 321 in rows.tolist()
    assert len(set(rows.tolist())) == 4


def test_coreset_takes_every_patch_where_there_are_few() -> None:
    """Three patches, ten wanted: all three, none twice."""
    rows = greedy_coreset(torch.ones(3, 2), 10, torch.Generator(), lambda _done: None)
    assert rows.tolist() == [0, 1, 2]


def test_coreset_of_equal_patches_repeats_none() -> None:
    """Where all distances are 0 every choice is still another patch."""
    rows = greedy_coreset(torch.ones(6, 2), 5, torch.Generator(), lambda _done: None)
    assert len(set(rows.tolist())) == 5


def test_coreset_refuses_features_that_are_not_finite() -> None:
    """A NaN cannot be compared."""
    with pytest.raises(DataError, match="not finite"):
        greedy_coreset(torch.full((3, 2), torch.nan), 2, torch.Generator(), lambda _done: None)


def test_standardised_features_have_unit_spread() -> None:
    """Over good crops and positions each live channel's standard deviation becomes 1."""
    features = PatchFeatures((4, 10), 8, is_pooled=False).eval()
    data = parts(8, with_mask=False)
    features.standardise(data, "cpu", lambda _step, _done: None)
    with torch.no_grad():
        x = features(torch.from_numpy(data.crops))
    assert x.shape == (8, 152, CROP_HW[0] // 8, CROP_HW[1] // 8)
    spread = x.transpose(0, 1).flatten(1).std(1)
    torch.testing.assert_close(spread, torch.ones(152), rtol=0.1, atol=0.1)


def test_gaussians_are_whitened_by_covariance_and_ridge() -> None:
    """W'W is the inverse of the sample covariance plus 0.01 on its diagonal, at each position."""
    features = np.random.default_rng(0).normal(size=(30, 4, 2, 3)).astype(np.float32)
    gaussian = ridge_gaussians(features, lambda _done: None)
    covariance = np.cov(features[:, :, 1, 2].T) + 0.01 * np.eye(4)
    whitening = gaussian.whitening[5]
    np.testing.assert_allclose(whitening.T @ whitening, np.linalg.inv(covariance), rtol=1e-4)
    np.testing.assert_allclose(gaussian.mean[:, 1, 2], features[:, :, 1, 2].mean(0), rtol=1e-4)


def test_features_that_are_not_finite_are_refused() -> None:
    """A broken backbone must not end as a density of NaN."""
    with pytest.raises(DataError, match="not finite"):
        ridge_gaussians(np.full((5, 2, 1, 1), np.nan, np.float32), lambda _done: None)


def test_the_same_seed_gives_the_same_memory(tmp_path: Path) -> None:
    """Two trainings agree to the bit."""
    method = PatchCore(settings=PatchCoreSettings(coreset=30, is_standardised=True))
    one, two = (train(method, tmp_path, data=parts(6)).graph for _ in range(2))
    memory = "nearest.memory"
    assert torch.equal(one.get_buffer(memory), two.get_buffer(memory))
