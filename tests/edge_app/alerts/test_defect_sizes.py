"""How large a defect is, in a kept picture's sidecar: millimetres of a calibrated camera."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.brokers import wait_until
from support.history_parts import verdict

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.evidence_worker import EvidenceWorker, Picture
from edge_app.alerts.sidecar import PictureFacts
from edge_app.imaging.camera_calibration import Geometry

HALF_MM = Geometry((48, 64), None, np.diag([0.5, 0.5, 1.0]), {})
"""A pixel is half a millimetre wide."""


def kept_sidecar(folder: Path, geometries: dict[str, Geometry]) -> dict[str, Any]:
    """Keep the picture of a bad part of camera c; return what lies beside it."""
    store = EvidenceStore(folder, 24, 10**7, 85, "http://device")
    worker = EvidenceWorker(store, geometries=geometries)
    worker.start()
    pixels = np.full((48, 64, 3), 90, np.uint8)
    facts = PictureFacts(verdict(1, "NG"), ("ng",))
    worker.offer(Picture("c-1", pixels, lambda *_: None, "ng", facts))
    wait_until(lambda: worker.is_idle)
    worker.stop()
    (sidecar,) = folder.glob("*/c-1.json")
    found: dict[str, Any] = json.loads(sidecar.read_text())
    return found


def test_a_calibrated_camera_gives_millimetres(tmp_path: Path) -> None:
    """Half of a square of 9 pixels: the smallest rectangle round it has the square's area."""
    (defect,) = kept_sidecar(tmp_path, {"c": HALF_MM})["defects"]
    length, width = defect["size_mm"]
    assert length >= width > 3.0
    assert length * width == pytest.approx((9 * 0.5) ** 2, abs=0.1)


def test_without_a_calibration_there_are_none(tmp_path: Path) -> None:
    """Another camera's calibration says nothing of this one."""
    (defect,) = kept_sidecar(tmp_path, {"d": HALF_MM})["defects"]
    assert defect["size_mm"] is None
