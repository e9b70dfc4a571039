"""A person's labels, from whatever tool, become the same boxes; whose they are is never guessed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.label_writers import UPRIGHT, WRITERS, Boxes, Writer, beside, upright_line, yolo_line

from edge_app.errors import DataError
from edge_app.imaging.oriented_box import axis_difference_rad, rotated_iou
from edge_app.records import BoxCxcywhr
from export.data.label_files import write_label_files
from export.data.picture import Picture
from export.data.yolo_dataset import LabelledPicture
from export.labels.given.find import find_labels
from export.labels.given.read import GivenLabels, given_labels

HW = (120, 160)
NAMES = ("a.png", "b.png", "sub/a.png", "sub/deep/ä ö [1].png", "train/images/c.jpg.rf.12.png")


def bar(number: int, is_turned: bool = True) -> BoxCxcywhr:
    """A part of 60 × 24 px, somewhere."""
    return 70.0 + 2 * number, 60.0 - number, 60.0, 24.0, 0.4 * number - 0.9 if is_turned else 0.0


def pictures_in(folder: Path, names: tuple[str, ...] = NAMES) -> list[Picture]:
    """Write pictures, of which only the size matters here."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(Path(name).suffix, np.zeros((*HW, 3), np.uint8))
        (folder / name).write_bytes(encoded.tobytes())
    return [Picture(folder / name, name, name, HW) for name in names]


def by_name(given: GivenLabels, folder: Path) -> dict[str, np.ndarray]:
    return {
        p.source.relative_to(folder).as_posix(): p.boxes_cxcywhr
        for p in given.pictures
        if isinstance(p.source, Path)
    }


def assert_same(found: dict[str, np.ndarray], meant: Boxes) -> None:
    assert found.keys() == meant.keys()
    for name, boxes in meant.items():
        assert len(found[name]) == len(boxes)
        for row, box in zip(found[name], boxes, strict=True):
            cx, cy, w, h, angle = (float(v) for v in row)
            got = (cx, cy, w, h, angle)
            assert rotated_iou(got, box) > 0.93
            assert abs(axis_difference_rad(got[4], box[4])) < math.radians(2)
            assert math.hypot(got[0] - box[0], got[1] - box[1]) < 0.6


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_format_gives_the_same_boxes(tmp_path: Path, write: Writer) -> None:
    """Equal names in sub-folders, umlauts and brackets included; each at its own picture."""
    pictures = pictures_in(tmp_path)
    is_turned = write not in [WRITERS[name] for name in UPRIGHT]
    meant = {name: (bar(i, is_turned),) for i, name in enumerate(NAMES)}
    write(tmp_path, meant, HW, "part")
    given = given_labels(pictures, tmp_path)
    assert_same(by_name(given, tmp_path), meant)
    assert len(given.warnings) == (not is_turned)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_labels_that_name_bad_parts_are_refused(tmp_path: Path, write: Writer) -> None:
    """A class `defect` among the good parts: somebody labelled defects, not products."""
    pictures = pictures_in(tmp_path)
    write(tmp_path, {name: (bar(0, False),) for name in NAMES}, HW, "surface-defect")
    with pytest.raises(DataError, match=r"5 pictures among the good parts .*'surface-defect'"):
        given_labels(pictures, tmp_path)


def test_a_subset_and_an_empty_label_are_what_they_say(tmp_path: Path) -> None:
    """No file: not labelled. An empty file: no product here."""
    pictures = pictures_in(tmp_path)
    beside(tmp_path, {"a.png": (bar(0),), "b.png": ()}, HW, "part")
    found = by_name(given_labels(pictures, tmp_path), tmp_path)
    assert {name: len(boxes) for name, boxes in found.items()} == {"a.png": 1, "b.png": 0}


STRAYS = {
    "notes.txt": "Monday, 12 parts\n",
    "a.txt": "exposure 4 ms\n",
    "README.txt": "# parts\n",
    "README.roboflow.txt": "2 images, resized to 640\n",
    "labels/README.md": "nothing\n",
    "labels/classes.txt": "part\n",
    "setup.json": '{"exposure_ms": 4}',
    "a.json": '{"exposure_ms": 4}',
    "camera.xml": "<camera><gain>1</gain></camera>",
    "table.csv": "1,2,3\n",
}


@pytest.mark.parametrize("stray", STRAYS)
def test_texts_that_hold_no_labels_are_passed_over(tmp_path: Path, stray: str) -> None:
    """Notes, READMEs and a camera's settings never stop a build."""
    pictures = pictures_in(tmp_path)
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).write_text(STRAYS[stray])
    assert given_labels(pictures, tmp_path).pictures == []
    (tmp_path / "b.txt").write_text(yolo_line(bar(1), HW))
    assert by_name(given_labels(pictures, tmp_path), tmp_path).keys() == {"b.png"}


EQUAL = ("000.jpg", "000.png", "sub/000.png", "sub/other/000.png")


