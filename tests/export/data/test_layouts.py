"""People's folders are not like ours: only good parts are taken, or the folder is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.build_many.run import product_folders
from export.data.dataset import GoodPictures, scan_good_pictures

GOOD = 21


def write(folder: Path, count: int = GOOD, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 7, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i:03d}.png"), pixels)


def paths_of(good: GoodPictures, data: Path) -> list[str]:
    return [p.path.relative_to(data).as_posix() for p in good.pictures]


SIDES = {
    "OK and NG": ("OK", ["NG"]),
    "Good and Bad": ("Good", ["Bad"]),
    "normal and abnormal": ("normal", ["abnormal"]),
    "i.O. and n.i.O.": ("i.O.", ["n.i.O."]),
    "good beside kinds and masks": ("good", ["crack", "mask", "odd"]),
    "ok beside kinds of any name": ("ok", ["monday", "bent"]),
    "MVTec AD": ("train/good", ["test/good", "test/crack", "ground_truth/crack"]),
    "BTAD": ("train/ok", ["test/ok", "test/ko", "ground_truth/ko"]),
    "VisA": ("Data/Images/Normal", ["Data/Images/Anomaly", "Data/Masks/Anomaly"]),
    "images inside": ("images/good", ["images/defect"]),
    "split in two": ("Train/OK", ["Train/NG", "Test/OK", "Test/NG"]),
}


@pytest.mark.parametrize(("good", "others"), SIDES.values(), ids=SIDES)
def test_only_the_good_side_is_taken(tmp_path: Path, good: str, others: list[str]) -> None:
    """And what is not taken is counted and named."""
    write(tmp_path / good)
    for number, other in enumerate(others, 1):
        write(tmp_path / other, 3, start=100 * number)
    found = scan_good_pictures(tmp_path)
    assert paths_of(found, tmp_path) == [f"{good}/{i:03d}.png" for i in range(GOOD)]
    for other in others:
        assert f"{other}/ (3 pictures)" in found.elsewhere
        told = " ".join(found.warnings)
        assert (other in told) == (other.split("/")[0].lower() not in ("test", "ground_truth"))


@pytest.mark.parametrize(
    "bad", ["NG", "Bad", "defects", "ABNORMAL", "anomaly", "ko", "rejects", "masks", "Labels"]
)
@pytest.mark.parametrize("where", ["", "monday/", "good/", "train/good/"])
def test_a_bad_name_below_the_good_parts_is_refused(tmp_path: Path, where: str, bad: str) -> None:
    """Before any picture is opened (these are none), with its name, count and the right layout."""
    for name in (f"{where}1.png", f"{where}{bad}/2.png", f"{where}{bad}/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"not opened")
    with pytest.raises(DataError, match=r"A folder good .* is understood") as refused:
        scan_good_pictures(tmp_path)
    assert f"{bad}/ (2 pictures)" in str(refused.value)


@pytest.mark.parametrize("name", ["NG_1.png", "part bad.jpg", "7_defect.png", "7_mask.png"])
def test_a_bad_file_name_is_refused(tmp_path: Path, name: str) -> None:
    """A single one among good ones, and a mask without its picture."""
    write(tmp_path)
    (tmp_path / name).write_bytes(b"not opened")
    with pytest.raises(DataError, match=name):
        scan_good_pictures(tmp_path)


def test_many_bad_names_are_a_short_sentence(tmp_path: Path) -> None:
    """The first eight and the number of the others."""
    write(tmp_path)
    for i in range(30):
        (tmp_path / f"ng{i:02d}.png").touch()
    with pytest.raises(DataError, match=r"ng07\.png and 22 more\. Expected"):
        scan_good_pictures(tmp_path)


@pytest.mark.parametrize("name", ["NG", "bad parts", "Defects"])
def test_a_folder_of_bad_parts_is_refused_itself(tmp_path: Path, name: str) -> None:
    """`--data NG`, from outside and from inside."""
    write(tmp_path / name)
    with pytest.raises(DataError, match="looks like a folder of defects"):
        scan_good_pictures(tmp_path / name)


def test_a_kind_beside_ok_is_refused_itself(tmp_path: Path) -> None:
    """`crack` beside `OK`, as beside `good`."""
    write(tmp_path / "OK")
    write(tmp_path / "crack")
    with pytest.raises(DataError, match="looks like a folder of defects"):
        scan_good_pictures(tmp_path / "crack")


def test_two_good_folders_are_refused(tmp_path: Path) -> None:
    """Which one is meant, nobody knows."""
    write(tmp_path / "OK")
    write(tmp_path / "normal")
    with pytest.raises(DataError, match="2 folders that mean good parts: OK, normal"):
        scan_good_pictures(tmp_path)


@pytest.mark.parametrize("suffix", ["_label.bmp", "_mask.png", "_GT.png"])
def test_masks_beside_pictures_tell_good_from_bad(tmp_path: Path, suffix: str) -> None:
    """Kolektor: an empty mask is a good part's, a marked one a bad part's; no mask is taken."""
    for part in range(12):
        write(tmp_path / f"kos{part:02d}", 2, start=2 * part)
        for i in (2 * part, 2 * part + 1):
            mask = np.zeros((6, 7), np.uint8)
            mask[2, 3] = 255 * (i % 8 == 1)
            cv2.imwrite(str(tmp_path / f"kos{part:02d}" / f"{i:03d}{suffix}"), mask)
    found = scan_good_pictures(tmp_path)
    assert len(found.pictures) == 21
    assert not [p.name for p in found.pictures if int(p.path.stem) % 8 == 1]
    told = found.warnings[0]
    assert "masks (24 pictures)" in told
    assert "pictures with a marked mask beside them (3 pictures)" in told


def test_a_mask_of_the_same_name_tells_good_from_bad(tmp_path: Path) -> None:
    """Magnetic tiles: `a.jpg` with its mask `a.png`; two photographs of one name are both parts."""
    write(tmp_path, GOOD)
    for i in range(3, 6):
        pixels = np.random.default_rng(100 + i).integers(0, 255, (30, 40, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"p{i}.jpg"), pixels)
        mask = np.zeros((30, 40), np.uint8)
        mask[2:4, 3:5] = (0, 1, 255)[i - 3]
        cv2.imwrite(str(tmp_path / f"p{i}.png"), mask)
    cv2.imwrite(str(tmp_path / "000.jpg"), np.random.default_rng(9).integers(0, 255, (30, 40, 3)))
    found = scan_good_pictures(tmp_path)
    names = [p.name for p in found.pictures]
    assert [n for n in names if n.startswith("p")] == ["p3.jpg"]
    assert {"000.jpg", "000.png"} < set(names)
    assert "masks (3 pictures)" in found.warnings[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_of_ones_marks(tmp_path: Path, dtype: type[np.unsignedinteger[Any]]) -> None:
    """0/1 masks, of 16 bits too, are masks: one pixel of value 1 and the picture is left out."""
    write(tmp_path, GOOD + 1)
    mask = np.zeros((6, 7), dtype)
    mask[5, 6] = 1
    cv2.imwrite(str(tmp_path / "003_mask.png"), mask)
    found = scan_good_pictures(tmp_path)
    assert len(found.pictures) == GOOD
    assert "003.png" not in [p.name for p in found.pictures]


def test_a_mask_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Its picture may show a bad part."""
    write(tmp_path)
    (tmp_path / "003_label.bmp").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"003_label\.bmp cannot be read"):
        scan_good_pictures(tmp_path)


