"""What drawings of inspected pictures are called."""

from __future__ import annotations

import pytest

from edge_app.model.view_names import view_names


def test_sub_folders_and_stems_are_kept() -> None:
    """The usual folder: each drawing lies where its picture lay, as a JPEG."""
    found = view_names(["a.png", "x/1.jpg", "y/1.jpg", "x/y/2.TIF", "x.1.png"])
    assert list(found.values()) == ["a.jpg", "x/1.jpg", "y/1.jpg", "x/y/2.jpg", "x.1.jpg"]


def test_equal_stems_keep_their_ending() -> None:
    """`a.jpg` beside `a.png`: both show which picture they are of; another folder's `a` does."""
    found = view_names(["a.jpg", "a.png", "b/a.jpg"])
    assert list(found.values()) == ["a.jpg.jpg", "a.png.jpg", "b/a.jpg"]


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "a.tif", "a.png.jpg", "a.png.jpg.png"],
        ["A.jpg", "a.jpg"],
        ["Teil/1.jpg", "teil/1.jpg"],
        ["\u00e9.jpg", "e\u0301.jpg", "\u00c9.jpg"],
        ["x.png", "x.jpg/1.png"],
        ["a:b.png", "a?b.png", "a_b.png"],
        ["a:b/1.png", "a?b/1.png"],
        ["con.png", "_con.png", "CON.jpg", "aux/nul.tif"],
        ["\udcff.png", "\udcfe.png", "_.png"],
        ["a\n.png", "a .png", "a..png", "a.png"],
        ["ü" * 125 + "1.png", "ü" * 125 + "2.png"],
        ["/".join(["d" * 200] * n) + "/1.png" for n in range(1, 21)],
    ],
    ids=lambda names: str(ascii(names[0]))[:30],
)
def test_no_two_drawings_meet_and_any_disk_takes_them(names: list[str]) -> None:
    """Equal but for case, Unicode form or a refused character: a legal name of its own each."""
    found = view_names(names)
    assert list(found) == names
    assert len({view.casefold() for view in found.values()}) == len(names)
    folders = {view.rpartition("/")[0].casefold() for view in found.values()}
    assert not folders & {view.casefold() for view in found.values()}
    for view in found.values():
        assert view.endswith(".jpg")
        assert len(view.encode()) <= 4000
        for part in view.split("/"):
            assert len(part.encode()) <= 255
            assert not set(part) & set('<>:"\\|?*\n')
            assert part.rpartition(".")[0].casefold() not in ("con", "aux", "nul")
            assert part == part.rstrip(". ")


def test_names_do_not_depend_on_the_order() -> None:
    """Another run over the same pictures replaces its own drawings, not others'."""
    names = ["a.png", "a.jpg", "A.jpg", "b?.png"]
    assert view_names(names) == view_names(names[::-1])
