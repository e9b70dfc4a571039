"""A person's labels of a data set, read and checked: what the detector learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_app.errors import DataError
from export.data.name_meanings import means_bad
from export.data.picture import Picture
from export.data.review import told_name
from export.data.yolo_dataset import LabelledPicture, read_bgr
from export.labels.given.cvat import cvat_marks
from export.labels.given.find import FoundLabels, LabelFile, find_labels
from export.labels.given.labelme import labelme_marks
from export.labels.given.marks import Mark, boxes_of, why_upright_is_not_enough
from export.labels.given.yolo import yolo_marks

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class GivenLabels:
    """What a person labelled.

    Attributes:
        pictures: those that have a label, with their boxes; a box may be missing where the label
            says that there is no product.
        warnings: what a person should know.
        digest: changes with the label files.
    """

    pictures: list[LabelledPicture] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    digest: str = ""


def has_labels(folder: Path, root: Path | None = None) -> bool:
    """Return whether any picture below `folder` has a label.

    Raises:
        DataError: as `find_labels`.
    """
    return bool(find_labels(folder, root).of)


def given_labels(
    pictures: Sequence[Picture], folder: Path, root: Path | None = None
) -> GivenLabels:
    """Return the labels of those pictures that have some.

    Args:
        folder: of good parts.
        root: the data set's folder.

    Raises:
        DataError: as `find_labels`; a label is malformed, with file and line; a class or a flag
            says that a part is bad; or upright boxes do not say how the parts lie.
    """
    found = find_labels(folder, root)
    if not found.of:
        return GivenLabels(warnings=found.warnings, digest=found.digest)
    marked = [(p, _marks(found.of[p.path], p.hw, found)) for p in pictures if p.path in found.of]
    _refuse_bad(marked, found)
    flat = [(mark, p.hw) for p, marks in marked for mark in marks]
    why = why_upright_is_not_enough(flat)
    if why:
        raise DataError(f"The labels of {folder}: {why}")
    boxes = iter(boxes_of(flat))
    labelled = [
        LabelledPicture(p.path, np.array([next(boxes) for _ in marks], np.float64).reshape(-1, 5))
        for p, marks in marked
    ]
    return GivenLabels(labelled, (*found.warnings, *_warnings(flat)), found.digest)


def labelled_folder(folder: Path) -> list[LabelledPicture]:
    """Return the labelled pictures of a folder, in natural order.

    Raises:
        DataError: there are none, one cannot be decoded, or as `given_labels`.
    """
    of = find_labels(folder).of
    pictures = [_read(path, folder) for path in of]
    if not pictures:
        raise DataError(
            f"No labelled pictures in {folder.name}. Expected images/NAME.png beside "
            "labels/NAME.txt, in YOLO-OBB format."
        )
    return given_labels(pictures, folder).pictures


def _read(path: Path, folder: Path) -> Picture:
    h, w = read_bgr(path).shape[:2]
    return Picture(path, path.relative_to(folder).as_posix(), "", (h, w))


def _marks(file: LabelFile, frame_hw: tuple[int, int], found: FoundLabels) -> list[Mark]:
    if file.image is not None:
        return cvat_marks(file.image, frame_hw, file.name)
    if file.labelme is not None:
        return labelme_marks(file.labelme, frame_hw, file.name)
    return yolo_marks(file.text, frame_hw, file.name, found.names)


def _refuse_bad(marked: Sequence[tuple[Picture, list[Mark]]], found: FoundLabels) -> None:
    bad: Mapping[str, str] = {
        picture.name: words[0]
        for picture, marks in marked
        if (words := [w for w in (*_said(found.of[picture.path]), *_labels(marks)) if means_bad(w)])
    }
    if bad:
        named = [f"{told_name(name)} ({word!r})" for name, word in bad.items()]
        more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
        raise DataError(
            f"The labels of {len(bad)} pictures among the good parts name bad ones: "
            f"{', '.join(named[:_MAX_NAMED])}{more}. Move these pictures out of the folder of good "
            "parts; if the parts are good, rename the class. Labels mark products, not defects."
        )


def _said(file: LabelFile) -> tuple[str, ...]:
    """Return what a file says of the whole picture."""
    if file.image is not None:
        return file.image.tags
    return file.labelme.flags if file.labelme is not None else ()


def _labels(marks: Sequence[Mark]) -> list[str]:
    return [mark.label for mark in marks]


def _warnings(marks: Sequence[tuple[Mark, tuple[int, int]]]) -> list[str]:
    warnings = []
    classes = sorted({mark.label for mark, _ in marks if mark.label})
    if len(classes) > 1:
        warnings.append(
            f"the labels name {len(classes)} classes ({', '.join(classes[:_MAX_NAMED])}): all of "
            "them are taken for the product"
        )
    upright = sum(mark.form == "upright" for mark, _ in marks)
    if upright:
        warnings.append(
            f"{upright} of {len(marks)} labels are upright boxes: right where the parts always lie "
            "the same way, otherwise label oriented boxes or outlines"
        )
    return warnings
