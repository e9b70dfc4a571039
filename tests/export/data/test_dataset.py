"""The pictures a person brings: what is taken, what is refused, what is said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.data.dataset import scan_good_pictures


def write(folder: Path, count: int, hw: tuple[int, int] = (20, 30), start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(start)
    for i in range(start, start + count):
        cv2.imwrite(str(folder / f"{i:03d}.png"), rng.integers(0, 255, (*hw, 3), np.uint8))


def test_the_mvtec_layout_is_found(tmp_path: Path) -> None:
    """`train/good` is read; `test/` and `ground_truth/` are not even looked at."""
    write(tmp_path / "train" / "good", 25)
    for name in ("test", "ground_truth"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "poison.png").write_bytes(b"never opened")
    good = scan_good_pictures(tmp_path)
    assert len(good.pictures) == 25
    assert good.pictures[0].name == "000.png"
    assert good.pictures[0].hw == (20, 30)


def test_a_plain_folder_will_do_but_its_test_folder_is_left_out(tmp_path: Path) -> None:
    """Pictures directly in the folder count; those below a `test` folder in it do not."""
    write(tmp_path, 22)
    write(tmp_path / "test", 5, start=100)
    assert len(scan_good_pictures(tmp_path).pictures) == 22


@pytest.mark.parametrize("name", ["test", "ground_truth"])
def test_a_test_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Pointing at test data by mistake is an error that says what to name instead."""
    write(tmp_path / name, 25)
    with pytest.raises(DataError, match="nothing there is trained on"):
        scan_good_pictures(tmp_path / name)


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_pictures(tmp_path: Path, count: int) -> None:
    """One or three pictures are refused with the number that is needed."""
    write(tmp_path, count)
    with pytest.raises(DataError, match=f"holds {count} different .* at least 20"):
        scan_good_pictures(tmp_path)


def test_copies_corrupt_files_and_sizes_are_told(tmp_path: Path) -> None:
    """Copies count once; unreadable files, mixed sizes and small numbers are told."""
    write(tmp_path, 20)
    write(tmp_path, 3, hw=(40, 40), start=50)
    (tmp_path / "copy.png").write_bytes((tmp_path / "000.png").read_bytes())
    (tmp_path / "torn.png").write_bytes(b"not a picture")
    good = scan_good_pictures(tmp_path)
    assert len(good.pictures) == 23
    told = " | ".join(good.warnings)
    assert "torn.png" in told
    assert "1 pictures are byte-identical copies" in told
    assert "2 different sizes" in told
    assert "only 23 different good parts" in told


def test_a_folder_of_defects_is_refused(tmp_path: Path) -> None:
    """`crack` beside `good`, and a kind inside `test`, are named as what they are."""
    write(tmp_path / "good", 21)
    write(tmp_path / "crack", 21, start=50)
    write(tmp_path / "test" / "dent", 21, start=90)
    for folder in ("crack", "test/dent"):
        with pytest.raises(DataError, match="looks like a folder of defects"):
            scan_good_pictures(tmp_path / folder)
    assert len(scan_good_pictures(tmp_path / "good").pictures) == 21


def test_grey_pictures_among_coloured_ones_are_told(tmp_path: Path) -> None:
    """Two modes in one folder are a warning with the number of each."""
    write(tmp_path, 20)
    for i in range(4):
        grey = np.random.default_rng(i + 99).integers(0, 255, (20, 30), np.uint8)
        cv2.imwrite(str(tmp_path / f"grey{i}.png"), grey)
    assert "4 of 24 pictures are grey" in " ".join(scan_good_pictures(tmp_path).warnings)


def test_no_folder_at_all(tmp_path: Path) -> None:
    """A path that is not there says which layout was expected."""
    with pytest.raises(DataError, match="Expected DIR/train/good"):
        scan_good_pictures(tmp_path / "nowhere")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Thumbnails and other formats are not trained on and are named; own labels are no matter."""
    write(tmp_path / "good", 22)
    write(tmp_path / "good" / "@eaDir", 3, start=50)
    (tmp_path / "good" / "a.gif").touch()
    (tmp_path / "good" / "labels").mkdir()
    (tmp_path / "good" / "labels" / "000.txt").touch()
    good = scan_good_pictures(tmp_path)
    assert len(good.pictures) == 22
    assert good.warnings[0] == "left out: .gif (1); of another system: @eaDir/ (1)"


@pytest.mark.parametrize("way", [".", "../link", "good", "../test/good"])
def test_test_data_is_refused_by_whatever_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """From inside, by a link, and its good parts by themselves."""
    write(tmp_path / "train" / "good", 1)
    write(tmp_path / "test" / "good", 25, start=50)
    (tmp_path / "link").symlink_to("test")
    monkeypatch.chdir(tmp_path / "test")
    with pytest.raises(DataError, match="nothing there is trained on"):
        scan_good_pictures(Path(way))


def test_a_folder_that_is_called_test_far_above_says_nothing(tmp_path: Path) -> None:
    write(tmp_path / "test" / "screws" / "good", 25)
    assert len(scan_good_pictures(tmp_path / "test" / "screws").pictures) == 25


def test_folders_that_say_nothing_are_all_taken_and_named(tmp_path: Path) -> None:
    """`0` and `1` may be classes or cameras: a person sees what is taken for good parts."""
    write(tmp_path / "0", 22)
    assert not [w for w in scan_good_pictures(tmp_path).warnings if "folders" in w]
    write(tmp_path / "1", 5, start=100)
    told = "2 folders are all taken for good parts: 0/ (22 pictures), 1/ (5 pictures)"
    assert told in scan_good_pictures(tmp_path).warnings
