"""Pictures with oriented boxes, in memory and as lines of YOLO-OBB labels.

`export/labels/given` reads a person's labels. A line is
`class x1 y1 x2 y2 x3 y3 x4 y4`, corners as fractions of the picture counted from its edge, so a
pixel's centre x is written as (x + 0.5) / w. An empty label file says: no product here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError, DataError
from edge_app.imaging.oriented_box import as_box, corners_of
from edge_app.imaging.upright_crop import LETTERBOX_GREY
from edge_app.records import F32Array, F64Array, U8Array

I64Array = NDArray[np.int64]


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


def label_lines(picture: LabelledPicture, frame_hw: tuple[int, int]) -> list[str]:
    """Return the lines of a picture's label file, one per product."""
    h, w = frame_hw
    lines = []
    for box, class_id in zip(picture.boxes_cxcywhr, picture.classes(), strict=True):
        values = [v for x, y in corners_of(as_box(box)) for v in ((x + 0.5) / w, (y + 0.5) / h)]
        lines.append(f"{class_id} " + " ".join(f"{v:.8f}" for v in values) + "\n")
    return lines
