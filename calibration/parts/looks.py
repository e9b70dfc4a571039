"""What each judged part looked like, small: enough to tell copies and other products."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence

import cv2
import numpy as np

from calibration.parts.groups import FINE_PX, groups_of, thumbnail
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.records import F32Array, FrameReport, U8Array

COARSE_PX = 24

_LOOK_BYTES = FINE_PX * FINE_PX * 3


class PartLooks:
    """The looks of the parts that a line judges, kept outside of memory but for thumbnails.

    A part is looked at in its first judged view: the picture where each picture is one part (as a
    build groups pictures), else the part's upright crop.

    Args:
        spec: how upright crops are cut.

    Attributes:
        is_of_crops: the looks are of crops, not of whole pictures; None before the first.
    """

    def __init__(self, spec: CropSpec) -> None:
        self._spec = spec
        self._index: dict[str, int] = {}
        self._thumbs: list[F32Array] = []
        self._coarse: list[F32Array] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its owner
        weakref.finalize(self, self._file.close)
        self.is_of_crops: bool | None = None

    def take(self, report: FrameReport) -> None:
        """Look at the parts that were judged for the first time in this frame."""
        frame = report.frame
        for view in report.views:
            part_id = view.part_id
            if part_id in self._index or part_id not in report.anomalies:
                continue
            crop = upright_crop(frame.pixels_hwc, view.detection.box_cxcywhr, self._spec)
            self.is_of_crops = frame.source_number is None
            self._add(part_id, crop, crop if self.is_of_crops else frame.pixels_hwc)

    def coarse_of(self, part_ids: Sequence[str]) -> F32Array:
        """Return float32 (n, 576): see `coarse_look`."""
        rows = [self._coarse[self._index[part]] for part in part_ids if part in self._index]
        return np.stack(rows) if rows else np.zeros((0, COARSE_PX * COARSE_PX), np.float32)

    def groups_of(self, part_ids: Sequence[str], usual_rms: float) -> tuple[int, ...]:
        """Return a group number per part, from 0: near-duplicates share one.

        Args:
            part_ids: judged parts, each looked at.
            usual_rms: see `groups.groups_of`.
        """
        at = [self._index[part] for part in part_ids]
        return groups_of([self._thumbs[i] for i in at], lambda i: self._read(at[i]), usual_rms)

    def _add(self, part_id: str, crop: U8Array, look: U8Array) -> None:
        self._index[part_id] = len(self._index)
        self._thumbs.append(thumbnail(look))
        self._coarse.append(coarse_look(crop))
        small = cv2.resize(look, (FINE_PX, FINE_PX), interpolation=cv2.INTER_AREA)
        self._file.write(np.ascontiguousarray(small, np.uint8).tobytes())

    def _read(self, index: int) -> U8Array:
        self._file.flush()
        end = self._file.tell()
        self._file.seek(index * _LOOK_BYTES)
        data = self._file.read(_LOOK_BYTES)
        self._file.seek(end)
        return np.frombuffer(data, np.uint8).reshape(FINE_PX, FINE_PX, 3)


def coarse_look(crop_hwc: U8Array) -> F32Array:
    """Return float32 (576,) of unit length: 24 × 24 grey levels less their mean; zeros if flat."""
    grey = cv2.cvtColor(crop_hwc, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > COARSE_PX else np.zeros_like(values)
