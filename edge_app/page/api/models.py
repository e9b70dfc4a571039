"""What the API takes and answers. Names and meanings are the promise of /api/v1: they only gain."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from edge_app.accounts.people import Name
from edge_app.accounts.roles import AccessRole
from edge_app.ipc.order_schema import MAX_PAUSE_MIN, MAX_THRESHOLD
from edge_app.page.api.operation import Answered, Model
from edge_app.page.evidence_urls import LONGEST_S

MOST_NS = 2**63 - 1
MOST_ID = 2**63 - 2


def moment_ns(text: str) -> int:
    """Return a time in ns since the epoch.

    Raises:
        ValueError: it is no such time.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        ns = int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
    except (ValueError, OverflowError, OSError):
        ns = MOST_NS + 1
    if not 0 <= ns <= MOST_NS:
        raise ValueError("expected a time from 1970 to 2261, such as 2026-11-30T06:00:00Z")
    return ns


def _is_moment(text: str) -> str:
    moment_ns(text)
    return text


def is_plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected printable characters in one line")
    return text


Moment = Annotated[
    str,
    StringConstraints(min_length=10, max_length=40),
    AfterValidator(_is_moment),
    Field(description="RFC 3339, e.g. 2026-11-30T06:00:00Z; UTC unless an offset is given"),
]
Plain = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(is_plain)]
ShortName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(is_plain)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    AfterValidator(is_plain),
    Field(description="stands in the audit"),
]
Whole = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
Threshold = Annotated[float, Field(ge=-MAX_THRESHOLD, le=MAX_THRESHOLD)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256)]
DayTime = Annotated[str, StringConstraints(pattern=r"^([01]?[0-9]|2[0-3])(:[0-5][0-9])?$")]


class CountsQuery(Model):
    """Which counts."""

    begin: Moment | None = Field(None, alias="from", description="default: a day before `to`")
    end: Moment | None = Field(None, alias="to", description="default: now")
    camera: ShortName | None = None
    per: Literal["hour", "shift", "day"] = "hour"
    shift_start: list[DayTime] = Field(
        default=[],
        max_length=24,
        description="local times of the device, such as 6 or 06:30; default: `[page] shifts`",
    )


class Count(Answered):
    """Parts of one camera in one hour, shift or day."""

    begin: str = Field(alias="from")
    camera: str
    ok: int
    suspect: int = Field(description="of those that are OK")
    ng: int
    not_inspected: int


class Counts(Answered):
    """Counts, the oldest first; the first and the last hour count whole."""

    counts: list[Count]


class SlotCalibration(Answered):
    """Scores of the good parts that a bundle's limit was made from."""

    good_parts: int
    low: float
    width: float = Field(description="bin i begins at low + i × width")
    counts: list[int] = Field(description="60 bins at most; the last holds the largest score too")
    top: list[float] = Field(description="the largest scores, descending, exactly; 32 at most")


class SlotLimits(Answered):
    """What a slot judges with now."""

    slot: str
    product: str
    serial: int
    bundle_sha256: str
    precision: str
    score_threshold: float
    suspect_threshold: float | None
    map_threshold: float
    threshold_id: str
    bundle_score_threshold: float = Field(description="the bundle's, or the configuration's")
    steps: int = Field(description="how many `undo` lead back to it")
    calibration: SlotCalibration | None = Field(
        None, description="null: inspection is of an older release"
    )


class AllLimits(Answered):
    """Every slot that has a model."""

    limits: list[SlotLimits]


class GuaranteedBy(Model):
    """What `GET /limits/{slot}/guaranteed` answered; refused where it has changed since."""

    source: Literal["days", "random"]
    from_ns: int = Field(ge=0, lt=2**63)
    to_ns: int = Field(ge=0, lt=2**63)
    rate: float = Field(gt=0, lt=1)
    parts: int = Field(ge=1, lt=2**62)
    rank: int = Field(ge=1, lt=2**62)


class LimitChange(Model):
    """Judge with these from the next part on; what is left out stays as it is."""

    score_threshold: Threshold | None = None
    suspect_threshold: Threshold | None = None
    map_threshold: Threshold | None = None
    for_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="the bundle that was looked at; another one refuses"
    )
    why: Why
    guaranteed: GuaranteedBy | None = Field(
        None, description="`score_threshold` is what these parts carry"
    )


class Reason(Model):
    """Why."""

    why: Why


class PauseStart(Model):
    """Inspect nothing for a while."""

    camera: Annotated[str, StringConstraints(max_length=64), AfterValidator(is_plain)] = Field(
        "", description="empty: every camera"
    )
    minutes: int = Field(ge=1, le=MAX_PAUSE_MIN)
    why: Why


