"""A feedback set on disk, in the layout of MVTec AD, written so that a kill leaves it usable.

    train/good/NAME.jpg                 good parts that people confirmed
    test/CLASS/NAME.jpg                 confirmed defects
    ground_truth/CLASS/NAME_mask.png    where, if a person drew it or the device marked it
    aside/USE/NAME.jpg                  disputed or unsure: learnt from by nobody
    provenance.jsonl                    where each comes from

A part's picture and mask are in place before its record names them; the record decides. A picture
that no record names is left over from a pull that was stopped, and is used by nothing.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import PointXy, U8Array
from edge_app.store.durable_write import perform, remove_durably, write_durably
from export.feedback.records import (
    PROVENANCE_FILE,
    Provenance,
    file_stem,
    folder_name,
    read_provenance,
    settle_provenance,
)


class FeedbackFolder:
    """One feedback set; whoever writes holds the folder's lock.

    Args:
        folder: made if missing.

    Raises:
        DataError: its records are damaged.
        OSError: it cannot be read or made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        settle_provenance(folder)
        self.records = read_provenance(folder)

    def has_picture(self, record: Provenance) -> bool:
        """Tell whether a part's picture is here, whole."""
        path = self.folder / record.file
        if not record.file or not path.is_file():
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == record.sha256

    def is_same(self, record: Provenance) -> bool:
        """Tell whether this very record is here with its files."""
        known = self.records.get(record.key)
        if known is None or replace(known, file="", mask="") != replace(record, file="", mask=""):
            return False
        if known.mask and not (self.folder / known.mask).is_file():
            return False
        return not known.file or self.has_picture(known)

    def put(self, record: Provenance, jpeg: bytes | None, mask_hw: U8Array | None) -> Provenance:
        """Keep a part; what was kept of it before at another place goes away.

        Args:
            jpeg: None: there is no picture.
            mask_hw: (h, w) uint8, 255 on the defect; None: there is none.

        Returns:
            the record with the names of its files.
        """
        placed = _placed(record, jpeg is not None, mask_hw is not None)
        if jpeg is not None:
            self._write(placed.file, jpeg)
        if mask_hw is not None:
            self._write(placed.mask, _png(mask_hw))
        self._note(placed)
        old = self.records.get(record.key)
        self.records[record.key] = placed
        if old is not None:
            for name in {old.file, old.mask} - {placed.file, placed.mask, ""}:
                remove_durably(perform, self.folder / name)
        return placed

    def picture(self, record: Provenance) -> bytes:
        """Return the bytes of a part's picture."""
        return (self.folder / record.file).read_bytes()

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(perform, path, data)

    def _note(self, record: Provenance) -> None:
        with (self.folder / PROVENANCE_FILE).open("ab") as file:
            file.write(record.line())
            file.flush()
            os.fsync(file.fileno())


def mask_of(polygons: list[tuple[PointXy, ...]], frame_hw: tuple[int, int]) -> U8Array:
    """Return (h, w) uint8, 255 inside any of the polygons, which are in frame pixels."""
    mask = np.zeros(frame_hw, np.uint8)
    for polygon in polygons:
        points = np.clip(np.asarray(polygon, np.float64), -1e6, 1e6).round().astype(np.int32)
        cv2.fillPoly(mask, [points], 255)
    return mask


def _placed(record: Provenance, has_picture: bool, has_mask: bool) -> Provenance:
    stem = file_stem(record.device, record.part_id)
    kind = folder_name(record.defect_class)
    if record.use == "good":
        file = f"train/good/{stem}.jpg"
    elif record.use == "defect":
        file = f"test/{kind}/{stem}.jpg"
    else:
        file = f"aside/{record.use}/{stem}.jpg"
    mask = f"ground_truth/{kind}/{stem}_mask.png" if has_mask else ""
    return replace(record, file=file if has_picture else "", mask=mask)


def _png(mask_hw: U8Array) -> bytes:
    is_done, data = cv2.imencode(".png", mask_hw)
    if not is_done:
        raise DataError("a mask cannot be written as PNG")
    return bytes(data)
