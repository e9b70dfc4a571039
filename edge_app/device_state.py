"""From the facts about a device to what people read of its health: one pure function.

Each subject has a level, a headline and what to do, as a key with parameters for whoever
translates, and in English. What others said (a library, the system, the broker) stands in the
details, in plain words: no number of an error, no name of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge_app.device_words import ADVICE, HEADLINES, plain_reason, size_words
from edge_app.shown_state import ShownState, StateName

HealthLevel = Literal["good", "warn", "bad", "unknown"]
Subject = Literal[
    "cameras", "broker", "model", "disk", "temperature", "clock", "updates", "history", "audit",
    "golden", "page",
]  # fmt: skip

WARM_C, HOT_C = 85.0, 95.0
"""Processors of this kind slow down by themselves at about 95 to 105 °C, and take longer for each
part from there on."""

LOW_SHARE = 0.05
"""Of the disk; below it pictures and history soon have no room."""

MUCH_WAITING = 5
"""Up to so many alerts may be in transit to a broker that is reachable."""

Params = Mapping[str, str | int | float]

_URGENCY: dict[HealthLevel, int] = {"good": 0, "unknown": 1, "warn": 2, "bad": 3}


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot.

    Attributes:
        product: what judges; "" for nothing.
        shortfall: why it does not run as it was meant to.
        update: what is being done with a new bundle.
    """

    slot: str
    product: str = ""
    has_bundle: bool = True
    shortfall: str = ""
    update: str = ""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is known about a device. None means: not known, or not there.

    Attributes:
        cameras: name and state of each configured one.
        broker: the publisher's state, "not used", or "" before the first report.
        broker_waiting, broker_in_memory: alerts on disk and in memory that are not delivered.
        slots: whose bundles judge.
        weaknesses: sentences about models that miss clearly visible defects.
        free_bytes, disk_bytes: of the disk of the state folder.
        is_reserve_used: alerts take the last reserve.
        counted_only: alerts that were only counted.
        clock_jumps: since the start.
        has_agent, is_agent_there: bundles come over it; it is connected.
        keeps_history: the configuration wants it.
        history: "" while it is written, or why it is not.
        history_waiting, history_lost: parts in memory, parts without a row.
        pictures_dropped, pictures_problem: alerts without a picture, and why.
        audit: "" while it is written, or why it is not.
        audit_waiting: records in memory.
        golden: name and state of each golden part.
    """

    cameras: tuple[tuple[str, ShownState], ...] = ()
    broker: str = ""
    broker_waiting: int = 0
    broker_in_memory: int = 0
    slots: tuple[SlotFacts, ...] = ()
    weaknesses: tuple[str, ...] = ()
    free_bytes: int | None = None
    disk_bytes: int | None = None
    is_reserve_used: bool = False
    counted_only: int = 0
    temperature_c: float | None = None
    is_clock_synchronised: bool | None = None
    clock_jumps: int = 0
    has_agent: bool | None = None
    is_agent_there: bool = False
    keeps_history: bool = True
    history: str | None = None
    history_waiting: int = 0
    history_lost: int = 0
    pictures_dropped: int = 0
    pictures_problem: str = ""
    audit: str | None = None
    audit_waiting: int = 0
    golden: tuple[tuple[str, Literal["alarmed", "due", "good"]], ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence: its key, its parameters, and the English."""

    key: str
    params: Params
    text: str


@dataclass(frozen=True, slots=True)
class SubjectHealth:
    """What people read of one subject.

    Attributes:
        what_to_do: its text is "" where there is nothing to do.
        details: of the single things, e.g. a camera each.
    """

    subject: Subject
    level: HealthLevel
    headline: Said
    what_to_do: Said
    details: tuple[Said, ...] = ()

    @property
    def is_off(self) -> bool:
        """It is not as it should be, and that is known."""
        return self.level in ("warn", "bad")

    def as_json(self) -> dict[str, Any]:
        """Return it as the API answers it, but for `since`."""
        return {
            "subject": self.subject,
            "level": self.level,
            "headline": self.headline.text,
            "headline_key": self.headline.key,
            "what_to_do": self.what_to_do.text,
            "what_to_do_key": self.what_to_do.key,
            "params": dict(self.headline.params),
            "details": [
                {"key": d.key, "params": dict(d.params), "text": d.text} for d in self.details
            ],
        }


def device_health(facts: DeviceFacts) -> tuple[SubjectHealth, ...]:
    """Return every subject but the page, whose process knows of itself."""
    return (
        _cameras(facts),
        _broker(facts),
        _model(facts),
        _disk(facts),
        _temperature(facts),
        _clock(facts),
        _updates(facts),
        _history(facts),
        _audit(facts),
        *_golden(facts),
    )


