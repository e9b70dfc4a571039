"""From the figures of a running device to the facts of its health: for page, MQTT and command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from edge_app.device_state import DeviceFacts, SlotFacts
from edge_app.shown_state import ShownState


def facts_from(
    figures: Mapping[str, Any],
    cameras: Iterable[tuple[str, ShownState]],
    broker: str,
    weaknesses: Iterable[str],
) -> DeviceFacts:
    """Return what is known; what is missing in the figures is unknown.

    Args:
        figures: of the message `health`, and of `StatusReport.watch_figures`.
        broker, weaknesses: see `DeviceFacts`.
    """
    outbox, evidence = _table(figures, "outbox"), _table(figures, "evidence")
    history, audit = _table(figures, "history"), _table(figures, "audit")
    disk, agent = _table(figures, "disk"), _table(figures, "agent")
    golden = _table(figures, "golden")
    return DeviceFacts(
        cameras=tuple(cameras),
        broker=broker,
        broker_waiting=int(outbox.get("depth") or 0),
        broker_in_memory=int(outbox.get("in_memory") or 0),
        slots=tuple(SlotFacts(**slot) for slot in figures.get("slots") or ()),
        weaknesses=tuple(weaknesses),
        free_bytes=figures.get("disk_free_bytes"),
        disk_bytes=disk.get("total_bytes"),
        is_reserve_used=bool(outbox.get("reserve_released")),
        counted_only=int(outbox.get("counted_only") or 0),
        temperature_c=figures.get("temperature_c"),
        is_clock_synchronised=figures.get("clock_synchronised"),
        clock_jumps=int(figures.get("clock_jumps") or 0),
        has_agent=agent.get("is_enabled"),
        is_agent_there=bool(agent.get("is_connected")),
        keeps_history=bool(history.get("is_kept", True)),
        history=history.get("trouble"),
        history_waiting=int(history.get("waiting") or 0),
        history_lost=int(history.get("lost") or 0),
        pictures_dropped=int(evidence.get("dropped") or 0),
        pictures_problem=str(evidence.get("problem") or ""),
        audit=audit.get("trouble"),
        audit_waiting=int(audit.get("waiting") or 0),
        golden=tuple((part["name"], _golden_state(part)) for part in golden.get("parts") or ()),
    )


def _golden_state(part: Mapping[str, Any]) -> Literal["alarmed", "due", "good"]:
    if part["is_alarmed"]:
        return "alarmed"
    return "good" if part["due_at"] is None else "due"


def _table(figures: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = figures.get(name)
    return found if isinstance(found, dict) else {}
