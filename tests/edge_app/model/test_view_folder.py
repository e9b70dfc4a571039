"""`edge-app inspect --out`: the person's files are as they were, whatever OUT is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures_read import picture_at, picture_of
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.cameras.picture_listing import DRAWINGS_MARK
from edge_app.cli.main import main
from edge_app.errors import OutputError
from edge_app.model.view_folder import is_own_drawing, open_view_folder, own_drawing


def everything(folder: Path) -> dict[str, str]:
    """Return each file below with its digest, links and empty folders included."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else "folder"
        for p in sorted(folder.rglob("*"))
    }


def inspect(pictures: Path, out: Path) -> int:
    bundle = pictures.parent / "a.bundle"
    if not bundle.exists():
        write_bright_bundle(bundle)
    return main(["inspect", str(pictures), "--bundle", str(bundle), "--out", str(out)])


def pictures_of(tmp_path: Path) -> Path:
    """Return a folder of JPEGs, as a user has them: `a.jpg` and `sub/b.jpg`."""
    folder = tmp_path / "pics"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg"):
        cv2.imwrite(str(folder / name), np.full((40, 60, 3), 90, np.uint8))
    write_bright_bundle(tmp_path / "a.bundle")
    return folder


OUTS = {
    "the folder itself": "pics",
    "a new folder in it": "pics/views",
    "a deep new folder in it": "pics/sub/a/b",
    "its sub-folder": "pics/sub",
    "the folder above": ".",
    "by a roundabout way": "pics/../pics",
    "through a link": "link",
    "below a link": "link/views",
}


@pytest.mark.parametrize("out", OUTS.values(), ids=OUTS)
def test_out_that_touches_the_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    """Before the first picture, in words, exit 2, and nothing on disk has changed."""
    folder = pictures_of(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    before = everything(tmp_path)
    assert inspect(folder, tmp_path / out) == 2
    told = capsys.readouterr()
    assert "nothing was written" in told.err
    assert "name another one" in told.err
    assert told.out == ""
    assert everything(tmp_path) == before


def test_out_of_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A single picture's folder is refused; a new folder in it will do."""
    folder = pictures_of(tmp_path)
    before = everything(folder)
    assert main(["inspect", str(folder / "a.jpg"), *bundle_of(folder), "--out", str(folder)]) == 2
    assert "holds pictures that are inspected" in capsys.readouterr().err
    assert everything(folder) == before
    out = folder / "views"
    assert main(["inspect", str(folder / "a.jpg"), *bundle_of(folder), "--out", str(out)]) == 0
    assert is_own_drawing((out / "a.jpg").read_bytes())


def bundle_of(folder: Path) -> list[str]:
    return ["--bundle", str(folder.parent / "a.bundle")]


def test_a_picture_that_is_a_link_into_out_is_refused(tmp_path: Path) -> None:
    """The linked file is the input, wherever its link lies."""
    folder = pictures_of(tmp_path)
    store = tmp_path / "store"
    store.mkdir()
    (folder / "a.jpg").rename(store / "a.jpg")
    (folder / "a.jpg").symlink_to(store / "a.jpg")
    before = everything(tmp_path)
    assert inspect(folder, store) == 2
    assert everything(tmp_path) == before


def test_every_picture_has_a_drawing_of_its_own(tmp_path: Path) -> None:
    """Sub-folders are kept; equal stems, odd and very long names each get their file."""
    folder = tmp_path / "pics"
    names = ["a.jpg", "a.png", "x/1.jpg", "y/1.jpg", "b\udcff.png", "c:\n.png", "x" * 250 + ".png"]
    names += ["/".join(["d" * 120] * 3) + "/1.png"]
    _, pixels = cv2.imencode(".png", np.full((40, 60, 3), 90, np.uint8))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pixels.tobytes())
    before = everything(folder)
    out = tmp_path / "out"
    for _ in range(2):
        assert inspect(folder, out) == 0
        drawn = [p for p in out.rglob("*.jpg") if is_own_drawing(p.read_bytes())]
        assert len(drawn) == len(names)
        assert all(picture_at(p).shape == (40, 60, 3) for p in drawn)
        assert everything(folder) == before
    assert {"a.jpg.jpg", "a.png.jpg", "x/1.jpg", "y/1.jpg"} <= set(everything(out))


