"""A person's labels, where there are any, and labels as they are kept between build steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_app.records import JsonObject
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


def to_json(labelled: Sequence[LabelledPicture]) -> list[JsonObject]:
    """Return labels as JSON values, pictures by path."""
    return [
        {
            "path": str(p.source),
            "boxes": p.boxes_cxcywhr.tolist(),
            "hidden": [outline.reshape(-1, 2).tolist() for outline in p.hidden_xy],
        }
        for p in labelled
    ]


def from_json(saved: Sequence[JsonObject]) -> list[LabelledPicture]:
    """Return what `to_json` was given."""
    return [
        LabelledPicture(
            Path(p["path"]),
            np.array(p["boxes"], np.float64).reshape(-1, 5),
            hidden_xy=tuple(np.array(o, np.float32).reshape(-1, 2) for o in p["hidden"]),
        )
        for p in saved
    ]
