"""Orders of people and programs to the inspection process: what is said on `orders.sock`.

One JSON line in, one out, per connection. The kernel states the peer's account (SO_PEERCRED): the
page's service, which names its author, root, and the account that inspects; the agent's account
for what an operator's key has signed: marks of parts.

    page, command                 inspection
    order (author, order_id)   →
                               ←  answer        after the record is safe in the audit

An order is carried out once: the same `order_id` again gets the same answer, so that whoever had no
answer asks again without harm.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator as After
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from edge_app.ipc.calibration import Calibration
from edge_app.mqtt.timestamps import UUID7_PATTERN
from edge_app.store.intent import Sha256

MAX_LINE_BYTES = 32 << 10
"""Longest order."""

MAX_ANSWER_BYTES = 256 << 10
"""Longest answer: a sentence for each of many cameras."""

MAX_THRESHOLD = 1e9
MAX_PAUSE_MIN = 480
MAX_ID = 2**62
MAX_PIXEL = 100_000.0
MIN_REGION_POINTS, MAX_REGION_POINTS = 3, 100
MAX_NOTE_CHARS = 500


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only printable characters in one line are expected")
    return text


Line = Annotated[str, Field(max_length=1000), After(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64), After(_printable)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    After(_printable),
]
OptionalName = Annotated[str, Field(max_length=64), After(_printable)]
Threshold = Annotated[float, Field(ge=-MAX_THRESHOLD, le=MAX_THRESHOLD)]
PersonRole = Literal["viewer", "operator", "engineer"]
Mark = Literal["right", "false_alarm", "missed", "unsure"]
"""What a person says of a verdict: it is right, a good part was called bad, a bad one good, or they
cannot tell."""
Settled = Literal["taken_out", "good"]
"""What became of a bad part: it is off the line, or a person found it good."""
Pixel = Annotated[float, Field(ge=0, le=MAX_PIXEL)]
Region = Annotated[
    tuple[tuple[Pixel, Pixel], ...],
    Field(min_length=MIN_REGION_POINTS, max_length=MAX_REGION_POINTS),
]
Note = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MAX_NOTE_CHARS),
    After(_printable),
]


class _Message(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Author(_Message):
    """Who ordered something.

    Attributes:
        kind: person: with an account of the page. root: at the device's console, by command.
            key: of a signature. machine: a configured program.
        role: of the page's account or the machine; "" for root and keys.
    """

    kind: Literal["person", "root", "key", "machine"]
    name: Name
    role: PersonRole | Literal[""] = ""


class _Order(_Message):
    """Base of every order.

    Attributes:
        order_id: UUID version 7, made by whoever orders; see `edge_app.mqtt.timestamps.uuid7`.
        device: site/line/device that is meant; "": whichever listens.
    """

    author: Author
    order_id: str = Field(pattern=UUID7_PATTERN)
    device: str = Field("", max_length=400)


class GoodPartsBasis(_Message):
    """What a guaranteed limit rests on, as its author has seen it; inspection counts again.

    Attributes:
        source: days: all parts of the time. random: those drawn at random, looked at by people.
        from_ns, to_ns: the time, ns since the epoch.
        rate: the share of good parts that may be alarmed.
        parts: n. rank: k; the limit lies just above the k-th largest score.
    """

    source: Literal["days", "random"]
    from_ns: int = Field(ge=0, lt=2**63)
    to_ns: int = Field(ge=0, lt=2**63)
    rate: float = Field(gt=0, lt=1)
    parts: int = Field(ge=1, le=MAX_ID)
    rank: int = Field(ge=1, le=MAX_ID)


class SetLimit(_Order):
    """Judge with these thresholds from the next part on; what is None stays as it is.

    Attributes:
        for_sha256: the bundle that the author saw; another one in the slot refuses the order.
        guaranteed: `score_threshold` is what these parts carry; refused where they do not.
    """

    type: Literal["set_limit"] = "set_limit"
    slot: Name
    score_threshold: Threshold | None = None
    suspect_threshold: Threshold | None = None
    map_threshold: Threshold | None = None
    for_sha256: Sha256
    why: Why
    guaranteed: GoodPartsBasis | None = None


class UndoLimit(_Order):
    """Return to the thresholds before the last `set_limit` of the slot's bundle."""

    type: Literal["undo_limit"] = "undo_limit"
    slot: Name
    why: Why


class Pause(_Order):
    """Inspect nothing for a while; "" means all cameras."""

    type: Literal["pause"] = "pause"
    camera: OptionalName = ""
    minutes: int = Field(ge=1, le=MAX_PAUSE_MIN)
    why: Why


