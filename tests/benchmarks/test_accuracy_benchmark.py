"""The accuracy benchmark: crops cut by recipe, one table from one run."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.method_parts import CROP_HW, damaged, part, product_mask

from benchmarks import accuracy, accuracy_crops
from benchmarks.accuracy_figures import figures_of
from benchmarks.accuracy_seeds import mean_difference_interval
from edge_app.errors import DataError
from edge_app.imaging.upright_crop import CropSpec

pytestmark = pytest.mark.needs("the extra train")


def wedge(angle_deg: float, seed: int) -> np.ndarray:
    """A dark wedge on a bright belt, its wide end pointing along the angle."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(200, 2, (200, 200))
    points = np.array(
        [[-70, -5], [-70, 5], [55, 5], [55, 22], [70, 22], [70, -22], [55, -22], [55, -5]]
    )
    turn = np.deg2rad(angle_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    outline = np.round(points @ matrix.T + 100).astype(np.int32)
    shape = cv2.fillPoly(np.zeros((200, 200), np.uint8), [outline], 1)
    picture[shape > 0] = 60
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


@pytest.mark.parametrize("angle_deg", [0, 37, 90, 181, 275])
def test_the_wide_end_comes_to_lie_on_the_left(angle_deg: float) -> None:
    """Whichever way the wedge points, its crop is dark at the left end's top and bottom."""
    picture = wedge(angle_deg, 1)
    crop = accuracy_crops.cutter(picture, CropSpec((64, 160), 0.12), True)(picture)
    dark = (crop[:, :, 0] < 130).sum(0)
    assert dark[:40].max() > 1.5 * dark[120:].max()


def write_data_set(folder: Path) -> None:
    """Twenty good whole pictures, three good and three defective ones with their masks."""
    for place, count in (("train/good", 20), ("test/good", 3), ("test/spot", 3)):
        (folder / place).mkdir(parents=True)
        for i in range(count):
            crop = damaged(i + 40) if place == "test/spot" else part(i + 20 * (count == 3))
            cv2.imwrite(str(folder / place / f"{i}.png"), crop)
    (folder / "ground_truth" / "spot").mkdir(parents=True)
    for i in range(3):
        mask = np.zeros(CROP_HW, np.uint8)
        cv2.circle(mask, (68, 32), 7, 255, -1)
        cv2.imwrite(str(folder / "ground_truth" / "spot" / f"{i}_mask.png"), mask)


def table_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """Cut the crops of a small data set, run the benchmark on them, return its Markdown."""
    write_data_set(folder / "data")
    accuracy_crops.write_crops(folder / "data", folder, CropSpec(CROP_HW, 0.0), False)
    monkeypatch.setattr(
        sys, "argv",
        ["accuracy", "--crops", str(folder / "train.npz"), "--test", str(folder / "test.npz"),
         "--threads", "1", "--work", str(folder / "work"), "--markdown", str(folder / "table.md"),
         *options],
    )  # fmt: skip
    accuracy.main()
    return (folder / "table.md").read_text(encoding="utf-8")


def test_one_run_gives_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crops are cut, two methods trained and judged; the defects are found and compared."""
    lines = table_of(tmp_path, monkeypatch, "--methods", "patchcore", "simplenet:2").splitlines()
    assert "20 good crops" in capsys.readouterr().out
    assert len(lines) == 4
    assert lines[2].startswith("| patchcore | 100.0%")
    assert lines[3].startswith("| simplenet:2 |")
    assert lines[2].split("|")[6].strip().endswith("%")


@pytest.mark.slow
def test_several_seeds_give_means_and_paired_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Patches and the frozen floor, two seeds: a table each and one over both."""
    methods = ("--methods", "patchcore", "frozen-gaussian")
    told = table_of(tmp_path, monkeypatch, *methods, "--seeds", "0", "1")
    assert told.count("| frozen-gaussian |") == 3
    assert "first minus it" in capsys.readouterr().out


def test_a_mean_difference_redraws_the_same_pictures_for_all() -> None:
    """Equal scores differ by nothing in every redraw; a perfect row by what the other lacks."""
    is_good = np.arange(40) < 20
    perfect = np.where(is_good, 0.0, 1.0)
    blind = np.zeros(40)
    assert mean_difference_interval([perfect] * 2, [perfect] * 2, is_good) == (0.0, 0.0)
    assert mean_difference_interval([perfect] * 2, [blind] * 2, is_good) == (0.5, 0.5)


def test_upright_crops_bring_the_products_outline(tmp_path: Path) -> None:
    """The mask covers the wedge and leaves out the belt in the crop's corners."""
    for place, count in (("train/good", 20), ("test/good", 1), ("test/bad", 1)):
        (tmp_path / place).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(tmp_path / place / f"{i}.png"), wedge(31 * i, i + count))
    accuracy_crops.write_crops(tmp_path, tmp_path, CropSpec((64, 160), 0.12), True)
    data = accuracy.read_crops(tmp_path / "train.npz")
    assert data.mask is not None
    assert data.mask[32, 80] > 0
    assert data.mask[0].max() == 0
    assert accuracy.read_test(tmp_path / "test.npz").regions is None


def test_figures_of_a_perfect_method() -> None:
    """Scores and maps that are the truth itself reach 1 in every figure."""
    regions = np.zeros((4, 32, 32), np.uint8)
    regions[2:, 8:16, 8:24] = 1
    maps = regions[:, ::4, ::4].astype(np.float32)
    kinds = np.array(["good", "good", "dent", "dent"])
    figures = figures_of(np.array([0.1, 0.2, 0.8, 0.9]), maps, kinds, regions)
    assert figures.auroc == figures.aupr == figures.f1_max == 1
    assert figures.pixel_auroc == pytest.approx(1, abs=0.01)
    assert figures.pro is not None
    assert figures.pro > 0.95


def test_unmarked_defects_leave_the_pixel_figures_open() -> None:
    """Without regions there is no pixel AUROC and no PRO, and no guess either."""
    kinds = np.array(["good", "dent"])
    figures = figures_of(np.array([0.1, 0.8]), np.zeros((2, 8, 8), np.float32), kinds, None)
    assert figures.pixel_auroc is figures.pro is None


def test_steps_are_read_from_the_name() -> None:
    """NAME takes the default, NAME:STEPS its own, nonsense is refused."""
    assert accuracy.parsed("padim", 7) == ("padim", 7)
    assert accuracy.parsed("draem-slim:30", 7) == ("draem-slim", 30)
    for wrong in ("padim:0", "padim:x", "padim:-3"):
        with pytest.raises(DataError, match="NAME:STEPS"):
            accuracy.parsed(wrong, 7)


def test_a_test_set_without_defects_is_refused(tmp_path: Path) -> None:
    """AUROC needs both sides."""
    np.savez(tmp_path / "t.npz", crops=np.zeros((2, 32, 32, 3), np.uint8), kinds=["good", "good"])
    with pytest.raises(DataError, match="2 good and 0 defective"):
        accuracy.read_test(tmp_path / "t.npz")


def test_mask_of_the_parts_is_used(tmp_path: Path) -> None:
    """A mask in train.npz reaches the methods."""
    crops = np.stack([part(i) for i in range(4)])
    np.savez(tmp_path / "train.npz", crops=crops, mask=product_mask())
    mask = accuracy.read_crops(tmp_path / "train.npz").mask
    assert mask is not None
    assert (mask == product_mask()).all()
