"""A person's labels, where there are any, and labels as they are kept between build steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.records import F32Array, F64Array
from export.data.dataset import Picture
from export.data.yolo_dataset import LabelledPicture, label_lines, read_bgr, read_dataset


def has_labels(good_folder: Path) -> bool:
    """Return whether YOLO-OBB labels lie in `labels/` there, or beside the pictures."""
    folder = good_folder / "labels" if (good_folder / "labels").is_dir() else good_folder
    return next(folder.glob("*.txt"), None) is not None


def given_labels(pictures: Sequence[Picture], good_folder: Path) -> list[LabelledPicture]:
    """Return the labels of those pictures that have a label file.

    Raises:
        DataError: a label file is malformed, or none of the pictures has one.
    """
    wanted = {p.path for p in pictures}
    return [p for p in read_dataset(good_folder) if p.source in wanted]


def write_label_files(folder: Path, labelled: Sequence[LabelledPicture]) -> None:
    """Write one YOLO-OBB file per picture, named like it.

    A person corrects them and puts them into `labels/` beside the pictures: they are taken then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for picture in labelled:
        if isinstance(picture.source, Path):
            h, w = read_bgr(picture.source).shape[:2]
            name = picture.source.stem + ".txt"
            (folder / name).write_text("".join(label_lines(picture, (h, w))))


@dataclass(frozen=True, slots=True)
class SavedLabel:
    """One picture's label as a build step keeps it.

    Attributes:
        picture: the SHA-256 of its file, wherever that lies.
        boxes: one (cx, cy, w, h, angle) per product.
        hidden: outlines of (x, y) points that are covered before training.
    """

    picture: str
    boxes: tuple[tuple[float, ...], ...]
    hidden: tuple[tuple[tuple[float, ...], ...], ...]


def saved_labels(
    labelled: Sequence[LabelledPicture], pictures: Sequence[Picture]
) -> tuple[SavedLabel, ...]:
    """Return labels as they are kept, by what the pictures hold: they may be moved and renamed.

    Args:
        pictures: those that were labelled, and any others.
    """
    digests = {picture.path: picture.sha256 for picture in pictures}
    return tuple(
        SavedLabel(
            digests[Path(p.source)] if isinstance(p.source, Path) else "",
            _rows(p.boxes_cxcywhr),
            tuple(_rows(outline.reshape(-1, 2)) for outline in p.hidden_xy),
        )
        for p in labelled
    )


def _rows(values: F64Array | F32Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def labelled_pictures(
    saved: Sequence[SavedLabel], pictures: Sequence[Picture]
) -> list[LabelledPicture]:
    """Return what `saved_labels` was given, with the pictures where they lie now."""
    places = {picture.sha256: picture.path for picture in pictures}
    return [
        LabelledPicture(
            places[p.picture],
            np.array(p.boxes, np.float64).reshape(-1, 5),
            hidden_xy=tuple(np.array(o, np.float32).reshape(-1, 2) for o in p.hidden),
        )
        for p in saved
    ]
