"""What is drawn on a picture, as bytes: inspection's report → notes → the page's report.

The pixels travel in shared memory as they are; boxes, verdicts, outlines and anomaly maps beside
them as one line of JSON and the maps' float32 values. Inspection draws and encodes nothing.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from edge_app.ipc.protocol import ProtocolError
from edge_app.records import (
    Anomaly,
    Detection,
    F32Array,
    Frame,
    FrameReport,
    JsonObject,
    JudgedView,
    PartVerdict,
    PartView,
    U8Array,
)

_LENGTH = struct.Struct("<I")
_OWN = "\0"
"""Begins the key of a map that belongs to one of several products; no part's id does."""


def notes_of(report: FrameReport, map_threshold: float | None) -> bytes:
    """Return what is drawn of a report, without its pixels."""
    maps = [(part_id, _float32(found)) for part_id, found in report.anomalies.items()]
    own = [(i, found) for i, found in enumerate(report.several) if found.anomaly is not None]
    maps += [(_own_key(i), _float32(f.anomaly)) for i, f in own if f.anomaly is not None]
    head = {
        "several": [_judged(found) for found in report.several],
        "views": [_view(view) for view in report.views],
        "verdicts": {key: _dump(verdict) for key, verdict in report.verdicts.items()},
        "finished": [_dump(verdict) for verdict in report.finished],
        "crops": report.crop_corners_xy,
        "maps": [(part_id, values.shape) for part_id, values in maps],
        "map_threshold": map_threshold,
    }
    text = json.dumps(head, ensure_ascii=False).encode(errors="replace")
    return b"".join([_LENGTH.pack(len(text)), text, *(values.tobytes() for _, values in maps)])


def report_of(camera: str, pixels_hwc: U8Array, notes: bytes) -> tuple[FrameReport, float | None]:
    """Return a report that draws as the one that the notes were made of, and the map's threshold.

    Raises:
        ProtocolError: the notes are cut off or not in the schema.
    """
    try:
        length = _LENGTH.unpack_from(notes)[0]
        start = _LENGTH.size
        head: JsonObject = json.loads(notes[start : start + length])
        maps = _maps(head["maps"], notes[start + length :])
        report = FrameReport(
            frame=Frame(camera, 0, pixels_hwc, 0),
            views=tuple(_view_of(view) for view in head["views"]),
            anomalies={
                part_id: Anomaly(0.0, values)
                for part_id, values in maps.items()
                if not part_id.startswith(_OWN)
            },
            crop_corners_xy={
                key: tuple((float(x), float(y)) for x, y in corners)
                for key, corners in head["crops"].items()
            },
            verdicts={
                key: _verdict_type().validate_python(v) for key, v in head["verdicts"].items()
            },
            finished=tuple(_verdict_type().validate_python(v) for v in head["finished"]),
            events=(),
            several=tuple(
                _judged_of(entry, maps.get(_own_key(i)))
                for i, entry in enumerate(head.get("several", ()))
            ),
        )
        return report, head["map_threshold"]
    except (struct.error, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a picture's notes are not in the protocol: {error}") from error


def _dump(verdict: PartVerdict) -> JsonObject:
    dumped: JsonObject = _verdict_type().dump_python(verdict, mode="json")
    return dumped


def _view(view: PartView) -> JsonObject:
    found = view.detection
    return {"part": view.part_id, "box": found.box_cxcywhr, "confidence": found.confidence}


def _view_of(view: JsonObject) -> PartView:
    box = tuple(float(value) for value in view["box"])
    if len(box) != 5:
        raise ValueError(f"a box has {len(box)} values, expected 5")
    return PartView(str(view["part"]), 0, Detection(box, float(view["confidence"])), True)


def _own_key(index: int) -> str:
    return f"{_OWN}{index}"


def _judged(found: JudgedView) -> JsonObject:
    return {
        "view": _view(found.view),
        "verdict": _dump(found.verdict),
        "crop": found.crop_corners_xy,
    }


def _judged_of(entry: JsonObject, values: F32Array | None) -> JudgedView:
    return JudgedView(
        _view_of(entry["view"]),
        _verdict_type().validate_python(entry["verdict"]),
        None if values is None else Anomaly(0.0, values),
        tuple((float(x), float(y)) for x, y in entry["crop"]),
    )


def _float32(found: Anomaly) -> F32Array:
    return np.ascontiguousarray(found.map_hw, np.float32)


@cache
def _verdict_type() -> TypeAdapter[PartVerdict]:
    """Return the type to check; built when first needed (decision 0032)."""
    return TypeAdapter(PartVerdict)


def _maps(shapes: Sequence[Sequence[object]], data: bytes) -> dict[str, F32Array]:
    maps: dict[str, F32Array] = {}
    at = 0
    for part_id, shape in shapes:
        h, w = shape  # type: ignore[misc]
        values = np.frombuffer(data, np.float32, h * w, at)  # type: ignore[has-type]
        maps[str(part_id)] = values.reshape(h, w)  # type: ignore[has-type]
        at += values.nbytes
    return maps