def page_health(problem: Literal["", "not_running", "silent"]) -> SubjectHealth:
    """Return the page's own subject.

    Args:
        problem: of its connection to inspection.
    """
    if not problem:
        return _subject("page", "good", "page.good")
    return _subject("page", "bad", f"page.{problem}")


def unknown_health() -> tuple[SubjectHealth, ...]:
    """Return every subject but the page while inspection says nothing."""
    names: tuple[Subject, ...] = (
        "cameras", "broker", "model", "disk", "temperature", "clock", "updates", "history", "audit",
    )  # fmt: skip
    return tuple(_subject(name, "unknown", "unknown") for name in names)


CAMERA_LEVELS: dict[StateName, HealthLevel] = {
    "starting": "unknown",
    "capturing": "good",
    "impaired": "warn",
    "degraded": "warn",
    "blind": "bad",
    "waiting_for_trigger": "good",
    "stalled": "bad",
    "reconnecting": "bad",
    "ended": "warn",
    "no_bundle": "bad",
    "paused": "warn",
}


def _cameras(facts: DeviceFacts) -> SubjectHealth:
    if not facts.cameras:
        return _subject("cameras", "unknown", "cameras.none")
    details = tuple(_camera_detail(name, shown) for name, shown in facts.cameras)
    levels = [CAMERA_LEVELS[shown.state] for _, shown in facts.cameras]
    worst = max(levels, key=_URGENCY.__getitem__)
    if worst == "good":
        key = "cameras.good" if len(levels) > 1 else "camera.good"
        return _subject(
            "cameras", "good", key, {"count": len(levels), "camera": facts.cameras[0][0]}, details
        )
    troubled = [c for c, level in zip(facts.cameras, levels, strict=True) if level == worst]
    name, shown = troubled[0]
    params: dict[str, str | int] = {"camera": name}
    others = sum(level != "good" for level in levels) - 1
    if others:
        details = (_said("cameras.others", {"count": others}), *details)
    return _subject("cameras", worst, f"camera.{shown.state}", params, details)


def _camera_detail(name: str, shown: ShownState) -> Said:
    key = "camera.good" if CAMERA_LEVELS[shown.state] == "good" else f"camera.{shown.state}"
    said = _said(key, {"camera": name})
    reason = plain_reason(shown.reason)
    params = {"camera": name, **({"reason": reason} if reason else {})}
    return Said(key, params, f"{said.text} ({reason})" if reason else said.text)


def _broker(facts: DeviceFacts) -> SubjectHealth:
    state, _, why = facts.broker.partition(": ")
    waiting = facts.broker_waiting
    params = {"waiting": waiting, "in_memory": facts.broker_in_memory}
    details = _reasons([why])
    if facts.broker_in_memory:
        details = (*details, _said("broker.in_memory", {"count": facts.broker_in_memory}))
    if not facts.broker:
        return _subject("broker", "unknown", "broker.starting")
    if state == "not used":
        return _subject("broker", "good", "broker.not_used")
    if state == "connected" and waiting > MUCH_WAITING:
        return _subject("broker", "warn", "broker.behind", params, details)
    if state == "connected":
        return _subject("broker", "good", "broker.good")
    if state == "degraded":
        key = "broker.degraded_waiting" if waiting else "broker.degraded"
        return _subject("broker", "warn", key, params, details)
    if state == "connecting" and not why:
        return _subject("broker", "unknown", "broker.starting", params, details)
    key = "broker.unreachable_waiting" if waiting else "broker.unreachable"
    return _subject("broker", "bad", key, params, details)


def _model(facts: DeviceFacts) -> SubjectHealth:
    if not facts.slots:
        return _subject("model", "unknown", "model.unknown")
    empty = [slot for slot in facts.slots if not slot.has_bundle]
    short = [slot for slot in facts.slots if slot.shortfall]
    details = (
        *(_said("model.slot", {"slot": s.slot, "product": s.product}) for s in facts.slots
          if s.has_bundle and s.product),
        *_reasons(slot.shortfall for slot in short),
        *_reasons(facts.weaknesses),
    )  # fmt: skip
    if empty:
        return _subject("model", "bad", "model.none", {"slot": empty[0].slot}, details)
    if short:
        return _subject("model", "warn", "model.shortfall", {"slot": short[0].slot}, details)
    if facts.weaknesses:
        return _subject("model", "warn", "model.weak", {}, details)
    return _subject("model", "good", "model.good", {"count": len(facts.slots)}, details)


def _disk(facts: DeviceFacts) -> SubjectHealth:
    if facts.free_bytes is None:
        return _subject("disk", "unknown", "disk.unknown")
    params: Params = {"free_mb": facts.free_bytes >> 20, "free": size_words(facts.free_bytes)}
    details: tuple[Said, ...] = ()
    if facts.counted_only:
        details = (_said("disk.counted_only", {"count": facts.counted_only}),)
    if facts.is_reserve_used or facts.counted_only:
        return _subject("disk", "bad", "disk.full", params, details)
    if facts.disk_bytes and facts.free_bytes < LOW_SHARE * facts.disk_bytes:
        return _subject("disk", "warn", "disk.low", params)
    return _subject("disk", "good", "disk.good", params)


