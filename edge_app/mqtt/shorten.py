"""Shortens an alert to what a broker takes: what people draw goes first, the verdict never.

The rule, each step only as far as needed:
1. outlines (`polygon_xy`), the longest first: their boxes stay;
2. defects, the weakest first, down to the strongest one;
3. the product's corners, the last defect;
4. texts that others wrote, cut to TEXT_CHARS: source_name, trigger_id, reason;
5. evidence;
6. the classes that a golden part has and that were found on it.

`shortened` in the alert says what was left out. Who, when, verdict, score, threshold, model, gap
and all ids stay. No IO.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from edge_app.records import JsonObject

TEXT_CHARS = 32
SMALLEST_BYTES = 1500
"""Every alert can be shortened to this, its topic included, with names of at most 64 letters."""
_TEXTS = ("source_name", "trigger_id", "reason")


def payload_of(body: JsonObject) -> bytes:
    """Return an alert's JSON as it is sent."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def payload_within(body: JsonObject, max_bytes: int) -> bytes | None:
    """Return the alert's payload, shortened if need be; None if it cannot be made that short.

    Args:
        body: the alert with all its fields; is not changed.
        max_bytes: the most that the payload may have.
    """
    payload = payload_of(body)
    if len(payload) <= max_bytes:
        return payload
    for shorter in _ever_shorter(body):
        payload = payload_of(shorter)
        if len(payload) <= max_bytes:
            return payload
    return None


def _ever_shorter(body: JsonObject) -> Iterator[JsonObject]:
    note = {"polygons": 0, "defects": 0, "others": []}
    body = {**body, "shortened": note}
    body["defects"] = [dict(d) for d in body.get("defects") or [] if isinstance(d, dict)]
    yield from _without_polygons(body, note)
    yield from _without_weak_defects(body, note, keep=1)
    yield from _without(body, note, "product_corners_xy", [])
    yield from _without_weak_defects(body, note, keep=0)
    for name in _TEXTS:
        text = body.get(name)
        if isinstance(text, str) and len(text) > TEXT_CHARS:
            yield from _without(body, note, name, text[:TEXT_CHARS] + "…")
    yield from _without(body, note, "evidence", None)
    check = body.get("golden_check")
    if isinstance(check, dict):
        without = {**check, "found_classes": [], "expected_class": None}
        yield from _without(body, note, "golden_check", without)


def _without_polygons(body: JsonObject, note: JsonObject) -> Iterator[JsonObject]:
    outlined = [d for d in body["defects"] if d.get("polygon_xy")]
    for defect in sorted(outlined, key=lambda d: -len(str(d["polygon_xy"]))):
        defect["polygon_xy"] = []
        note["polygons"] += 1
        yield body


def _without_weak_defects(body: JsonObject, note: JsonObject, keep: int) -> Iterator[JsonObject]:
    while len(body["defects"]) > keep:
        weakest = min(range(len(body["defects"])), key=lambda n: _peak(body["defects"][n]))
        del body["defects"][weakest]
        note["defects"] += 1
        yield body


def _peak(defect: JsonObject) -> float:
    peak = defect.get("peak")
    return peak if isinstance(peak, int | float) else float("-inf")


def _without(
    body: JsonObject, note: JsonObject, name: str, instead: object
) -> Iterator[JsonObject]:
    if body.get(name):
        body[name] = instead
        note["others"].append(name)
        yield body
