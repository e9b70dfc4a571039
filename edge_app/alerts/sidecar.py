"""What lies beside a kept picture: which part it shows, how it was judged, and why it is kept.

A picture's bytes never change and nothing is drawn on it; whoever shows it draws from this. Later
releases add keys.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edge_app.alerts.evidence_files import crop_of, map_of, sidecar_of
from edge_app.imaging.camera_calibration import Geometry, extent_mm
from edge_app.records import Defect, KeepReason, PartVerdict, PointXy, U8Array, UprightCrop

FORMAT = "cropliq-evidence/1"
MAX_BYTES = 1 << 20
"""A larger file is no sidecar."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureFacts:
    """What is known of a picture that is to be kept.

    Attributes:
        reasons: why, the picture's own reason first.
        crop: what the inspector saw; None where nothing was cut out.
        alarm_id: of the part's alarm, "" if it has none that shows the picture.
        geometry: of the camera, for defects in millimetres; None: it is not calibrated.
    """

    verdict: PartVerdict
    reasons: tuple[KeepReason, ...]
    crop: UprightCrop | None = None
    alarm_id: str = ""
    geometry: Geometry | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was written."""

    name: str
    data: bytes
    hw: tuple[int, int]

    def described(self) -> dict[str, Any]:
        h, w = self.hw
        sha256 = hashlib.sha256(self.data).hexdigest()
        return {"file": self.name, "width": w, "height": h, "sha256": sha256}


@dataclass(frozen=True)
class PictureFiles:
    """A picture's files before they have names.

    Attributes:
        frame: JPEG; frame_hw: its size in pixels.
        facts: None: there is no sidecar.
        crop: JPEG; None: there is none.
        map: PNG over the crop, and what one step of it is worth; None: there is none.
    """

    frame: bytes
    frame_hw: tuple[int, int]
    facts: PictureFacts | None
    crop: bytes | None
    map: tuple[bytes, float] | None = None

    @cached_property
    def estimate(self) -> int:
        """Return about how many bytes they take."""
        return sum(len(data) for data in self.named(Path(60 * "x"), 0.0).values())

    def named(self, path: Path, sample_share: float) -> dict[Path, bytes]:
        """Return path → bytes, in the order in which they are written: a frame comes last.

        Args:
            path: of the frame.
            sample_share: as in `sidecar_bytes`.
        """
        if self.facts is None:
            return {path: self.frame}
        files: dict[Path, bytes] = {}
        frame, crop = StoredFile(path.name, self.frame, self.frame_hw), None
        if self.crop is not None and self.facts.crop is not None:
            files[crop_of(path)] = self.crop
            crop = StoredFile(crop_of(path).name, self.crop, size_of(self.facts.crop.pixels_hwc))
        shown = None
        if crop is not None and self.map is not None:
            files[map_of(path)] = self.map[0]
            shown = self._map_facts(path, *self.map)
        notes = sidecar_bytes(self.facts, frame, crop, sample_share, shown)
        return {sidecar_of(path): notes, **files, path: self.frame}

    def _map_facts(self, path: Path, data: bytes, step: float) -> dict[str, Any]:
        map_hw = None if self.facts is None or self.facts.crop is None else self.facts.crop.map_hw
        h, w = (0, 0) if map_hw is None else map_hw.shape
        return {**StoredFile(map_of(path).name, data, (h, w)).described(), "scale": step}


def size_of(pixels: U8Array) -> tuple[int, int]:
    """Return a picture's (height, width) in pixels."""
    return int(pixels.shape[0]), int(pixels.shape[1])


def sidecar_bytes(
    facts: PictureFacts,
    frame: StoredFile,
    crop: StoredFile | None,
    sample_share: float,
    shown: dict[str, Any] | None = None,
) -> bytes:
    """Return a sidecar as JSON, one line.

    Args:
        sample_share: share of all parts that were drawn at random when this part was.
        shown: of the map over the crop; None: there is none.
    """
    v = facts.verdict
    model = v.model
    cut: dict[str, Any] | None = None
    if crop is not None and facts.crop is not None:
        cut = {**crop.described(), "corners": _points(facts.crop.corners_xy)}
    found = {
        "format": FORMAT,
        "camera": v.camera,
        "part_id": v.part_id,
        "number": v.source_number,
        "trigger_id": v.trigger_id,
        "source_name": v.source_name,
        "captured_ns": v.captured_at_ns,
        "frame": frame.described(),
        "crop": cut,
        "map": shown,
        "verdict": v.state.value,
        "reason": v.reason,
        "is_suspect": v.is_suspect,
        "score": _finite(v.score),
        "limit": {"threshold": _finite(v.threshold), "threshold_id": v.threshold_id},
        "model": None
        if model is None
        else {
            "product": model.product,
            "serial": model.serial,
            "bundle_sha256": model.bundle_sha256,
            "precision": model.precision,
        },
        "outline": _points(v.product_corners_xy),
        "defects": [_defect(defect, facts.geometry) for defect in v.defects],
        "alarm_id": facts.alarm_id or None,
        "kept_for": list(facts.reasons),
        "sample": {"share": sample_share, "is_drawn": "random" in facts.reasons},
    }
    return json.dumps(found, allow_nan=False).encode("ascii") + b"\n"


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return what a sidecar says, or None if the file is none, or too damaged to say which."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    return found


def _defect(defect: Defect, geometry: Geometry | None) -> dict[str, Any]:
    return {
        "class": defect.kind,
        "box": [_finite(round(v, 1)) for v in defect.box_xyxy],
        "peak": _finite(defect.peak),
        "weak": defect.weak_localisation,
        "polygon": _points(defect.polygon_xy),
        "size_mm": _size_mm(defect, geometry),
    }


def _size_mm(defect: Defect, geometry: Geometry | None) -> list[float | None] | None:
    """Return length and width on the plane of the products."""
    extent = None if geometry is None else extent_mm(defect, geometry)
    return None if extent is None else [_finite(round(side, 2)) for side in extent.size_mm]


def _points(points_xy: Sequence[PointXy]) -> list[list[float | None]]:
    return [[_finite(round(x, 1)), _finite(round(y, 1))] for x, y in points_xy]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