class Resume(_Order):
    """Inspect again."""

    type: Literal["resume"] = "resume"
    camera: OptionalName = ""
    why: Why


class _OfPart(_Order):
    """Base of what is said of one part.

    Attributes:
        part: its `id` in the history.
        part_id: its name there; another one refuses the order.
    """

    part: int = Field(ge=1, le=MAX_ID)
    part_id: Line


class MarkPart(_Order):
    """Say whether a part's verdict is right; the verdict stays what it was.

    Attributes:
        part: its `id` in the history; None: the newest of that name that has left.
        part_id: its name there; another one refuses the order.
        defect_class: what the author sees; "" for nothing said.
        region: where, a polygon of points (x, y) in frame pixels.
    """

    type: Literal["mark"] = "mark"
    part: int | None = Field(None, ge=1, le=MAX_ID)
    part_id: Line
    mark: Mark
    defect_class: OptionalName = ""
    region: Region | None = None
    note: Note = ""


class SettlePart(_OfPart):
    """Say what became of a bad part that waits to be taken out.

    Attributes:
        outcome: `good` marks the part `false_alarm` as well.
    """

    type: Literal["settle"] = "settle"
    outcome: Settled


class AcceptMark(_OfPart):
    """Accept a person's mark, so that it may be learnt from, or decline it.

    Attributes:
        decision: the mark's `id` in the history.
    """

    type: Literal["accept"] = "accept"
    decision: int = Field(ge=1, le=MAX_ID)
    accepted: bool
    note: Note = ""


class ShowGolden(_Order):
    """Take the next part of its camera for a golden part."""

    type: Literal["show_golden"] = "show_golden"
    name: Name


class Record(_Order):
    """Put into the audit what the page has done: accounts, tokens, roles, reviews.

    Attributes:
        event: e.g. user_added, role_changed, token_revoked.
    """

    type: Literal["record"] = "record"
    event: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    old: Line = ""
    new: Line = ""
    why: Line = ""


class NoteHead(_Order):
    """Ask for the audit's head and count; changes nothing."""

    type: Literal["note_head"] = "note_head"


class ShowLimits(_Order):
    """Ask for each slot's limits; changes nothing."""

    type: Literal["show_limits"] = "show_limits"


class ShowHealth(_Order):
    """Ask how the device is, subject by subject; changes nothing."""

    type: Literal["show_health"] = "show_health"


AnyOrder: TypeAlias = (
    SetLimit
    | UndoLimit
    | Pause
    | Resume
    | MarkPart
    | SettlePart
    | AcceptMark
    | ShowGolden
    | Record
    | NoteHead
    | ShowLimits
    | ShowHealth
)


class LimitState(_Message):
    """What a slot judges with.

    Attributes:
        bundle_score_threshold: the bundle's own, or the configuration's in its place.
        steps: how many `undo_limit` lead back to it.
        calibration: the good parts' scores of the bundle; None: inspection of an older release.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    slot: str
    product: str
    serial: int
    sha256: Sha256
    precision: str
    threshold_id: str
    score_threshold: float
    suspect_threshold: float | None
    map_threshold: float
    bundle_score_threshold: float
    steps: int = 0
    calibration: Calibration | None = None


class HealthSaid(_Message):
    """A sentence: its key for translations, its parameters, and the English."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    key: str
    params: dict[str, str | int | float] = Field(default_factory=dict)
    text: str


class HealthState(_Message):
    """One subject of the device's health; see `edge_app.device_state.SubjectHealth`."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    subject: str
    level: str
    headline: str
    headline_key: str
    what_to_do: str
    what_to_do_key: str
    params: dict[str, str | int | float] = Field(default_factory=dict)
    details: tuple[HealthSaid, ...] = ()


class OrderAnswer(_Message):
    """What became of an order.

    Attributes:
        text: for people.
        audit_seq: number of its record; None: nothing was recorded.
        audit_head: HASH:COUNT of the audit after it; "" where there is none.
        limits: of every slot with a bundle; to `show_limits` only.
        health: every subject; to `show_health` only.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="ignore"
    )  # later releases may add

    is_done: bool
    text: str = Field(max_length=4000)
    audit_seq: int | None = None
    audit_head: str = Field("", max_length=100)
    limits: tuple[LimitState, ...] = ()
    health: tuple[HealthState, ...] = ()


ORDER: TypeAdapter[AnyOrder] = TypeAdapter(
    Annotated[AnyOrder, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)
