"""Feedback sets as `edge-export pull` leaves them, from pictures of a test's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from export.feedback.folder import FeedbackFolder
from export.feedback.records import Provenance


class FeedbackWriter:
    """Writes marked parts into a set, numbered from 1.

    Args:
        folder: of the set; made.
    """

    def __init__(self, folder: Path, product: str = "tiles") -> None:
        self.folder = folder
        self.set = FeedbackFolder(folder)
        self._product = product
        self._count = 0

    def add(
        self,
        pixels_hwc: np.ndarray,
        use: str = "good",
        *,
        verdict: str = "NG",
        defect_class: str = "",
        who: str = "anna",
        hour: int = 7,
        mask_hw: np.ndarray | None = None,
        is_accepted: bool = True,
        **more: object,
    ) -> Provenance:
        """Keep one part as a device's frame of it: JPEG."""
        self._count += 1
        jpeg = bytes(cv2.imencode(".jpg", pixels_hwc, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
        values: dict[str, object] = {
            "device": "press-3", "part_id": f"belt-1-{self._count:06d}",
            "captured_at": f"2026-11-30T{hour:02d}:00:{self._count % 60:02d}Z", "camera": "belt",
            "use": use, "file": "", "mask": "", "mask_from": "", "verdict": verdict,
            "sha256": hashlib.sha256(jpeg).hexdigest(), "is_suspect": False, "score": 2.5,
            "threshold": 2.0, "threshold_id": "t1", "product": self._product, "serial": 1,
            "bundle_sha256": "ab" * 32, "defect_class": defect_class, "reviewers": (who,),
            "is_accepted": is_accepted, "note": "", "kept_for": ("ng",), **more,
        }  # fmt: skip
        record = Provenance(**values)  # type: ignore[arg-type]
        return self.set.put(record, jpeg, mask_hw)
