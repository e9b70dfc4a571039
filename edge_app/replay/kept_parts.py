"""Parts of the history whose whole picture is still there, as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.alerts.evidence_files import picture_at, place_of
from edge_app.records import PointXy, U8Array

Mark = str
"""good, defect, disputed, or "" where nobody said anything."""


@dataclass(frozen=True, slots=True)
class OnLine:
    """What the line made of a part, when it was there.

    Attributes:
        bundle_sha256, precision: of the model that judged it.
        score: None where it could not be inspected.
    """

    bundle_sha256: str
    precision: str
    score: float | None


@dataclass(frozen=True, slots=True, eq=False)
class KeptPart:
    """One part with its picture.

    Attributes:
        row: its `id` in the history.
        state: OK, NG or NOT_INSPECTED, as it was judged on the line.
        kept_for: why its picture is kept; `random`: it was drawn, whatever its score.
        mark: what people say of it.
        corners_xy: its outline in frame pixels; () where none was found.
        pixels_hwc: uint8 (h, w, 3), BGR, the frame as it is kept: JPEG.
        on_line: what the line made of it; None where that is not known.
    """

    row: int
    part_id: str
    camera: str
    captured_at: str
    state: str
    kept_for: tuple[str, ...]
    mark: Mark
    corners_xy: tuple[PointXy, ...]
    pixels_hwc: U8Array
    on_line: OnLine | None = None


@dataclass(slots=True)
class Left:
    """Parts that were asked for and cannot be shown to a model.

    Attributes:
        gone: their picture has gone for age or space.
        damaged: it has other bytes than it had.
    """

    gone: int = 0
    damaged: int = 0


def kept_parts(
    parts: Iterable[Mapping[str, Any]],
    evidence: Path,
    left: Left,
    is_wanted: Callable[[tuple[str, ...]], bool] = lambda _reasons: True,
) -> Iterator[KeptPart]:
    """Yield parts with their pictures, as they come.

    Args:
        parts: as `HistoryReader` returns them.
        evidence: the folder of kept pictures.
        left: counts what is left out.
        is_wanted: gets the reasons for which a picture is kept.
    """
    for part in parts:
        reasons = tuple(r for r in str(part.get("kept_for") or "").split(",") if r)
        url = part.get("evidence_url")
        if not isinstance(url, str) or not url or not is_wanted(reasons):
            continue
        place = place_of(url)
        path = None if place is None else picture_at(evidence, place.as_posix())
        data = None if path is None else _read(path)
        if data is None:
            left.gone += 1
            continue
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None or hashlib.sha256(data).hexdigest() != part.get("evidence_sha256"):
            left.damaged += 1
            continue
        yield KeptPart(
            int(part["id"]),
            str(part["part_id"]),
            str(part["camera"]),
            str(part["captured_at"]),
            str(part["state"]),
            reasons,
            mark_of(str(part["state"]), part.get("decisions") or ()),
            tuple((float(x), float(y)) for x, y in part.get("corners") or ()),
            np.asarray(pixels, np.uint8),
            _on_line(part),
        )


def _on_line(part: Mapping[str, Any]) -> OnLine | None:
    bundle, score = part.get("bundle_sha256"), part.get("score")
    if not isinstance(bundle, str):
        return None
    return OnLine(bundle, str(part.get("precision")), None if score is None else float(score))


def mark_of(state: str, decisions: Iterable[Mapping[str, Any]]) -> Mark:
    """Return what the current decisions on a part come to: those that an engineer has accepted
    decide; without one, those that none has declined.

    Args:
        state: the line's verdict, beside which they speak.
        decisions: as the history has them.
    """
    current = [d for d in decisions if d.get("is_current", True)]
    counted = [d for d in current if d.get("acceptance") == "accepted"]
    counted = counted or [d for d in current if d.get("acceptance") != "declined"]
    said = {meaning_of(state, str(d.get("mark"))) for d in counted}
    said.discard("")
    return "disputed" if len(said) > 1 else said.pop() if said else ""


def meaning_of(state: str, mark: str) -> Mark:
    """Return what one mark says of the part itself, beside its verdict; "" for nothing."""
    if mark == "right":
        return {"OK": "good", "NG": "defect"}.get(state, "")
    return {"false_alarm": "good", "missed": "defect"}.get(mark, "")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # the retention was faster
        return None