class PauseEnd(Model):
    """Inspect again."""

    camera: Annotated[str, StringConstraints(max_length=64), AfterValidator(is_plain)] = ""
    why: Why


class Done(Answered):
    """What became of an order."""

    is_done: bool
    text: str
    audit_seq: int | None = None
    audit_head: str = ""


class AuditHead(Answered):
    """The end of the audit's chain."""

    audit_head: str = Field(description="HASH:COUNT")


class AuditQuery(Model):
    """Which records."""

    cursor: Whole | None = Field(None, description="`next` of the page before")
    limit: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]?|100)$")] = "50"


class AuditPage(Answered):
    """Records as `edge-app audit export` writes them, the newest first."""

    records: list[dict[str, Any]]
    next: str | None = Field(description="cursor of the next page; null: this was the last")


class State(Answered):
    """What the page shows; see docs/page.md."""

    now_ns: int
    cameras: list[dict[str, Any]]
    broker: dict[str, Any]
    bundle: list[dict[str, Any]]
    notes: list[str]
    has_map: bool
    golden: list[dict[str, Any]] = Field(
        default=[], description="golden parts: name, camera, when due, last outcome"
    )


class HealthDetail(Answered):
    """One thing about a subject."""

    key: str = Field(description='of the sentence; "detail": words of others, in `reason`')
    params: dict[str, str | int | float]
    text: str = Field(description="the sentence in English")


class SubjectHealth(Answered):
    """How one subject is. Later releases may add subjects and keys."""

    subject: str = Field(
        description="cameras, broker, model, disk, temperature, clock, updates, history, audit, "
        "golden (where golden parts are configured), page"
    )
    level: Literal["good", "warn", "bad", "unknown"]
    headline: str = Field(description="one sentence, in English")
    headline_key: str = Field(description="of the sentence, for translations")
    what_to_do: str = Field(description='in English; "": nothing')
    what_to_do_key: str = Field(description='"": nothing')
    params: dict[str, str | int | float] = Field(description="of both sentences")
    since: str | None = Field(description="since when it is so, RFC 3339; null: not known")
    details: list[HealthDetail]


class DeviceHealth(Answered):
    """Every subject."""

    subjects: list[SubjectHealth]


class Me(Answered):
    """Who calls."""

    kind: Literal["person", "machine", ""] = Field(description='"": nobody that could be named')
    name: str
    role: AccessRole | Literal[""]
    csrf: str = Field(description="a person's script sends it as X-CSRF-Token with every change")
    has_engineer: bool
    is_kept: bool = Field(description="whether accounts can be kept")


class LogIn(Model):
    """A person's name and password."""

    name: Name
    password: Password = Field(repr=False)


class CodeUse(Model):
    """A one-time code, whose it is, and the password that is chosen."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=40)] = Field(repr=False)
    name: Name
    password: Password = Field(repr=False)


class PasswordChange(Model):
    """The present password and the next one."""

    old: Password = Field(repr=False)
    new: Password = Field(repr=False)


class User(Answered):
    """A person."""

    name: str
    role: AccessRole
    has_password: bool
    made_at: str
    password_changed_at: str | None


class Users(Answered):
    """Every person."""

    users: list[User]


class NewUser(Model):
    """A person to be."""

    name: Name
    role: AccessRole


class RoleChange(Model):
    """Another role."""

    role: AccessRole


class CodeMade(Answered):
    """A code that works once, for a day; it is not shown again."""

    name: str
    code: str


class ScreenWish(Model):
    """A tablet or a wall screen to be let in."""

    name: Name


class ScreenCode(Answered):
    """A short code that lets one browser read; it is not shown again."""

    name: str
    code: str
    valid_s: int


class ScreenCodeUse(Model):
    """The code that was scanned or typed."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=20)] = Field(repr=False)


class ScreenIn(Answered):
    """The browser reads from now on."""

    name: str


class TokenInfo(Answered):
    """A program's token, without its secret."""

    name: str
    scope: AccessRole
    made_at: str
    expires_at: str
    made_by: str
    is_expired: bool


class Tokens(Answered):
    """Every token."""

    tokens: list[TokenInfo]


class NewToken(Model):
    """A token to be."""

    name: Name
    scope: AccessRole
    days: int = Field(90, ge=1, le=3660)


class TokenMade(Answered):
    """A token's secret; it is not shown again."""

    name: str
    token: str


class EvidenceWish(Model):
    """Which picture, for how long."""

    picture: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d/[^/\s]{1,255}$")] = Field(
        description="DATE/NAME.jpg, the end of an evidence address"
    )
    valid_s: int = Field(3600, ge=1, le=LONGEST_S)


class SignedUrl(Answered):
    """An address on this page that opens without a login until it expires."""

    url: str
    expires_at: str