def test_another_run_replaces_its_own_drawings(tmp_path: Path) -> None:
    """The same OUT again is fine; the drawing is of the new picture."""
    folder = write_pictures(tmp_path / "pics", 2, {2})
    out = tmp_path / "out"
    assert inspect(folder, out) == 0
    first = everything(out)
    write_pictures(folder, 2, {1, 2})
    assert inspect(folder, out) == 0
    assert set(everything(out)) == set(first)
    assert everything(out)["0001.jpg"] != first["0001.jpg"]
    assert everything(out)["0002.jpg"] == first["0002.jpg"]


def test_somebody_elses_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with anything in it that no inspection made is not written into."""
    folder = write_pictures(tmp_path / "pics", 2, {2})
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "0002.jpg").write_bytes(b"the only picture of it")
    assert inspect(folder, out) == 2
    assert "did not write (0002.jpg)" in capsys.readouterr().err
    assert everything(out) == {"0002.jpg": hashlib.sha256(b"the only picture of it").hexdigest()}


@pytest.mark.parametrize("how", ["foreign", "changed", "link", "folder"])
def test_a_file_in_the_way_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """In a folder of ours too: a person's file, a drawing a person drew on, a link, a folder."""
    folder = write_pictures(tmp_path / "pics", 2, {2})
    out = tmp_path / "out"
    assert inspect(folder, out) == 0
    file = out / "0002.jpg"
    drawing = file.read_bytes()
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "link":
        (tmp_path / "kept.jpg").write_bytes(drawing)
        file.symlink_to(tmp_path / "kept.jpg")
    else:
        file.write_bytes(b"mine" if how == "foreign" else drawing[:-2] + b"\0\xff\xd9")
    before = everything(tmp_path)
    capsys.readouterr()
    assert inspect(folder, out) == 2
    told = capsys.readouterr()
    assert "0002.jpg is in the way" in told.err
    assert told.out == ""
    assert everything(tmp_path) == before


def test_a_link_as_sub_folder_leads_nowhere(tmp_path: Path) -> None:
    """`OUT/sub` that points at the input's own folder is refused."""
    folder = pictures_of(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / DRAWINGS_MARK).touch()
    (out / "sub").symlink_to(folder)
    before = everything(tmp_path)
    assert inspect(folder, out) == 2
    assert everything(tmp_path) == before


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/nowhere/out"])
def test_unwritable_says_so_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    """A place that cannot be written is told before the first picture, without a traceback."""
    folder = write_pictures(tmp_path / "pics", 2, {2})
    (tmp_path / "file").write_text("a file")
    assert inspect(folder, tmp_path / out) == 2
    told = capsys.readouterr()
    assert "--out" in told.err
    assert "name another one" in told.err.lower() or "Name a new folder" in told.err
    assert told.out == ""
    assert (tmp_path / "file").read_text() == "a file"


@pytest.mark.needs("an ordinary user")
def test_read_only_folders_say_so_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So do a folder, and a sub-folder of an earlier run, without the right to write."""
    folder = pictures_of(tmp_path)
    out = tmp_path / "out"
    assert inspect(folder, out) == 0
    for locked in (out / "sub", out):
        locked.chmod(0o555)
        capsys.readouterr()
        assert inspect(folder, out) == 2
        told = capsys.readouterr()
        assert "cannot be written: Permission denied" in told.err
        assert told.out == ""
        locked.chmod(0o755)


def test_a_full_disk_ends_in_words(tmp_path: Path) -> None:
    """What cannot be written later is an OutputError too; here the folder has gone meanwhile."""
    folder = write_pictures(tmp_path / "pics", 1, {1})
    opened = open_view_folder(tmp_path / "out", folder, {"0001.png": folder / "0001.png"})
    (tmp_path / "out" / DRAWINGS_MARK).unlink()
    (tmp_path / "out").rmdir()
    from edge_app.bundle.archive import read_bundle
    from edge_app.model.loaded_model import load_model
    from edge_app.model.offline import inspect_pictures

    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))
    with pytest.raises(OutputError, match="cannot be written"):
        list(inspect_pictures(model, [("0001.png", folder / "0001.png")], opened.drawer(0.5)))


def test_a_drawing_knows_itself() -> None:
    """Only whole, unchanged bytes with our comment are ours; the picture still decodes."""
    _, encoded = cv2.imencode(".jpg", np.full((8, 9, 3), 90, np.uint8))
    jpeg = encoded.tobytes()
    ours = own_drawing(jpeg)
    assert is_own_drawing(ours)
    assert (picture_of(ours) == 90).all()
    for other in (jpeg, b"", ours[:-1], ours[:20], ours + b"\0"):
        assert not is_own_drawing(other)
