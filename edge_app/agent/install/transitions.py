"""An order's transitions as one table: state × event → state, message, disk step. No IO.

`SlotOrder` executes this table and nothing else: the sequence of reports, disk steps and messages
is defined here. Every pair of state and event either has an entry or is refused with a reason;
`transition_docs` renders the table into docs/activation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from edge_app.mqtt.deploy_messages import DeployState
from edge_app.store.intent import Phase


class State(str, Enum):
    """The state of an order. One with a record on disk outlives the process: see `record`."""

    IDLE = "idle"
    VERIFYING = "verifying"
    SELF_CHECK = "self_check"
    WAITING = "waiting"
    PREPARING = "preparing"
    BUILDING = "building"
    PREPARED = "prepared"
    SHADOW = "shadow"
    CHANGEOVER_WAITING = "changeover_waiting"
    CHANGEOVER_PREPARING = "changeover_preparing"
    RESTORE_PREPARING = "restore_preparing"
    RESTORE_SWITCHING = "restore_switching"
    SWITCHING = "switching"
    SWITCHING_OFFLINE = "switching_offline"
    PROBATION = "probation"
    PROBATION_OFFLINE = "probation_offline"
    COMMITTING = "committing"
    ROLLING_BACK = "rolling_back"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"

    @property
    def record(self) -> Phase | None:
        """The phase that the record on disk holds in this state; None: there is no record."""
        return RECORDS.get(self)

    @property
    def is_final(self) -> bool:
        return self in FINAL


class Event(str, Enum):
    """What happens to an order."""

    INSTALL = "install"
    SELECT = "select"
    PROMOTE = "promote"
    REJECT = "reject"
    VERIFIED = "verified"
    IN_USE = "in_use"
    TRIED = "tried"
    INSPECTION_READY = "inspection_ready"
    BUILDING = "building"
    LOADED = "loaded"
    GOLDEN = "golden"
    COMPARE = "compare"
    NOTHING_TO_COMPARE = "nothing_to_compare"
    COUNTED = "counted"
    DISAGREES = "disagrees"
    PASSED = "passed"
    SWITCHED = "switched"
    WATCHING = "watching"
    WORSE = "worse"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    NO_ANSWER = "no_answer"
    GONE = "gone"
    CRASHED = "crashed"
    CRASHED_TOO_OFTEN = "crashed_too_often"
    CAME_WITH_NEW = "came_with_new"
    CAME_WITH_OTHER = "came_with_other"
    RESUMED_WITH_NEW = "resumed_with_new"
    RESUMED_WITH_OTHER = "resumed_with_other"
    NEW_STILL_JUDGES = "new_still_judges"
    FINISH = "finish"
    RESTORE = "restore"
    STANDBY = "standby"
    DISK_FULL = "disk_full"
    ERROR = "error"


class Message(str, Enum):
    """A message to the inspection process; the values are the protocol's types."""

    PREPARE = "prepare"
    START_SHADOW = "start_shadow"
    SWITCH = "switch"
    START_PROBATION = "start_probation"
    COMMIT = "commit"
    ROLLBACK = "rollback"


class DiskStep(str, Enum):
    """What is written, durably, before the message is sent."""

    DISCARD_FILE = "discard the file"
    ADMIT_RELEASE = "move the file among the releases"
    RECORD_SWITCHING = "record: switching"
    RECORD_CRASH = "record: one crash more"
    RECORD_LAST_CRASH = "record: one crash more, rolling_back"
    MOVE_LINK = "link to the new bundle; record: probation"
    RECORD_COMMITTING = "record: committing"
    FINISH_COMMIT = "serial, links; no record"
    RECORD_ROLLING_BACK = "record: rolling_back"
    FINISH_ROLL_BACK = "link to the old bundle; no record"
    CLEAR_RECORD = "no record"


class Queue(str, Enum):
    """What becomes of an order, or of a hello, that comes in the middle of another order."""

    LATER = "last"
    NEXT = "first"