def test_what_a_build_writes_comes_back_to_its_own_pictures(tmp_path: Path) -> None:
    """`000.jpg`, `000.png` and sub-folders: copied into labels/ as told, each keeps its box."""
    pictures = pictures_in(tmp_path, EQUAL)
    meant = {name: (bar(i),) for i, name in enumerate(EQUAL)}
    own = [LabelledPicture(p.path, np.array(meant[p.name])) for p in pictures]
    write_label_files(tmp_path / "labels", own, pictures)
    assert_same(by_name(given_labels(pictures, tmp_path), tmp_path), meant)


@pytest.mark.parametrize("where", ["000.txt", "labels/000.txt"])
def test_a_label_of_two_pictures_is_refused(tmp_path: Path, where: str) -> None:
    """Nobody knows whose `000.txt` is; the sentence says how to name it."""
    pictures = pictures_in(tmp_path, EQUAL)
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text(yolo_line(bar(0), HW))
    with pytest.raises(DataError, match=r"could belong to 000\.jpg or to 000\.png.*000\.jpg\.txt"):
        given_labels(pictures, tmp_path)


def test_flat_labels_of_equal_names_are_refused(tmp_path: Path) -> None:
    """`labels/a.txt` with `x/a.png` and `y/a.png`; with one of them it is that one's."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(yolo_line(bar(0), HW))
    pictures = pictures_in(tmp_path, ("x/a.png", "x/b.png"))
    assert by_name(given_labels(pictures, tmp_path), tmp_path).keys() == {"x/a.png"}
    pictures = pictures_in(tmp_path, ("x/a.png", "y/a.png"))
    with pytest.raises(DataError, match=r"could belong to x/a\.png or to y/a\.png"):
        given_labels(pictures, tmp_path)


def test_two_labels_of_one_picture_are_refused(tmp_path: Path) -> None:
    """Both names in the sentence; the same text twice is no question."""
    pictures = pictures_in(tmp_path, ("a.png",))
    beside(tmp_path, {"a.png": (bar(0),)}, HW, "part")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text((tmp_path / "a.txt").read_text())
    assert len(given_labels(pictures, tmp_path).pictures) == 1
    (tmp_path / "labels" / "a.txt").write_text(yolo_line(bar(1), HW))
    with pytest.raises(DataError, match=r"a\.png has two .*: a\.txt and labels/a\.txt"):
        given_labels(pictures, tmp_path)


def test_labelme_tells_equal_stems_apart(tmp_path: Path) -> None:
    """Its file says which picture it was drawn on."""
    pictures = pictures_in(tmp_path, ("0.jpg", "0.png"))
    WRITERS["labelme"](tmp_path, {"0.png": (bar(1),)}, HW, "part")
    assert by_name(given_labels(pictures, tmp_path), tmp_path).keys() == {"0.png"}


def test_labels_that_fit_no_picture_are_said(tmp_path: Path) -> None:
    """Some: a warning with their names. All: refused."""
    pictures = pictures_in(tmp_path, ("a.png", "b.png"))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x1.txt").write_text(yolo_line(bar(0), HW))
    with pytest.raises(DataError, match=r"1 label files, and none is named .*labels/x1\.txt"):
        given_labels(pictures, tmp_path)
    (tmp_path / "labels" / "a.txt").write_text(yolo_line(bar(0), HW))
    (warning,) = given_labels(pictures, tmp_path).warnings
    assert "1 label files belong to no picture: labels/x1.txt" in warning


def test_labels_of_test_pictures_and_bad_ones_are_no_strays(tmp_path: Path) -> None:
    """Roboflow labels all of its split; MVTec-like sets have labels for the bad parts too."""
    pictures = pictures_in(tmp_path / "good", ("a.png",))
    pictures_in(tmp_path, ("NG/x.png", "test/images/y.png"))
    for name in ("labels/good/a.txt", "labels/NG/x.txt", "test/labels/y.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(yolo_line(bar(0), HW))
    given = given_labels(pictures, tmp_path / "good", tmp_path)
    assert len(given.pictures) == 1
    assert given.warnings == ()


def test_upright_boxes_of_turned_parts_are_refused(tmp_path: Path) -> None:
    """They say nothing of the angle; parts that always lie the same way are taken."""
    pictures = pictures_in(tmp_path, tuple(f"{i}.png" for i in range(8)))
    for i in range(8):
        (tmp_path / f"{i}.txt").write_text(upright_line(bar(i, is_turned=False), HW))
    given = given_labels(pictures, tmp_path)
    assert "8 of 8 labels are upright boxes" in given.warnings[0]
    for i in range(8):
        (tmp_path / f"{i}.txt").write_text(upright_line(bar(i), HW))
    with pytest.raises(DataError, match=r"upright boxes differ .*oriented boxes or outlines"):
        given_labels(pictures, tmp_path)


MALFORMED = {
    "YOLO": ("a.txt", yolo_line(bar(0), HW) + "0 0.1 0.2\n", r"a\.txt, line 2 is not"),
    "upright without height": ("a.txt", "0 .5 .5 .2 0\n", r"a\.txt, line 1: a box"),
    "even count": ("a.txt", "0 .1 .1 .2 .2 .3 .3 .4\n", r"a\.txt, line 1 is not"),
    "in a sub-folder": ("labels/a.txt", "0 .1 .1 x\n", r"labels/a\.txt, line 1 is not"),
    "prose in labels/": ("labels/a.txt", "one part\n", r"labels/a\.txt, line 1 is not"),
    "torn JSON": ("a.json", '{"shapes": [\n{"label"', r"a\.json, line 2: the labels are no JSON"),
    "shapes of another kind": ("a.json", '{"shapes": 3}', r"a\.json: its shapes"),
    "shape without points": ("a.json", '{"shapes": [{"label": "p"}]}', r"a\.json, shape 1"),
    "text for numbers": (
        "a.json",
        '{"shapes": [{"points": [["1", 2], [3, 4], [5, 6]]}]}',
        r"a\.json, shape 1: expected points",
    ),
    "a line": (
        "a.json",
        '{"shapes": [{"points": [[1, 2], [3, 4]], "shape_type": "line"}]}',
        r"a\.json, shape 1: a line of 2 points is no product",
    ),
    "far outside": (
        "a.json",
        '{"shapes": [{"points": [[1, 2], [900, 4], [5, 60]]}]}',
        r"a\.json, shape 1: corners lie outside",
    ),
    "endless": (
        "a.json",
        '{"shapes": [{"points": [[1, 2], [Infinity, 4], [5, 60]]}]}',
        r"a\.json, shape 1: a corner is no number",
    ),
    "another picture's size": (
        "a.json",
        '{"shapes": [], "imageHeight": 12, "imageWidth": 16}',
        r"a\.json: drawn on 16×12 pixels, the picture has 160×120",
    ),
    "torn XML": (
        "annotations.xml",
        "<annotations>\n<image",
        r"annotations\.xml, line 2: .* no XML",
    ),
    "entities": (
        "annotations.xml",
        '<!DOCTYPE a [<!ENTITY x "y">]><annotations/>',
        "declares XML entities",
    ),
    "a video": ("annotations.xml", "<annotations><track/></annotations>", "tracks of a video"),
    "points": (
        "annotations.xml",
        '<annotations><image name="a.png"><points label="p" points="1,2"/></image></annotations>',
        r"annotations\.xml, image 'a\.png': .*expected a box, a polygon or an ellipse",
    ),
    "a box without a side": (
        "annotations.xml",
        '<annotations><image name="a.png"><box label="p" xtl="1"/></image></annotations>',
        r"annotations\.xml, image 'a\.png': .*cannot be read",
    ),
    "COCO": (
        "_annotations.coco.json",
        json.dumps({"images": [], "annotations": [], "categories": []}),
        "_annotations.coco.json holds labels as COCO, which are not read",
    ),
    "Pascal VOC": (
        "a.xml",
        "<annotation><object><name>p</name></object></annotation>",
        r"a\.xml holds labels as Pascal VOC",
    ),
}


@pytest.mark.parametrize(("name", "text", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_labels_are_refused_by_file_and_place(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    """One sentence: which file, which line or shape, what was expected."""
    pictures = pictures_in(tmp_path, ("a.png", "b.png"))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=reason):
        given_labels(pictures, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"shapes": [], "flags": {"NG": true, "blurred": false}}',
        '<annotations><image name="a.png"><tag label="defective"/></image></annotations>',
    ],
)
def test_a_word_for_the_whole_picture_counts_too(tmp_path: Path, text: str) -> None:
    """labelme's flags and CVAT's tags: a picture called bad is no good part."""
    pictures = pictures_in(tmp_path, ("a.png",))
    (tmp_path / ("a.json" if text.startswith("{") else "cvat.xml")).write_text(text)
    with pytest.raises(DataError, match="name bad ones"):
        given_labels(pictures, tmp_path)


def test_a_changed_label_changes_the_digest(tmp_path: Path) -> None:
    """Corrected labels are read again, wherever they lie."""
    pictures_in(tmp_path)
    for write in WRITERS.values():
        folder = tmp_path / write.__name__
        pictures_in(folder)
        meant = {name: (bar(i, False),) for i, name in enumerate(NAMES)}
        write(folder, meant, HW, "part")
        before = find_labels(folder).digest
        write(folder, {**meant, NAMES[2]: (bar(5, False),)}, HW, "part")
        assert find_labels(folder).digest != before


def test_labelme_files_that_hold_their_picture_are_not_kept(tmp_path: Path) -> None:
    """`imageData` is the whole picture as text: of hundreds, gigabytes."""
    pictures = pictures_in(tmp_path, ("a.png",))
    WRITERS["labelme"](tmp_path, {"a.png": (bar(0),)}, HW, "part")
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**content, "imageData": "A" * 1_000_000}))
    assert len(find_labels(tmp_path).of[pictures[0].path].text) < 10_000
    assert len(given_labels(pictures, tmp_path).pictures) == 1
