"""Plain words for the people on the line: no code name reaches the page untranslated."""

from __future__ import annotations

from edge_app.records import EventKind, PartVerdict, VerdictState
from edge_app.report.words import reason_text
from edge_app.shown_state import LEVELS

VERDICT_WORDS: dict[VerdictState, str] = {
    VerdictState.OK: "OK",
    VerdictState.NG: "NG",
    VerdictState.NOT_INSPECTED: "NOT INSPECTED",
}

SUSPECT_WORDS = "OK (suspect)"
"""Amber on the page: below the limit, close enough for a person's look."""

EVENT_WORDS: dict[EventKind, str] = {
    EventKind.NEW: "New",
    EventKind.UPDATE: "Updated",
    EventKind.END: "Has left",
    EventKind.GAP: "Parts missed",
}

_CAMERA_STATES: dict[str, str] = {
    "starting": "starting",
    "capturing": "capturing",
    "impaired": "pictures have changed",
    "blind": "no usable picture",
    "waiting_for_trigger": "waiting for the next trigger",
    "stalled": "stalled",
    "reconnecting": "not reachable, trying again",
    "ended": "has shown its last picture",
    "no_bundle": "no bundle",
    "degraded": "judged with reservations",
    "paused": "paused",
}

_GOOD = frozenset(state for state, level in LEVELS.items() if level == "good")


def verdict_words(verdict: PartVerdict) -> str:
    """Return a verdict as people read it."""
    return SUSPECT_WORDS if verdict.is_suspect else VERDICT_WORDS[verdict.state]


def reason_words(reason: str) -> str:
    """Return why a part was not inspected; an unknown code is shown with spaces, never hidden."""
    return reason_text(reason, "en")


def camera_words(state: str, detail: str, picture_age_s: float | None) -> str:
    """Return one line on a camera, e.g. "stalled – last picture 8 s old"."""
    words = _CAMERA_STATES.get(state, state.replace("_", " "))
    if detail:
        words += f" – {detail}"
    if state not in _GOOD and picture_age_s is not None:
        words += f" – last picture {age_words(picture_age_s)} old"
    return words


def age_words(age_s: float) -> str:
    """Return a duration a person reads at a glance: "8 s", "5 min", "3 h", "2 days"."""
    if age_s < 90:
        return f"{age_s:.0f} s"
    if age_s < 90 * 60:
        return f"{age_s / 60:.0f} min"
    if age_s < 36 * 3600:
        return f"{age_s / 3600:.0f} h"
    return f"{age_s / 86400:.0f} days"
