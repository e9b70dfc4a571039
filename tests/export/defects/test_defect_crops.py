"""Real defects and their masks, cut as the good parts are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.method_parts import CROP_HW, damaged, parts

from edge_app.errors import DataError
from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from edge_app.records import Detection
from export.bundle_build.pipeline import BuildOptions, learnt_defects
from export.defects.crops import DefectCrops, defect_crops
from export.defects.pictures import scan_defects
from export.methods.train import inspector_step
from export.pose.step import Cutting
from export.workspace import Workspace

pytestmark = pytest.mark.needs("the extra train")

FRAME_HW = (90, 120)


class Nothing:
    """A finder that finds no product."""

    def find(self, pixels_hwc: np.ndarray) -> list[Detection]:
        return []


class Standing:
    """A finder of one part of 60 × 30 px that points down."""

    def find(self, pixels_hwc: np.ndarray) -> list[Detection]:
        return [Detection((60.0, 45.0, 60.0, 30.0, np.pi / 2), 1.0)]


def cutting(finder: WholeFrame | Nothing | Standing) -> Cutting:
    fills = isinstance(finder, WholeFrame)
    spec = CropSpec((64, 96), 0.0, stretch=fills)
    return Cutting(finder, fills, "fixed", PoseFinder(), spec, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scratched parts, one of them marked from (20, 30) to (40, 60), x and y."""
    (tmp_path / "scratch").mkdir()
    picture = np.full((*FRAME_HW, 3), 100, np.uint8)
    picture[30:60, 20:40] = 200
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "scratch" / f"{name}.png"), picture)
    mask = np.zeros(FRAME_HW, np.uint8)
    mask[30:60, 20:40] = 255
    cv2.imwrite(str(tmp_path / "scratch" / "b_mask.png"), mask)
    return tmp_path


def test_a_mask_is_cut_as_its_picture_is(folder: Path) -> None:
    """The marked region covers the bright pixels of the crop; without a mask it is empty."""
    defects = defect_crops(scan_defects(folder), cutting(WholeFrame()))
    assert defects.crops.shape == (2, 64, 96, 3)
    assert not defects.regions[0].any()
    bright = defects.crops[1, :, :, 0] > 150
    assert ((defects.regions[1] > 0) != bright).mean() < 0.01


def test_a_turned_parts_mask_turns_with_it(folder: Path) -> None:
    """A part that points down lies upright in the crop, and so does its region."""
    (folder / "scratch" / "a.png").unlink()
    defects = defect_crops(scan_defects(folder), cutting(Standing()))
    bright = defects.crops[0, :, :, 0] > 150
    assert ((defects.regions[0] > 0) != bright).mean() < 0.02


def test_without_a_single_part_the_folder_is_refused(folder: Path) -> None:
    """Pictures in which no product is found give nothing to learn from: the message says so."""
    with pytest.raises(DataError, match="No product was found in any of the 2 pictures"):
        defect_crops(scan_defects(folder), cutting(Nothing()))


def test_a_mask_of_another_size_is_refused(folder: Path) -> None:
    """The message names the picture, both sizes and what to do."""
    cv2.imwrite(str(folder / "scratch" / "b_mask.png"), np.zeros((9, 12), np.uint8))
    with pytest.raises(DataError, match=r"mask of scratch/b\.png is \(9, 12\).*\(90, 120\)"):
        defect_crops(scan_defects(folder), cutting(WholeFrame()))


def test_a_mask_that_is_no_picture_is_refused(folder: Path) -> None:
    """A broken file is named, not taken for an unmarked defect."""
    (folder / "scratch" / "b_mask.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"The mask of scratch/b\.png"):
        defect_crops(scan_defects(folder), cutting(WholeFrame()))


def test_marked_defects_reach_the_method_that_learns_from_them(tmp_path: Path) -> None:
    """A build's training step with BGAD learns from both marked defects and says so."""
    defects = DefectCrops(np.stack([damaged(1), damaged(2)]), np.ones((2, *CROP_HW), np.uint8))
    _, inspector = inspector_step(
        Workspace(tmp_path, lambda *_: None), list(parts(4).crops), None,
        method="bgad", seed=0, steps=1, device="cpu", defects=defects,
    )  # fmt: skip
    assert inspector.figures["real_defects"] == 2


def test_only_methods_that_learn_from_defects_are_given_them(folder: Path) -> None:
    """BGAD gets the two crops of the folder; PaDiM none, nor BGAD without a folder."""
    options = BuildOptions(Path("x"), Path("y"), "p", method="bgad", known_defects=folder)
    given = learnt_defects(options, "bgad", cutting(WholeFrame()))
    assert given is not None
    assert len(given.crops) == 2
    assert learnt_defects(options, "padim", cutting(WholeFrame())) is None
    without = BuildOptions(Path("x"), Path("y"), "p", method="bgad")
    assert learnt_defects(without, "bgad", cutting(WholeFrame())) is None
