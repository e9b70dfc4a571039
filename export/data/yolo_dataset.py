"""Pictures with oriented boxes, in memory and as a folder of YOLO-OBB labels.

The folder: `images/NAME.png` beside `labels/NAME.txt` (or both in one folder); a label line is
`class x1 y1 x2 y2 x3 y3 x4 y4`, corners as fractions of the picture counted from its edge, so a
pixel's centre x is written as (x + 0.5) / w. An empty label file says: no product here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.cameras.pictures import PICTURE_ENDINGS, read_picture
from edge_app.errors import CameraError, DataError
from edge_app.imaging.oriented_box import as_box, corners_of
from edge_app.imaging.upright_crop import LETTERBOX_GREY
from edge_app.records import F32Array, F64Array, U8Array

I64Array = NDArray[np.int64]

BEYOND = 0.1
"""Share of the picture by which a label's corner may lie outside it."""

VALUES_PER_LINE = 9
"""A class and four corners."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """One picture and the products in it.

    Attributes:
        source: its file, or its pixels: uint8 (h, w, 3), BGR.
        boxes_cxcywhr: (n, 5) float64, frame pixels with centres at whole numbers; n may be 0.
        class_ids: (n,) int64; None stands for all 0.
        hidden_xy: outlines (k, 2) filled grey before training, e.g. parts cut by the border,
            which are neither a whole product nor background.
    """

    source: Path | U8Array
    boxes_cxcywhr: F64Array
    class_ids: I64Array | None = None
    hidden_xy: tuple[F32Array, ...] = ()

    def pixels(self) -> U8Array:
        """Return uint8 (h, w, 3), BGR, with the hidden areas covered.

        Raises:
            DataError: the file cannot be decoded.
        """
        pixels = read_bgr(self.source) if isinstance(self.source, Path) else self.source
        if not self.hidden_xy:
            return pixels
        outlines = [np.rint(outline).astype(np.int32) for outline in self.hidden_xy]
        filled = cv2.fillPoly(pixels.copy(), outlines, (LETTERBOX_GREY,) * 3)
        return np.asarray(filled, np.uint8)

    def classes(self) -> I64Array:
        """Return (n,) int64."""
        if self.class_ids is None:
            return np.zeros(len(self.boxes_cxcywhr), np.int64)
        return self.class_ids


def read_bgr(path: Path) -> U8Array:
    """Return a picture file as uint8 (h, w, 3), BGR, as `edge_app.cameras.pictures` reads it.

    Raises:
        DataError: the file cannot be decoded.
    """
    try:
        return read_picture(path)
    except CameraError as error:
        raise DataError(str(error)) from error


def read_dataset(folder: Path) -> list[LabelledPicture]:
    """Return the labelled pictures of a YOLO-OBB folder, sorted by name.

    Raises:
        DataError: there are no labelled pictures, or a label file is malformed.
    """
    pairs = [(picture, _label_of(picture, folder)) for picture in _pictures_in(folder)]
    found = [_read_pair(picture, label) for picture, label in pairs if label is not None]
    if not found:
        raise DataError(
            f"No labelled pictures in {folder.name}. Expected images/NAME.png beside "
            "labels/NAME.txt, in YOLO-OBB format."
        )
    return found


def label_lines(picture: LabelledPicture, frame_hw: tuple[int, int]) -> list[str]:
    """Return the lines of a picture's label file, one per product."""
    h, w = frame_hw
    lines = []
    for box, class_id in zip(picture.boxes_cxcywhr, picture.classes(), strict=True):
        values = [v for x, y in corners_of(as_box(box)) for v in ((x + 0.5) / w, (y + 0.5) / h)]
        lines.append(f"{class_id} " + " ".join(f"{v:.8f}" for v in values) + "\n")
    return lines


def _pictures_in(folder: Path) -> list[Path]:
    root = folder / "images" if (folder / "images").is_dir() else folder
    if not root.is_dir():
        raise DataError(f"{folder.name} is not a folder. Name the folder with images/ and labels/.")
    return sorted(p for p in root.iterdir() if p.suffix.lower() in PICTURE_ENDINGS)


def _label_of(picture: Path, folder: Path) -> Path | None:
    name = picture.stem + ".txt"
    return next((p for p in (folder / "labels" / name, picture.parent / name) if p.is_file()), None)


def _read_pair(picture: Path, label: Path) -> LabelledPicture:
    h, w = read_bgr(picture).shape[:2]
    rows = [
        _parse(line, f"{label.name}, line {number}")
        for number, line in enumerate(_text(label).splitlines(), 1)
        if line.strip()
    ]
    boxes = np.array([_box(row[1:], (h, w)) for row in rows], np.float64).reshape(-1, 5)
    return LabelledPicture(picture, boxes, np.array([int(row[0]) for row in rows], np.int64))


def _text(label: Path) -> str:
    try:
        return label.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The label file {label.name} cannot be read as text: {error}.") from error


def _parse(line: str, where: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if not all(map(math.isfinite, values)):
        values = []
    if len(values) != VALUES_PER_LINE or values[0] < 0 or values[0] != int(values[0]):
        raise DataError(
            f"{where} is not a YOLO-OBB label: expected a class and four corners as fractions "
            f"(nine numbers), got {line.strip()[:60]!r}. Correct or remove the line."
        )
    if not all(-BEYOND <= v <= 1 + BEYOND for v in values[1:]):
        raise DataError(
            f"{where}: corners are fractions of the picture, 0 to 1 (at most {BEYOND:g} beyond, "
            f"where a turned box crosses the border), got {line.strip()[:60]!r}. Divide pixels by "
            "the picture's width and height."
        )
    if _area(values[1:]) < 1e-8:
        raise DataError(f"{where}: its four corners enclose nothing: {line.strip()[:60]!r}.")
    return values


def _area(fractions: list[float]) -> float:
    """Return the area of four corners, as a share of the picture."""
    x, y = np.array(fractions).reshape(4, 2).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _box(fractions: list[float], frame_hw: tuple[int, int]) -> tuple[float, ...]:
    """Return the box whose corners these are: sides as means, angle along the first side."""
    h, w = frame_hw
    corners = np.array(fractions).reshape(4, 2) * (w, h) - 0.5  # (4, 2)
    along = (corners[1] - corners[0] + corners[2] - corners[3]) / 2
    across = (corners[2] - corners[1] + corners[3] - corners[0]) / 2
    cx, cy = corners.mean(axis=0)
    angle_rad = np.arctan2(along[1], along[0])
    return cx, cy, float(np.hypot(*along)), float(np.hypot(*across)), float(angle_rad)
