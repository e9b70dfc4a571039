"""Labels as they are kept between build steps, and written for a person to correct."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edge_app.records import F32Array, F64Array
from export.data.dataset import Picture
from export.data.yolo_dataset import LabelledPicture, label_lines


def write_label_files(
    folder: Path, labelled: Sequence[LabelledPicture], pictures: Sequence[Picture]
) -> None:
    """Write one YOLO-OBB file per picture, named like it, in the same sub-folders.

    A person corrects them and puts them into `labels/` beside the pictures: they are taken then.
    Where two pictures share a name but for its ending, both files keep it (`000.png.txt`).

    Args:
        pictures: those that were labelled, and any others.
    """
    of = {picture.path: picture for picture in pictures}
    stems = Counter(PurePosixPath(p.name).with_suffix("") for p in pictures)
    for label in labelled:
        if isinstance(label.source, Path):
            picture = of[label.source]
            name = PurePosixPath(picture.name)
            is_shared = stems[name.with_suffix("")] > 1
            file = folder / (name if is_shared else name.with_suffix(""))
            file = file.with_name(file.name + ".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(label_lines(label, picture.hw)))


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