def test_plain_folders_are_taken_as_before(tmp_path: Path) -> None:
    """Shifts, numbers, labels beside the pictures: everything, sorted by name; test left out."""
    for number, name in enumerate(("monday", "tuesday/early", "a10", "a9")):
        write(tmp_path / name, 6, start=10 * number)
    write(tmp_path / "test", 3, start=90)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "000.txt").touch()
    found = scan_good_pictures(tmp_path)
    names = [p.name for p in found.pictures]
    assert names == sorted(names)
    assert {n.rpartition("/")[0] for n in names} == {"a10", "a9", "monday", "tuesday/early"}
    assert len(names) == 24
    assert "test/ (3 pictures)" in found.warnings[0]


def test_products_of_a_plant_in_any_layout(tmp_path: Path) -> None:
    """`build-many` takes OK and VisA's folders too, and leaves none out without a word."""
    write(tmp_path / "a" / "train" / "good", 1)
    write(tmp_path / "b" / "OK", 1)
    write(tmp_path / "c" / "Data" / "Images" / "Normal", 1)
    write(tmp_path / "d" / "NG", 1)
    write(tmp_path / "e" / "good" / "NG", 1)  # refused by its own build, with the reason
    assert [p.name for p in product_folders(tmp_path)] == ["a", "b", "c", "e"]
