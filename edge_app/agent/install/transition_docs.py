"""Renders the table of an order's transitions into docs/activation.md.

    python -m edge_app.agent.install.transition_docs docs

A test holds document and table equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_app.agent.install.transitions import (
    EXCEPTIONS,
    FINAL,
    MOVES,
    OVER,
    REFUSALS,
    Event,
    Move,
    State,
)

DOCUMENT = "activation.md"
BEGIN, END = "<!-- transitions: generated -->", "<!-- transitions: end -->"

STATES = {
    State.IDLE: "no order is being executed",
    State.VERIFYING: "room, signature, digests, target, serial, expiry",
    State.SELF_CHECK: "the bundle runs in a trial process",
    State.WAITING: "the bundle is among the releases; `edge-app run` is waited for",
    State.PREPARING: "`edge-app run` loads it and judges its golden set",
    State.BUILDING: "`edge-app run` has its engines built",
    State.PREPARED: "it may be compared, or switched to",
    State.SHADOW: "both models judge the same live parts",
    State.CHANGEOVER_WAITING: "a changeover waits for `edge-app run`",
    State.CHANGEOVER_PREPARING: "the installed bundle is loaded and checked",
    State.RESTORE_PREPARING: "the slot's own bundle is loaded, which `edge-app run` does not use",
    State.RESTORE_SWITCHING: "`edge-app run` switches back to it",
    State.SWITCHING: "`edge-app run` switches between two parts",
    State.SWITCHING_OFFLINE: "`edge-app run` ended during the switch; its restart is waited for",
    State.PROBATION: "the new bundle is in use, and watched",
    State.PROBATION_OFFLINE: "`edge-app run` ended during the probation; its restart is waited for",
    State.COMMITTING: "serial and links are written",
    State.ROLLING_BACK: "the old bundle becomes active again",
    State.COMMITTED: "the bundle stays",
    State.ROLLED_BACK: "the old bundle is in use",
    State.REFUSED: "nothing was changed",
}

EVENTS = {
    Event.INSTALL: "a file is to be installed",
    Event.SELECT: "a changeover is asked for",
    Event.PROMOTE: "a person accepts the new bundle",
    Event.REJECT: "a person turns it down",
    Event.VERIFIED: "the file is what it says and may be used here",
    Event.IN_USE: "the bundle is in use already",
    Event.TRIED: "the self-check has passed",
    Event.INSPECTION_READY: "`edge-app run` is connected",
    Event.BUILDING: "`building`: how far its engines are",
    Event.LOADED: "`loaded`",
    Event.GOLDEN: "`golden`: its golden set came out as expected",
    Event.COMPARE: "there is a model to compare with, and the slot asks for it",
    Event.NOTHING_TO_COMPARE: "there is not, or the slot does not ask for it",
    Event.COUNTED: "`shadow`: progress of the comparison",
    Event.DISAGREES: "more than `max_disagreement` was judged differently",
    Event.PASSED: "the comparison, or `probation`, came out well",
    Event.SWITCHED: "`switched`",
    Event.WATCHING: "`probation`: progress",
    Event.WORSE: "`probation`: the new model does worse",
    Event.ROLLED_BACK: "`rolled_back`",
    Event.FAILED: "`failed`",
    Event.NO_ANSWER: "no answer came in time",
    Event.GONE: "`bye`, and the connection ends",
    Event.CRASHED: "the connection ends without `bye`",
    Event.CRASHED_TOO_OFTEN: "the same, for the third time since the switch",
    Event.CAME_WITH_NEW: "`hello`: the order's bundle is in use",
    Event.CAME_WITH_OTHER: "`hello`: another bundle is in use, or none",
    Event.RESUMED_WITH_NEW: "an unfinished order is resumed; its bundle is in use",
    Event.RESUMED_WITH_OTHER: "the same; another bundle is in use, or none",
    Event.NEW_STILL_JUDGES: "`edge-app run` still uses what is rolled back",
    Event.FINISH: "nothing is left to wait for",
    Event.RESTORE: "`edge-app run` does not use the slot's bundle",
    Event.STANDBY: "another installed product is to be kept loaded",
    Event.DISK_FULL: "a disk step, or a file's copy, failed",
    Event.ERROR: "a check, or a step of the agent's own, failed",
}


def rendered() -> str:
    """Return the generated section, markers included."""
    return "\n".join(
        [
            BEGIN,
            "## Every transition",
            "Generated from [transitions.py](../edge_app/agent/install/transitions.py), which is "
            "what the agent runs; change it there, then "
            "`python -m edge_app.agent.install.transition_docs docs`. A working state is reported "
            "before disk and message, a final one after both. Disk steps are durable before the "
            "message is sent, and one that fails leaves the state as it was; only *record: "
            "rolling_back* and *no record* are best effort: where the disk refuses them the order "
            "goes on, and the record that is there names both bundles.",
            "",
            *_table(("State", "Meaning", "Record on disk"), _states()),
            "",
            "After a restart of either process the order resumes in the state that the record "
            "names; without a record nothing is resumed.",
            "",
            *_table(("Event", "Meaning"), ((_code(e.value), EVENTS[e]) for e in Event)),
            "",
            *_table(("In", "On", "Disk step", "Message", "Reported", "Next state"), _moves()),
            "",
            f"In a final state every event is refused: {OVER}. Elsewhere an event without an entry "
            "for the state changes nothing:",
            "",
            *_table(("Event", "Why it is refused"), _refusals()),
            END,
        ]
    )


def updated(document: str) -> str:
    """Return the document with its generated section renewed, or added at its end."""
    before, begin, rest = document.partition(BEGIN)
    after = rest.partition(END)[2] if begin else "\n"
    return f"{before if begin else document.rstrip() + chr(10) * 2}{rendered()}{after}"


def _states() -> Iterator[tuple[str, ...]]:
    for state in State:
        final = " (final)" if state in FINAL else ""
        yield _code(state.value), STATES[state] + final, _code(state.record)


def _moves() -> Iterator[tuple[str, ...]]:
    """Yield one row for the events of a state that come to the same."""
    for state, moves in MOVES.items():
        same: dict[Move, list[Event]] = {}
        for event, move in moves.items():
            same.setdefault(move, []).append(event)
        for move, events in same.items():
            yield (
                _code(state.value),
                ", ".join(_code(event.value) for event in events),
                move.disk.value if move.disk else "",
                _code(move.message.value if move.message else None),
                _code(move.report),
                _next(state, move),
            )


def _next(state: State, move: Move) -> str:
    queued = f"; the event is queued {move.queue.value}" if move.queue else ""
    return ("stays" if move.next is state else _code(move.next.value)) + queued


def _refusals() -> Iterator[tuple[str, ...]]:
    for event, reason in REFUSALS.items():
        own = (f"in {_code(s.value)}: {why}" for (s, e), why in EXCEPTIONS.items() if e is event)
        yield _code(event.value), "; ".join([reason, *own])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def main(arguments: list[str]) -> int:
    """Renew the section in the folder of documents that is named."""
    if len(arguments) != 1:
        print(
            "usage: python -m edge_app.agent.install.transition_docs DOCS_FOLDER", file=sys.stderr
        )
        return 2
    document = Path(arguments[0]) / DOCUMENT
    document.write_text(updated(document.read_text(encoding="utf-8")), encoding="utf-8")
    print(document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
