"""From the facts about a camera to the state that people see: one pure function for all of them.

MQTT, the page, `health`, `systemctl status` and the commands print what it returns, so that no two
of them say different things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CaptureFact = Literal[
    "configured",
    "opened",
    "capturing",
    "impaired",
    "blind",
    "waiting_for_trigger",
    "stalled",
    "reconnecting",
    "ended",
]
"""How far the source is. configured: it is being opened for the first time. opened: it is open, and
no picture has come. The others are the grabber's states."""

StateName = Literal[
    "starting",
    "capturing",
    "impaired",
    "degraded",
    "blind",
    "waiting_for_trigger",
    "stalled",
    "reconnecting",
    "ended",
    "no_bundle",
    "paused",
]

Level = Literal["good", "plain", "bad"]
"""good: green; bad: red; plain: neither, nothing is wrong and nothing is inspected."""

WireName = Literal[
    "capturing", "impaired", "blind", "waiting_for_trigger", "stalled", "reconnecting", "ended"
]
"""The states of `cam/{c}/state`: those of release 0.1.0, which whoever listens knows."""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What is known about one camera.

    Attributes:
        capture: how far its source is.
        reason: why, at present; "" when all is well.
        is_paused: a person has paused it.
        slot: whose bundle judges its parts.
        has_bundle: there is one.
        engine_missing: why that bundle does not run as it was meant to; "" when it does.
        update: what is being done with a new bundle of the slot; "" when nothing is.
        pause: until when it is paused and why, for people; "" where it is not.
    """

    capture: CaptureFact = "configured"
    reason: str = ""
    is_paused: bool = False
    slot: str = "main"
    has_bundle: bool = True
    engine_missing: str = ""
    update: str = ""
    pause: str = ""


@dataclass(frozen=True, slots=True)
class ShownState:
    """What people see of a camera.

    Attributes:
        state: its one name.
        reason: why, and what else is to be known, in one line; "" when there is nothing to say.
        level: its colour.
        is_inspecting: a part that passes now gets its verdict; only then the last one may stand.
        wire: `state` on MQTT.
    """

    state: StateName
    reason: str
    level: Level
    is_inspecting: bool
    wire: WireName


_CAPTURE: dict[CaptureFact, StateName] = {
    "configured": "starting",
    "opened": "starting",
    "capturing": "capturing",
    "impaired": "impaired",
    "blind": "blind",
    "waiting_for_trigger": "waiting_for_trigger",
    "stalled": "stalled",
    "reconnecting": "reconnecting",
    "ended": "ended",
}

_NO_SOURCE: frozenset[CaptureFact] = frozenset(
    {"configured", "opened", "stalled", "reconnecting", "ended"}
)
"""Nothing comes from the source: that stands before all that would be done with its pictures."""

_OWN_WORDS: dict[CaptureFact, str] = {
    "configured": "it is being opened",
    "opened": "it is open, no picture has come yet",
    "impaired": "its pictures have changed",
    "blind": "none of its pictures can be judged",
}

LEVELS: dict[StateName, Level] = {
    "starting": "plain",
    "capturing": "good",
    "impaired": "bad",
    "degraded": "bad",
    "blind": "bad",
    "waiting_for_trigger": "good",
    "stalled": "bad",
    "reconnecting": "bad",
    "ended": "plain",
    "no_bundle": "bad",
    "paused": "plain",
}

INSPECTING: frozenset[StateName] = frozenset(
    {"capturing", "impaired", "degraded", "waiting_for_trigger"}
)

_WIRE: dict[StateName, WireName] = {
    "starting": "reconnecting",
    "capturing": "capturing",
    "impaired": "impaired",
    "degraded": "impaired",
    "blind": "blind",
    "waiting_for_trigger": "waiting_for_trigger",
    "stalled": "stalled",
    "reconnecting": "reconnecting",
    "ended": "ended",
    "no_bundle": "blind",
    "paused": "blind",
}


def shown_state(facts: CameraFacts) -> ShownState:
    """Return what is shown of a camera.

    A source from which nothing comes is named first, then a pause, then a slot without a bundle,
    then pictures that cannot be judged, then what is judged with reservations.
    """
    state = _state_of(facts)
    return ShownState(state, _reason_of(facts), LEVELS[state], state in INSPECTING, _WIRE[state])


def _state_of(facts: CameraFacts) -> StateName:
    capture = _CAPTURE[facts.capture]
    if facts.capture in _NO_SOURCE:
        return capture
    if facts.is_paused:
        return "paused"
    if not facts.has_bundle:
        return "no_bundle"
    if facts.engine_missing and LEVELS[capture] == "good":
        return "degraded"
    return capture


def _reason_of(facts: CameraFacts) -> str:
    """Return every fact that is not as it should be, the one that names the state first."""
    source = facts.reason or _OWN_WORDS.get(facts.capture, "")
    others = [
        f"paused by a person {facts.pause}".rstrip() if facts.is_paused else "",
        "" if facts.has_bundle else f"slot {facts.slot} has no bundle, its parts are not inspected",
        facts.engine_missing,
        facts.update,
    ]
    is_source_first = facts.capture in _NO_SOURCE
    said = [source, *others] if is_source_first else [*others[:2], source, *others[2:]]
    return "; ".join(text for text in said if text)