@dataclass(frozen=True, slots=True)
class Move:
    """What follows an event.

    A working state is reported before disk step and message, a final one after both. A disk step
    that raises leaves the state as it was.

    Attributes:
        queue: where the order that came is put; None: the event is no order, or begins this one.
    """

    next: State
    message: Message | None = None
    disk: DiskStep | None = None
    report: DeployState | None = None
    queue: Queue | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that changes nothing in a state, and why."""

    reason: str


Outcome = Move | Refusal

S, E, M, D = State, Event, Message, DiskStep

RECORDS: Mapping[State, Phase] = {
    S.SWITCHING: "switching",
    S.SWITCHING_OFFLINE: "switching",
    S.PROBATION: "probation",
    S.PROBATION_OFFLINE: "probation",
    S.COMMITTING: "committing",
    S.ROLLING_BACK: "rolling_back",
}

FINAL = frozenset({S.COMMITTED, S.ROLLED_BACK, S.REFUSED})
CHECKS = (S.VERIFYING, S.SELF_CHECK)
PREPARES = (S.PREPARING, S.BUILDING)
INSTALLS = (*CHECKS, S.WAITING, *PREPARES, S.PREPARED, S.SHADOW)
CHANGEOVERS = (S.CHANGEOVER_WAITING, S.CHANGEOVER_PREPARING)
RESTORES = (S.RESTORE_PREPARING, S.RESTORE_SWITCHING)
SWITCHES = (S.SWITCHING, S.SWITCHING_OFFLINE)
PROBATIONS = (S.PROBATION, S.PROBATION_OFFLINE)
ENDS = (S.COMMITTING, S.ROLLING_BACK)
BEFORE_SWITCH = (*INSTALLS, *CHANGEOVERS, *RESTORES)
AFTER_SWITCH = (*SWITCHES, *PROBATIONS, *ENDS)
AT_WORK = (*BEFORE_SWITCH, *AFTER_SWITCH)

ENDED = (E.GONE, E.CRASHED)
HELLOS = (E.CAME_WITH_NEW, E.CAME_WITH_OTHER)
RESUMES = (E.RESUMED_WITH_NEW, E.RESUMED_WITH_OTHER)
LOST = (E.FAILED, E.NO_ANSWER, *ENDED, E.ERROR)

_REFUSE = Move(S.REFUSED, report="refused")
_DROP_CANDIDATE = Move(S.REFUSED, M.ROLLBACK, report="refused")
_UNDO_RECORD = Move(S.REFUSED, M.ROLLBACK, D.CLEAR_RECORD, "refused")
_STAY_AS_IT_IS = Move(S.REFUSED)
_SWITCH = Move(S.SWITCHING, M.SWITCH, D.RECORD_SWITCHING, "switching")
_MOVE_LINK = Move(S.PROBATION, disk=D.MOVE_LINK)
_WATCH_AGAIN = Move(S.PROBATION, M.START_PROBATION)
_COMMIT = Move(S.COMMITTING, disk=D.RECORD_COMMITTING)
_GO_BACK = Move(S.ROLLING_BACK, disk=D.RECORD_ROLLING_BACK)
_LAST_CRASH = Move(S.ROLLING_BACK, disk=D.RECORD_LAST_CRASH)


def _each(events: Iterable[Event], move: Move) -> dict[Event, Move]:
    return dict.fromkeys(events, move)


def _later(state: State, *events: Event) -> dict[Event, Move]:
    return _each(events, Move(state, queue=Queue.LATER))


def _next(move: Move) -> Move:
    return replace(move, queue=Queue.NEXT)


_ORDERS = (E.INSTALL, E.SELECT)

MOVES: Mapping[State, Mapping[Event, Move]] = {
    S.IDLE: {
        E.INSTALL: Move(S.VERIFYING, report="verifying"),
        E.SELECT: Move(S.CHANGEOVER_WAITING),
        E.RESTORE: Move(S.RESTORE_PREPARING, M.PREPARE),
        E.STANDBY: Move(S.IDLE, M.PREPARE),
        **_each((*HELLOS, *ENDED), Move(S.IDLE)),
    },
    # -- an installation: from a file to a candidate that has earned its place --
    S.VERIFYING: {
        E.VERIFIED: Move(S.SELF_CHECK, report="self_check"),
        E.IN_USE: Move(S.COMMITTED, disk=D.DISCARD_FILE, report="committed"),
        **_each((E.ERROR, E.DISK_FULL), _REFUSE),
        **_later(S.VERIFYING, *_ORDERS, *HELLOS),
    },
    S.SELF_CHECK: {
        E.TRIED: Move(S.WAITING, disk=D.ADMIT_RELEASE),
        **_each((E.ERROR, E.DISK_FULL), _REFUSE),
        **_later(S.SELF_CHECK, *_ORDERS, *HELLOS),
    },
    S.WAITING: {
        E.INSPECTION_READY: Move(S.PREPARING, M.PREPARE),
        **_each((E.NO_ANSWER, E.ERROR), _REFUSE),
        **_each(ENDED, Move(S.WAITING)),
        **_later(S.WAITING, *_ORDERS, *HELLOS),
    },
    S.PREPARING: {
        E.BUILDING: Move(S.BUILDING, report="building"),
        E.LOADED: Move(S.PREPARING),
        E.GOLDEN: Move(S.PREPARED),
        **_each(LOST, _DROP_CANDIDATE),
        **_later(S.PREPARING, *_ORDERS, *HELLOS),
    },
    S.BUILDING: {
        E.BUILDING: Move(S.BUILDING, report="building"),
        E.LOADED: Move(S.PREPARING, report="self_check"),
        **_each(LOST, _DROP_CANDIDATE),
        E.SELECT: _next(_DROP_CANDIDATE),
        **_later(S.BUILDING, E.INSTALL, *HELLOS),
    },
    S.PREPARED: {
        E.COMPARE: Move(S.SHADOW, M.START_SHADOW, report="shadow"),
        E.NOTHING_TO_COMPARE: _SWITCH,
        E.ERROR: _DROP_CANDIDATE,
        E.DISK_FULL: _UNDO_RECORD,
        **_later(S.PREPARED, *_ORDERS, *HELLOS),
    },
    S.SHADOW: {
        E.COUNTED: Move(S.SHADOW, report="shadow"),
        **_each((E.PASSED, E.PROMOTE), _SWITCH),
        **_each((E.DISAGREES, E.REJECT, E.FAILED, *ENDED, E.ERROR), _DROP_CANDIDATE),
        **_each(_ORDERS, _next(_DROP_CANDIDATE)),
        **_each(HELLOS, Move(S.SHADOW)),
        E.DISK_FULL: _UNDO_RECORD,
    },
    # -- a changeover to an installed product --
    S.CHANGEOVER_WAITING: {
        E.IN_USE: Move(S.COMMITTED),
        E.INSPECTION_READY: Move(S.CHANGEOVER_PREPARING, M.PREPARE),
        **_each((E.NO_ANSWER, E.ERROR, E.DISK_FULL), _STAY_AS_IT_IS),
        **_each(ENDED, Move(S.CHANGEOVER_WAITING)),
        **_later(S.CHANGEOVER_WAITING, *_ORDERS, *HELLOS),
    },
    S.CHANGEOVER_PREPARING: {
        E.LOADED: Move(S.CHANGEOVER_PREPARING),
        E.GOLDEN: _SWITCH,
        **_each(LOST, _STAY_AS_IT_IS),
        E.DISK_FULL: _UNDO_RECORD,
        **_later(S.CHANGEOVER_PREPARING, *_ORDERS, *HELLOS),
    },
    # -- the slot's own bundle, where inspection does not judge with it --
    S.RESTORE_PREPARING: {
        E.LOADED: Move(S.RESTORE_PREPARING),
        E.GOLDEN: Move(S.RESTORE_SWITCHING, M.SWITCH),
        **_each(LOST, Move(S.IDLE)),
        **_later(S.RESTORE_PREPARING, *_ORDERS, *HELLOS),
    },
    S.RESTORE_SWITCHING: {
        E.SWITCHED: Move(S.IDLE, M.COMMIT),
        **_each(LOST, Move(S.IDLE)),
        **_later(S.RESTORE_SWITCHING, *_ORDERS, *HELLOS),
    },
    # -- from here on there is a record: after a restart of either process it is resumed --
    S.SWITCHING: {
        **_each((E.SWITCHED, E.RESUMED_WITH_NEW), _MOVE_LINK),
        **_each((E.FAILED, E.NO_ANSWER, E.ERROR, E.DISK_FULL, E.RESUMED_WITH_OTHER), _GO_BACK),
        E.GONE: Move(S.SWITCHING_OFFLINE),
        E.CRASHED: Move(S.SWITCHING_OFFLINE, disk=D.RECORD_CRASH),
        E.CRASHED_TOO_OFTEN: _LAST_CRASH,
        **_later(S.SWITCHING, *_ORDERS, *HELLOS),
    },
    S.SWITCHING_OFFLINE: {
        E.CAME_WITH_NEW: _MOVE_LINK,
        **_each((E.CAME_WITH_OTHER, E.ERROR, E.DISK_FULL), _GO_BACK),
        E.GONE: Move(S.SWITCHING_OFFLINE),
        E.CRASHED: Move(S.SWITCHING_OFFLINE, disk=D.RECORD_CRASH),
        E.CRASHED_TOO_OFTEN: _LAST_CRASH,
        **_later(S.SWITCHING_OFFLINE, *_ORDERS),
    },
    S.PROBATION: {
        E.RESUMED_WITH_NEW: _MOVE_LINK,
        E.COMPARE: Move(S.PROBATION, M.START_PROBATION, report="probation"),
        E.CAME_WITH_NEW: _WATCH_AGAIN,
        E.WATCHING: Move(S.PROBATION, report="probation"),
        **_each((E.NOTHING_TO_COMPARE, E.PASSED, E.PROMOTE), _COMMIT),
        **_each((E.WORSE, E.REJECT, E.CAME_WITH_OTHER, E.RESUMED_WITH_OTHER), _GO_BACK),
        **_each((E.ERROR, E.DISK_FULL), _GO_BACK),
        E.SELECT: _next(_GO_BACK),
        E.GONE: Move(S.PROBATION_OFFLINE),
        E.CRASHED: Move(S.PROBATION_OFFLINE, disk=D.RECORD_CRASH),
        E.CRASHED_TOO_OFTEN: _LAST_CRASH,
        **_later(S.PROBATION, E.INSTALL),
    },
    S.PROBATION_OFFLINE: {
        E.CAME_WITH_NEW: _WATCH_AGAIN,
        **_each((E.CAME_WITH_OTHER, E.ERROR, E.DISK_FULL), _GO_BACK),
        E.GONE: Move(S.PROBATION_OFFLINE),
        E.CRASHED: Move(S.PROBATION_OFFLINE, disk=D.RECORD_CRASH),
        E.CRASHED_TOO_OFTEN: _LAST_CRASH,
        **_later(S.PROBATION_OFFLINE, *_ORDERS),
    },
    S.COMMITTING: {
        E.FINISH: Move(S.COMMITTED, M.COMMIT, D.FINISH_COMMIT, "committed"),
        **_each(RESUMES, _COMMIT),
        E.DISK_FULL: Move(S.COMMITTING, report="probation"),
        E.ERROR: _GO_BACK,
        **_each((*ENDED, E.CRASHED_TOO_OFTEN), Move(S.COMMITTING)),
        **_later(S.COMMITTING, *_ORDERS, *HELLOS),
    },
    S.ROLLING_BACK: {
        **_each(RESUMES, _GO_BACK),
        E.NEW_STILL_JUDGES: Move(S.ROLLING_BACK, M.ROLLBACK),
        **_each((E.ROLLED_BACK, *LOST, E.CRASHED_TOO_OFTEN), Move(S.ROLLING_BACK)),
        E.FINISH: Move(S.ROLLED_BACK, disk=D.FINISH_ROLL_BACK, report="rolled_back"),
        E.DISK_FULL: Move(S.ROLLING_BACK, report="rolled_back"),
        **_later(S.ROLLING_BACK, *_ORDERS, *HELLOS),
    },
    **{state: {} for state in FINAL},
}

OVER = "the order has ended"

REFUSALS: Mapping[Event, str] = {
    E.PROMOTE: "nothing waits for a decision in this slot",
    E.REJECT: "nothing waits for a decision in this slot",
    E.VERIFIED: "no file is being verified",
    E.IN_USE: "whether a bundle is in use already is asked at the order's beginning",
    E.TRIED: "no self-check runs",
    E.INSPECTION_READY: "the order does not wait for edge-app run",
    E.BUILDING: "engines are built for a new bundle's installation only",
    E.LOADED: "no bundle was to be loaded",
    E.GOLDEN: "no bundle was to be prepared",
    E.COMPARE: "there is no model to compare at this point",
    E.NOTHING_TO_COMPARE: "there is no model to compare at this point",
    E.COUNTED: "no comparison runs",
    E.DISAGREES: "no comparison runs",
    E.PASSED: "neither a comparison nor a probation runs",
    E.SWITCHED: "no switch was asked for",
    E.WATCHING: "no probation runs",
    E.WORSE: "no probation runs",
    E.ROLLED_BACK: "no roll-back was asked for",
    E.FAILED: "nothing was asked for that could fail",
    E.NO_ANSWER: "no answer is waited for",
    E.GONE: "noticed when edge-app run is needed next",
    E.CRASHED: "noticed when edge-app run is needed next",
    E.CRASHED_TOO_OFTEN: "crashes are counted from the switch to the commit",
    E.RESUMED_WITH_NEW: "there is no unfinished order to resume",
    E.RESUMED_WITH_OTHER: "there is no unfinished order to resume",
    E.NEW_STILL_JUDGES: "nothing is rolled back",
    E.FINISH: "neither a commit nor a roll-back has begun",
    E.RESTORE: "the current order decides which bundle is active",
    E.STANDBY: "other products are loaded when no order is being executed",
    E.DISK_FULL: "nothing is written in this state",
    E.ERROR: "no order is being executed",
}
"""Why an event changes nothing in the states in which it has no entry."""

EXCEPTIONS: Mapping[tuple[State, Event], str] = {
    (S.PROBATION, E.FAILED): "the probation's figures decide, or what edge-app run judges with",
    **{
        (state, event): "a restart resumes in the state that the record names"
        for state in (S.SWITCHING_OFFLINE, S.PROBATION_OFFLINE)
        for event in RESUMES
    },
}
"""Refusals with a reason of their own."""


def outcome(state: State, event: Event) -> Outcome:
    """Return what follows an event in a state, or why nothing does."""
    move = MOVES[state].get(event)
    if move is not None:
        return move
    if state in FINAL:
        return Refusal(OVER)
    return Refusal(EXCEPTIONS.get((state, event)) or REFUSALS[event])
