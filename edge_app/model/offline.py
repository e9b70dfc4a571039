"""Judging pictures that lie on disk: one part a picture, through the same line as live frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_app.cameras.picture_listing import scan_folder, told_left_out
from edge_app.cameras.pictures import load_picture
from edge_app.errors import CameraError
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.tracker import OnePartPerFrame
from edge_app.model.loaded_model import LoadedModel, make_line
from edge_app.model.view_folder import Show
from edge_app.records import Frame, FrameReport, JsonObject, PartVerdict


def offline_line(model: LoadedModel, camera: str = "offline") -> InspectionLine:
    """Return a line for pictures that are one part each."""
    numbers = itertools.count(1)
    return make_line(
        model,
        camera,
        OnePartPerFrame(camera, model.fills_frame),
        new_alarm_id=lambda: f"offline-{next(numbers)}",
    )


def pictures_at(
    path: Path, tell_left_out: Callable[[str], None] | None = None
) -> list[tuple[str, Path]]:
    """Return (name, path) of a folder's pictures, sub-folders included, or of the one picture.

    A name is relative to the folder, as the folder camera gives it in `source_name`.

    Args:
        tell_left_out: gets one phrase about what the folder holds besides, if anything.

    Raises:
        CameraUnavailable: the path does not exist, or the folder holds no picture.
    """
    if path.is_file():
        return [(path.name, path)]
    found = scan_folder(path)
    if found.left_out and tell_left_out is not None:
        tell_left_out(told_left_out(found.left_out))
    return [(p.relative_to(path).as_posix(), p) for p in found.pictures]


def inspect_pictures(
    model: LoadedModel, pictures: list[tuple[str, Path]], show: Show | None = None
) -> Iterator[JsonObject]:
    """Yield one result per picture, in order.

    A picture that cannot be read is NOT_INSPECTED with the reader's message; `notes` say how one
    was read that is not plain 8 bit (12 bits in 16, turned by EXIF, ...).

    Args:
        show: gets each report as well, to draw it.
    """
    line = offline_line(model)
    for number, (name, path) in enumerate(pictures, start=1):
        yield {"picture": name, **_inspect_one(line, number, path, name, show)}


def _inspect_one(
    line: InspectionLine, number: int, path: Path, name: str, show: Show | None
) -> JsonObject:
    try:
        loaded = load_picture(path)
    except CameraError as error:
        return {"verdict": "NOT_INSPECTED", "reason": "corrupt_picture", "message": str(error)}
    pixels = loaded.pixels_hwc
    frame = Frame("offline", number, pixels, 0, source_number=number, source_name=name)
    report = line.inspect(frame)
    if show is not None:
        show(report)
    return {**verdict_json(report), **({"notes": list(loaded.notes)} if loaded.notes else {})}


def verdict_json(report: FrameReport) -> JsonObject:
    """Return the verdict of a one-part frame as plain JSON values; `parts` has each product by
    itself where the picture shows several."""
    (verdict,) = report.finished
    parts = [_judged_json(found.verdict) for found in report.several]
    return {**_judged_json(verdict), **({"parts": parts} if parts else {})}


def _judged_json(verdict: PartVerdict) -> JsonObject:
    return {
        "verdict": verdict.state.value,
        "is_suspect": verdict.is_suspect,
        "reason": verdict.reason,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "product_corners_xy": [[round(v, 2) for v in p] for p in verdict.product_corners_xy],
        "defects": [
            {
                "kind": d.kind,
                "box_xyxy": [round(v, 2) for v in d.box_xyxy],
                "peak": round(d.peak, 4) if math.isfinite(d.peak) else None,
                "weak_localisation": d.weak_localisation,
            }
            for d in verdict.defects
        ],
    }
