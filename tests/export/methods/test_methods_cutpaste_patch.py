"""CutPaste on patches: what is cut, what one place sees, and how scores become a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import (
    CROP_HW,
    DEFECT_YX,
    assert_sees_the_defect,
    part,
    parts,
    product_mask,
    train,
)

from edge_app.errors import DataError
from export.backbones.efficientnet_lite import load_lite0
from export.methods.cutpaste_patch import (
    GoodPatches,
    PatchCutPaste,
    PatchCutPasteSettings,
    PatchEmbeddings,
    PatchUpsampling,
    patch_weight,
)
from export.methods.protocol import TrainingSet

pytestmark = pytest.mark.needs("the extra train")

SIDE = 32


def test_map_points_at_a_planted_defect(tmp_path: Path) -> None:
    """Damaged parts score above good ones and the map's peak lies within half a patch of the
    spot."""
    method = PatchCutPaste(settings=PatchCutPasteSettings(batch=12))
    assert_sees_the_defect(train(method, tmp_path, steps=4), within_px=16)


@pytest.mark.slow
def test_the_pretext_is_learnt_on_patches(tmp_path: Path) -> None:
    """The loss begins near that of guessing one of three, ln 3, and falls by a tenth."""
    method = PatchCutPaste(settings=PatchCutPasteSettings(learning_rate=0.003))
    first, last = train(method, tmp_path, steps=60).about["losses"]
    assert first == pytest.approx(np.log(3), abs=0.2)
    assert last < 0.9 * first


def test_patches_are_cut_from_the_product() -> None:
    """The middle of every patch is product; without a mask patches come from everywhere."""
    rng = np.random.default_rng(0)
    mask = np.zeros(CROP_HW, np.uint8)
    mask[:, 50:] = 255
    where = np.repeat(mask[None, :, :, None], 4, 0).repeat(3, 3)
    patches = GoodPatches(TrainingSet(where, mask), SIDE)
    middles = [patches.drawn(rng)[SIDE // 2, SIDE // 2, 0] for _ in range(60)]
    assert set(middles) == {255}
    anywhere = GoodPatches(TrainingSet(where, None), SIDE)
    assert {int(anywhere.drawn(rng)[SIDE // 2, SIDE // 2, 0]) for _ in range(60)} == {0, 255}


def test_a_product_on_the_border_has_patches_too() -> None:
    """Where no patch has its middle on the product, all of the crop's count."""
    mask = np.zeros(CROP_HW, np.uint8)
    mask[:, :3] = 255
    patch = GoodPatches(TrainingSet(parts(4).crops, mask), SIDE).drawn(np.random.default_rng(0))
    assert patch.shape == (SIDE, SIDE, 3)


def test_flat_patches_are_passed_over_and_a_flat_product_is_refused() -> None:
    """Half black crops: the anomaly lies on the other half; all black: a clear message."""
    rng = np.random.default_rng(0)
    crops = np.stack([part(i) for i in range(4)])
    crops[:, :, :60] = 0
    patches = GoodPatches(TrainingSet(crops, None), SIDE)
    for kind in ("cutpaste", "scar"):
        assert patches.with_anomaly(rng, kind).any()
    with pytest.raises(DataError, match="featureless"):
        GoodPatches(TrainingSet(np.zeros_like(crops), None), SIDE).with_anomaly(rng, "scar")


def test_a_patch_has_the_mean_of_its_own_window() -> None:
    """The embedding at (row, column) averages the grid under that patch and nothing else."""
    embeddings = PatchEmbeddings(load_lite0(4), SIDE).eval()
    crop = torch.from_numpy(part(0)[None])
    with torch.no_grad():
        found = embeddings(crop)[0]
        grid = embeddings.backbone((crop.float().permute(0, 3, 1, 2) - 127) / 128, (4,))[0][0]
    assert found.shape == (40, (64 - SIDE) // 8 + 1, (96 - SIDE) // 8 + 1)
    torch.testing.assert_close(found[:, 2, 5], grid[:, 2:6, 5:9].mean((1, 2)))


def test_scores_spread_over_their_own_patch() -> None:
    """Equal scores give a flat map up to the border; one high score rises in its patch, most in
    the middle, and nowhere else."""
    upsampling = PatchUpsampling(SIDE, 16, CROP_HW)
    torch.testing.assert_close(upsampling(torch.full((2, 3, 5), 7.0)), torch.full((2, 16, 24), 7.0))
    one = torch.zeros(1, 3, 5)
    one[0, 1, 2] = 1.0
    found = upsampling(one)[0]
    rows, columns = (found > 0).nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (4, 11)
    assert (int(columns.min()), int(columns.max())) == (8, 15)
    assert float(found[7:9, 11:13].min()) == float(found.max())


@pytest.mark.parametrize("crop_hw", [(32, 32), (32, 96), (128, 448)])
def test_the_map_has_a_quarter_of_the_crops_sides(crop_hw: tuple[int, int]) -> None:
    """A crop of one patch, of one row of them, and a long one; no crops give no maps."""
    patches_hw = [(side - SIDE) // 16 + 1 for side in crop_hw]
    upsampling = PatchUpsampling(SIDE, 16, crop_hw)
    for count in (0, 2):
        found = upsampling(torch.ones(count, *patches_hw))
        assert found.shape == (count, crop_hw[0] // 4, crop_hw[1] // 4)


def test_patches_beside_the_product_do_not_count() -> None:
    """Half of a patch has to be product; a product too thin for that keeps its fullest patches."""
    embeddings = PatchEmbeddings(load_lite0(4), SIDE)
    weight = patch_weight(product_mask(), CROP_HW, embeddings)
    assert weight.shape == (5, 9)
    assert weight[DEFECT_YX[0] // 8 - 2, DEFECT_YX[1] // 8 - 2] == 1
    corner = np.zeros(CROP_HW, np.uint8)
    corner[40:, 72:] = 255
    assert patch_weight(corner, CROP_HW, embeddings)[0, 0] == 0
    thin = np.zeros(CROP_HW, np.uint8)
    thin[32:40] = 255
    assert patch_weight(thin, CROP_HW, embeddings).any()
    assert patch_weight(None, CROP_HW, embeddings).min() == 1
