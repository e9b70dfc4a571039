"""The JSON that the page reads: figures, and states in plain words."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from edge_app.device_words import plain_reason
from edge_app.page.notices import golden_parts, notices_of
from edge_app.page.state import AlertCard, CameraView, Facts, PageState
from edge_app.page.words import (
    EVENT_WORDS,
    age_words,
    camera_words,
    reason_words,
    verdict_words,
)
from edge_app.records import AlarmEvent, EventKind, Gap, JsonObject, PartVerdict, VerdictState


def state_json(state: PageState) -> JsonObject:
    """Return everything but the alerts; times are ns since the epoch, ages in seconds."""
    facts = state.facts()
    notices = notices_of(facts)
    broker = plain_reason(facts.broker) or "not connected yet"
    describe = partial(_camera_json, facts=facts, now_s=state.clock_s())
    return {
        "now_ns": state.now_ns(),
        "broker": {"text": broker, "is_good": facts.is_broker_good},
        "bundle": [{"label": label, "text": text} for label, text in facts.bundle],
        "product": dict(facts.bundle).get("Product"),
        "has_map": facts.map_threshold is not None,
        "has_line": True,
        "cameras": state.read_cameras(describe),
        "golden": golden_parts(facts),
        "notes": [notice.text for notice in notices],
        "notices": [notice.json() for notice in notices],
    }


def alerts_json(state: PageState) -> JsonObject:
    """Return the last alarms, newest first, one object per alarm."""
    return {"alerts": [_card_json(card) for card in state.alerts()]}


def _camera_json(view: CameraView, facts: Facts, now_s: float) -> JsonObject:
    age_s = None if view.shown_at_s is None else now_s - view.shown_at_s
    reason = plain_reason(view.shown.reason)
    return {
        "name": view.name,
        "sequence": view.sequence,
        "picture_age_s": age_s,
        "picture_age_text": "" if age_s is None else age_words(age_s),
        "state": view.shown.state,
        "state_text": camera_words(view.shown.state, reason, age_s),
        "state_words": camera_words(view.shown.state, "", age_s),
        "reason_text": reason,
        "is_good": {"good": True, "plain": None, "bad": False}[view.shown.level],
        "is_blind": not view.shown.is_inspecting,
        "verdict": None if view.verdict is None else _verdict_json(view.verdict),
        "figures": _figures(view, facts, now_s),
    }


def _verdict_json(verdict: PartVerdict) -> JsonObject:
    return {
        "state": verdict.state.value,
        "words": verdict_words(verdict),
        "is_suspect": verdict.is_suspect,
        "reason": reason_words(verdict.reason),
        "reason_code": verdict.reason,
        "camera": verdict.camera,
        "number": verdict.source_number,
        "trigger_id": verdict.trigger_id,
        "part_id": verdict.part_id,
        "source_name": verdict.source_name,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "captured_at_ns": verdict.captured_at_ns,
        "golden": verdict.golden,
    }


def _figures(view: CameraView, facts: Facts, now_s: float) -> JsonObject:
    parts = view.counters.parts
    total = sum(parts.values())
    ng = parts[VerdictState.NG]
    return {
        "parts": total,
        "ng": ng,
        "ng_percent": 100 * ng / total if total else None,
        "not_inspected": parts[VerdictState.NOT_INSPECTED],
        "suspect": view.counters.suspect,
        "frames_per_second": view.counters.frames_per_second(now_s),
        "latency_ms": view.counters.latency_ms(),
        "skipped": _skipped(facts.health, view.name),
    }


def _skipped(health: JsonObject, camera: str) -> int | None:
    """Return how many frames the grabber skipped; None if unknown."""
    for entry in health.get("cameras", ()):
        if entry.get("camera") == camera:
            return int(entry.get("frames_skipped", 0))
    return None


def _card_json(card: AlertCard) -> JsonObject:
    event = card.event
    pictured = card.pictured.verdict if card.pictured else None
    return {
        "alarm_id": event.alarm_id,
        "kind": event.kind.value,
        "kind_words": EVENT_WORDS[event.kind],
        "is_over": event.kind is EventKind.END,
        "camera": event.camera,
        "at_ns": card.at_ns,
        "evidence": _evidence_path(card.pictured),
        "verdict": None if event.verdict is None else _verdict_json(event.verdict),
        "text": _card_text(event),
        "gap": None if event.gap is None else _gap_json(event.gap),
        "part_xyxy": _part_xyxy(pictured),
        "defects_xyxy": [d.box_xyxy for d in pictured.defects] if pictured else [],
        "frame_hw": None if pictured is None else pictured.frame_hw,
    }


def _gap_json(gap: Gap) -> JsonObject:
    return {
        "count": gap.count,
        "first_number": gap.first_number,
        "last_number": gap.last_number,
        "reason": gap.reason,
    }


def _part_xyxy(verdict: PartVerdict | None) -> list[float] | None:
    """Return the upright rectangle round the part in frame pixels: the thumbnail zooms to it."""
    if verdict is None or not verdict.product_corners_xy:
        return None
    xs, ys = zip(*verdict.product_corners_xy, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def _card_text(event: AlarmEvent) -> str:
    if event.gap is not None:
        gap = event.gap
        return (
            f"{gap.count} parts passed without being judged (numbers {gap.first_number} to "
            f"{gap.last_number}): {reason_words(gap.reason)}"
        )
    if event.verdict is None:
        return ""
    if event.verdict.state is VerdictState.NOT_INSPECTED:
        return reason_words(event.verdict.reason)
    kinds = sorted({d.kind for d in event.verdict.defects if d.kind != "unknown"})
    return ", ".join(kinds)


def _evidence_path(event: AlarmEvent | None) -> str | None:
    """Return the picture's path on this page, whatever host name the alert's URL carries."""
    if event is None or event.evidence is None:
        return None
    path = urlsplit(event.evidence.url).path
    return path[path.index("/evidence/") :] if "/evidence/" in path else None
