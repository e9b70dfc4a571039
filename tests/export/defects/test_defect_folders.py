"""Folders of real defects as people have them: good parts and masks among them are no defects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.bundle_build.pipeline import label_pictures
from export.bundle_build.records import BuildOptions
from export.data.dataset import scan_good_pictures
from export.defects.labelled import mask_of, read_mask
from export.defects.pictures import refuse_good_as_defect, scan_defects
from export.evaluation.data import scan_test_pictures


def write(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 7, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i:03d}.png"), pixels)


def test_good_parts_and_masks_are_no_defects(tmp_path: Path) -> None:
    """`--calibration-defects DATA/test` takes the kinds; the others are counted and named."""
    for number, name in enumerate(("good", "OK", "crack", "mask", "Masks", "ground_truth/crack")):
        write(tmp_path / name, 2, start=10 * number)
    write(tmp_path / "crack" / "deep", 1, start=90)
    found = scan_defects(tmp_path)
    assert [p.name for p in found.pictures] == [
        "crack/020.png",
        "crack/021.png",
        "crack/deep/090.png",
    ]
    assert set(found.classes) == {"crack"}
    (told,) = found.warnings
    for name in ("good/", "OK/", "mask/", "Masks/", "ground_truth/"):
        assert f"{name} (2 pictures)" in told


@pytest.mark.parametrize("name", ["good", "OK"])
def test_a_folder_of_good_parts_is_refused_as_defects(tmp_path: Path, name: str) -> None:
    """Named itself, or with nothing else in it."""
    write(tmp_path / "data" / name, 2)
    with pytest.raises(DataError, match="looks like a folder of good parts"):
        scan_defects(tmp_path / "data" / name)
    with pytest.raises(DataError, match=rf"no picture of a defective part.*{name}/ \(2 pictures\)"):
        scan_defects(tmp_path / "data")


@pytest.mark.parametrize("option", ["known_defects", "calibration_defects"])
def test_the_same_picture_as_good_and_as_defect_is_refused(tmp_path: Path, option: str) -> None:
    """With both names, before the first step."""
    write(tmp_path / "good", 21)
    write(tmp_path / "real" / "crack", 2, start=50)
    shutil.copy(tmp_path / "good" / "007.png", tmp_path / "real" / "crack" / "copy.png")
    given: dict[str, Any] = {option: tmp_path / "real"}
    options = BuildOptions(tmp_path, tmp_path / "a.bundle", "a", **given)
    with pytest.raises(DataError, match=r"1 pictures are .*: 007\.png is crack/copy\.png\. Remove"):
        label_pictures(options, lambda *_: None)
    (tmp_path / "real" / "crack" / "copy.png").unlink()
    refuse_good_as_defect(scan_good_pictures(tmp_path), scan_defects(tmp_path / "real"))


@pytest.mark.parametrize("change", ["bmp", "jpg", "brighter", "scratched", "noisy"])
def test_a_picture_saved_again_as_a_defect_is_refused(tmp_path: Path, change: str) -> None:
    """Another format, a grey level more; a scratched part, or one more photograph, is none."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(40, 200, (20, 6, 8, 3)).astype(np.uint8)
    looks = [cv2.resize(c, (200, 150), interpolation=cv2.INTER_CUBIC) for c in coarse]
    (tmp_path / "good").mkdir()
    for number, look in enumerate(looks):
        cv2.imwrite(str(tmp_path / "good" / f"{number:03d}.png"), look)
    again = looks[7].copy()
    if change == "brighter":
        again = cv2.add(again, np.full_like(again, 1))
    if change == "scratched":
        again[70:72, 60:90] = 255
    if change == "noisy":
        again = np.clip(again + rng.normal(0, 9, again.shape), 0, 255).astype(np.uint8)
    ending = {"bmp": "bmp", "jpg": "jpg"}.get(change, "png")
    (tmp_path / "real" / "dent").mkdir(parents=True)
    file = str(tmp_path / "real" / "dent" / f"x.{ending}")
    cv2.imwrite(file, again, [cv2.IMWRITE_JPEG_QUALITY, 97] if ending == "jpg" else [])
    good, real = scan_good_pictures(tmp_path), scan_defects(tmp_path / "real")
    if change in ("scratched", "noisy"):
        refuse_good_as_defect(good, real)
    else:
        with pytest.raises(DataError, match=rf"007\.png is dent/x\.{ending}"):
            refuse_good_as_defect(good, real)


LAYOUTS = {
    "MVTec AD": ("test/good", "test/crack", "ground_truth/crack"),
    "plain": ("good", "crack", "ground_truth/crack"),
    "OK and NG with masks beside": ("OK", "NG", "masks"),
    "BTAD": ("test/ok", "test/ko", "ground_truth/ko"),
    "VisA": ("Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly"),
}


@pytest.mark.parametrize(("good", "bad", "masks"), LAYOUTS.values(), ids=LAYOUTS)
def test_evaluation_understands_the_same_layouts(
    tmp_path: Path, good: str, bad: str, masks: str
) -> None:
    """Good parts are GOOD whatever their folder is called; masks are found, and are no kind."""
    write(tmp_path / good, 3)
    write(tmp_path / bad, 2, start=50)
    write(tmp_path / masks, 2, start=50)
    (tmp_path / good).parent.joinpath("@eaDir").mkdir()
    scanned = scan_test_pictures(tmp_path, ())
    found = scanned.kept
    assert [p.kind for p in found] == ["good"] * 3 + [bad.rpartition("/")[2]] * 2
    assert [p.mask is not None for p in found] == [False] * 3 + [masks != "masks"] * 2
    beside = "@eaDir/, masks/" if masks == "masks" else "@eaDir/"
    assert scanned.warnings == (f"no kinds of defect, left out: {beside}",)


CONVENTIONS = ["{}_mask.png", "{}_label.bmp", "{}_GT.tif", "{}-mask.png", "{}.bmp"]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("stem", ["020", "dent [1]"])
def test_a_mask_beside_its_picture_is_found(tmp_path: Path, convention: str, stem: str) -> None:
    """By several conventions, with brackets in the name; it is no picture of a defect."""
    write(tmp_path / "crack", 1, start=20)
    (tmp_path / "crack" / "020.png").rename(tmp_path / "crack" / f"{stem}.png")
    marked = np.zeros((6, 7), np.uint8)
    marked[2:4, 1:5] = 1
    mask = tmp_path / "crack" / convention.format(stem)
    cv2.imwrite(str(mask), marked)
    (picture,) = scan_defects(tmp_path).pictures
    assert mask_of(picture) == mask
    np.testing.assert_array_equal(read_mask(mask, picture)[:, :, 0] > 0, marked > 0)


def test_masks_that_fit_none_are_said_and_two_are_refused(tmp_path: Path) -> None:
    """With their number and their names."""
    write(tmp_path / "crack", 2, start=20)
    for name in ("030_mask.png", "021_mask.png", "021_mask.bmp"):
        cv2.imwrite(str(tmp_path / "crack" / name), np.ones((6, 7), np.uint8))
    found = scan_defects(tmp_path)
    assert [p.name for p in found.pictures] == ["crack/020.png", "crack/021.png"]
    assert "masks that fit no picture (1 pictures)" in found.warnings[0]
    assert mask_of(found.pictures[0]) is None
    with pytest.raises(DataError, match=r"021\.png has 2 masks: 021_mask\.bmp, 021_mask\.png"):
        mask_of(found.pictures[1])
