"""What is listed of a folder and what is left out: the same for every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.picture_listing import (
    DRAWINGS_MARK,
    list_pictures,
    scan_folder,
    told_left_out,
)
from edge_app.cli.main import main
from edge_app.errors import CameraUnavailable, EndOfStream


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


NO_PICTURES_OF_PARTS = [
    "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
    "$RECYCLE.BIN/1.png",
    "#recycle/1.png",
    "#Recycle/2.png",
    "sub/@eaDir/1.jpg",
    "product.bundle.work/labels/1.png",
    "product.evaluation/1.png",
    ".Trash-1000/1.png",
    "._1.png",
    "notes.txt",
    "shot.GIF",
    f"drawn/{DRAWINGS_MARK}",
    "drawn/1.jpg",
]

PICTURES = ["$1.png", "3 @ noon/4.png", "@2.png", "five.work.png", "work/6.png"]


def test_what_is_no_picture_of_a_part_is_left_out_and_told(tmp_path: Path) -> None:
    """Thumbnails, bins, our outputs, hidden names: none is listed, each is named with a count."""
    folder = tmp_path / "pics"
    touch(folder, *NO_PICTURES_OF_PARTS, *PICTURES)
    (tmp_path / "elsewhere").mkdir()
    touch(tmp_path, "elsewhere/7.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    found = scan_folder(folder)
    assert sorted(p.relative_to(folder).as_posix() for p in found.pictures) == PICTURES
    assert told_left_out(found.left_out) == (
        ".gif (1), .txt (1); drawings of edge-app inspect: drawn/ (1); "
        "hidden: .Trash-1000/ (1), ._1.png (1); links to folders: linked/ (1); "
        "of another system: #Recycle/ (1), #recycle/ (1), $RECYCLE.BIN/ (1), @eaDir/ (2); "
        "outputs of edge-export: product.bundle.work/ (1), product.evaluation/ (1)"
    )
    assert list_pictures(folder) == list(found.pictures)


def test_many_names_are_counted_not_listed(tmp_path: Path) -> None:
    """A hundred hidden files are a short phrase."""
    touch(tmp_path, "a.png", *(f"._{i:03d}.png" for i in range(100)))
    told = told_left_out(scan_folder(tmp_path).left_out)
    assert told.endswith("._005.png (1), 94 more names")


@pytest.mark.parametrize("name", ["@home", "$x", "product.bundle.work", ".hidden"])
def test_a_folder_that_is_named_is_looked_into(tmp_path: Path, name: str) -> None:
    """Whoever names such a folder means it."""
    touch(tmp_path, f"{name}/1.png")
    assert [p.name for p in list_pictures(tmp_path / name)] == ["1.png"]


def test_a_folder_of_drawings_is_refused(tmp_path: Path) -> None:
    """Drawings are no pictures of parts, for inspect and for training."""
    touch(tmp_path, DRAWINGS_MARK, "1.jpg")
    with pytest.raises(CameraUnavailable, match="holds drawings of edge-app inspect"):
        list_pictures(tmp_path)


def test_a_folder_with_nothing_else_says_what_it_holds(tmp_path: Path) -> None:
    """Only thumbnails: the message names them."""
    touch(tmp_path, "@eaDir/1.jpg")
    with pytest.raises(CameraUnavailable, match=r"found of another system: @eaDir/ \(1\)"):
        list_pictures(tmp_path)


def test_the_folder_camera_shows_what_is_listed(tmp_path: Path) -> None:
    """A share's thumbnails are no numbered parts; a part's name may begin with @ or $."""
    write_pictures(tmp_path, 2, set())
    (tmp_path / "0001.png").rename(tmp_path / "@0001.png")
    touch(tmp_path, "@eaDir/0001.png/thumb.jpg")
    camera = FolderCamera(tmp_path, "a")
    camera.open()
    assert [camera.read(1).source_name for _ in range(2)] == ["0002.png", "@0001.png"]
    with pytest.raises(EndOfStream):
        camera.read(1)


def test_inspect_tells_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr: the results on stdout stay as they are."""
    folder = write_pictures(tmp_path / "pics", 1, set())
    touch(folder, "@eaDir/1.jpg", "x.gif")
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    assert main(["inspect", str(folder), "--bundle", str(bundle), "--json"]) == 0
    told = capsys.readouterr()
    left_out, summary = told.err.splitlines()
    assert left_out == "left out: .gif (1); of another system: @eaDir/ (1)"
    assert summary == "1 picture: 1 OK, 0 NG, 0 not inspected, by the bundle for bright"
    assert told.out.count("\n") == 1