def _temperature(facts: DeviceFacts) -> SubjectHealth:
    if facts.temperature_c is None:
        return _subject("temperature", "unknown", "temperature.unknown")
    params = {"celsius": round(facts.temperature_c)}
    if facts.temperature_c >= HOT_C:
        return _subject("temperature", "bad", "temperature.hot", params)
    if facts.temperature_c >= WARM_C:
        return _subject("temperature", "warn", "temperature.warm", params)
    return _subject("temperature", "good", "temperature.good", params)


def _clock(facts: DeviceFacts) -> SubjectHealth:
    jumps = facts.clock_jumps
    details = (_said("clock.jumps", {"count": jumps}),) if jumps else ()
    if facts.is_clock_synchronised is None:
        return _subject("clock", "unknown", "clock.unknown", {}, details)
    if not facts.is_clock_synchronised:
        return _subject("clock", "warn", "clock.unsynchronised", {}, details)
    return _subject("clock", "good", "clock.good", {}, details)


def _updates(facts: DeviceFacts) -> SubjectHealth:
    if facts.has_agent is None:
        return _subject("updates", "unknown", "updates.unknown")
    if not facts.has_agent:
        return _subject("updates", "good", "updates.not_used")
    under_way = [slot for slot in facts.slots if slot.update]
    details = tuple(
        Said("detail", {"reason": f"{s.slot}: {s.update}"}, f"{s.slot}: {s.update}")
        for s in under_way
    )
    if not facts.is_agent_there:
        return _subject("updates", "warn", "updates.agent_gone", {}, details)
    if under_way:
        slot = {"slot": under_way[0].slot}
        return _subject("updates", "good", "updates.under_way", slot, details)
    return _subject("updates", "good", "updates.good")


def _history(facts: DeviceFacts) -> SubjectHealth:
    details = _reasons([facts.history or "", facts.pictures_problem])
    if not facts.keeps_history:
        return _subject("history", "good", "history.not_kept", {}, details)
    if facts.history is None:
        return _subject("history", "unknown", "history.unknown")
    if facts.history:
        waiting = {"waiting": facts.history_waiting}
        return _subject("history", "warn", "history.not_written", waiting, details)
    pictureless = {"count": facts.pictures_dropped}
    if facts.pictures_dropped and facts.pictures_problem:
        return _subject("history", "warn", "history.no_pictures", pictureless, details)
    if facts.pictures_dropped:  # some time ago
        details += (_said("history.no_pictures", pictureless),)
    if facts.history_lost:
        lost = {"count": facts.history_lost}
        return _subject("history", "warn", "history.lost", lost, details)
    return _subject("history", "good", "history.good", {}, details)


def _audit(facts: DeviceFacts) -> SubjectHealth:
    if facts.audit is None:
        return _subject("audit", "unknown", "audit.unknown")
    details = _reasons([facts.audit])
    if "changed from outside" in facts.audit or "damaged" in facts.audit:
        return _subject("audit", "bad", "audit.changed", {}, details)
    if facts.audit:
        waiting = {"waiting": facts.audit_waiting}
        return _subject("audit", "bad", "audit.not_written", waiting, details)
    return _subject("audit", "good", "audit.good")


def _golden(facts: DeviceFacts) -> tuple[SubjectHealth, ...]:
    """Return nothing of a device without golden parts."""
    for state, level in (("alarmed", "bad"), ("due", "warn"), ("good", "good")):
        if names := [name for name, found in facts.golden if found == state]:
            parts = {"parts": ", ".join(names)}
            return (_subject("golden", level, f"golden.{state}", parts),)  # type: ignore[arg-type]
    return ()


def _subject(
    subject: Subject,
    level: HealthLevel,
    key: str,
    params: Params | None = None,
    details: Sequence[Said] = (),
) -> SubjectHealth:
    given = params or {}
    advice = ADVICE[key]
    return SubjectHealth(
        subject,
        level,
        _said(key, given),
        Said(f"{key}.do" if advice else "", given, filled(advice, given)),
        tuple(details),
    )


def _said(key: str, params: Params) -> Said:
    return Said(key, params, filled(HEADLINES[key], params))


def _reasons(texts: Iterable[str]) -> tuple[Said, ...]:
    """Return what others said, each in plain words; nothing of an empty one."""
    plain = [plain_reason(text) for text in texts]
    return tuple(Said("detail", {"reason": text}, text) for text in plain if text)


_PLACE = re.compile(r"\{(\w+)\}")


def filled(template: str, params: Params) -> str:
    """Return a sentence with its parameters in their places, as a page fills its own."""
    return _PLACE.sub(lambda found: str(params[found[1]]), template)
