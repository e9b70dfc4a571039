"""What the API takes and answers of parts and of what people said of them; as `models.py`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from edge_app.ipc.order_schema import MAX_ID, MAX_NOTE_CHARS, Mark, Region, Settled
from edge_app.page.api.models import Moment, Plain, ShortName, Whole, is_plain
from edge_app.page.api.operation import Answered, Model

Flag = Literal["true", "false"]
Page100 = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]?|100)$")]


def _one_line(text: Any) -> Any:
    """Return a note that was typed in several lines as one."""
    return " ".join(text.split()) if isinstance(text, str) else text


class PartsQuery(Model):
    """Which parts."""

    camera: ShortName | None = None
    state: list[Literal["OK", "NG", "NOT_INSPECTED"]] = Field(default=[], max_length=3)
    suspects: Flag = "false"
    part: Plain | None = Field(None, description="a part id, trigger id or file name, exactly")
    serial: Plain | None = Field(None, description="a number, trigger id or file name, exactly")
    defect_class: ShortName | None = Field(None, alias="class")
    begin: Moment | None = Field(None, alias="from", description="captured at or after")
    end: Moment | None = Field(None, alias="to", description="captured before")
    kept_for: Literal["ng", "suspect", "near_miss", "not_inspected", "random", "any"] | None = (
        Field(None, description="whose picture is kept for that")
    )
    reviewed: Flag | None = Field(None, description="whether a person has marked it")
    mark: Mark | None = Field(None, description="so marked by one person or more")
    disputed: Literal["true"] | None = Field(
        None, description="only those that people mark differently"
    )
    golden: Flag | None = Field(None, description="only golden parts, or none of them")
    cursor: Whole | None = Field(None, description="`next` of the page before")
    limit: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]?|[1-4][0-9]{2}|500)$")] = "100"


class Decision(Answered):
    """What one person said of a part's verdict."""

    id: int
    at: str
    mark: Mark
    defect_class: str = Field(alias="class")
    region: list[Any] | None = Field(description="[[x, y], …] in pixels of the frame")
    note: str
    author: str = Field(description="a name for operators and engineers, else a pseudonym")
    role: str
    is_current: bool = Field(description="false: the same person said something else later")
    acceptance: Literal["accepted", "declined"] | None = Field(
        description="what an engineer says of it; null: it is a proposal"
    )
    accepted_at: str | None = Field(description="null: it is a proposal, or declined")
    accepted_by: str = Field(description="who accepted or declined it; named as `author` is")


class TakeOutPlace(Answered):
    """Where a bad part is in the queue of those to be taken out."""

    since: str
    settled_at: str | None
    outcome: Literal["taken_out", "good", "gone"] | None
    settled_by: str


class Part(Answered):
    """One part, or an alarm's so far."""

    id: int
    camera: str
    slot: str
    part_id: str
    number: int | None
    trigger_id: str | None
    source_name: str | None
    captured_at: str
    recorded_at: str
    state: Literal["OK", "NG", "NOT_INSPECTED"]
    reason: str
    score: float | None
    is_suspect: bool
    threshold: float
    threshold_id: str
    product: str | None
    serial: int | None
    bundle_sha256: str | None
    precision: str | None
    views: int
    latency_ms: float
    corners: list[Any]
    defects: list[Any]
    alarm_id: str | None
    evidence_url: str | None
    evidence_sha256: str | None
    is_final: bool
    kept_for: list[str] = Field(description="why its picture was kept")
    has_crop: bool = Field(description="whether /parts/{id}/crop.jpg is there")
    decisions: list[Decision] = Field(description="the oldest first")
    take_out: TakeOutPlace | None = Field(description="null: it is not bad, or not final")
    golden: str | None = Field(
        None, description="the golden part that it is: no production, and counted nowhere"
    )


class PartsPage(Answered):
    """Parts, the newest first."""

    parts: list[Part]
    next: str | None = Field(description="cursor of the next page; null: this was the last")


Note = Annotated[
    str,
    BeforeValidator(_one_line),
    StringConstraints(max_length=MAX_NOTE_CHARS),
    AfterValidator(is_plain),
]


class NewDecision(Model):
    """What you say of a part's verdict; the verdict itself stays what it was."""

    part_id: Plain = Field(description="of the part that was looked at; another one refuses")
    mark: Mark
    defect_class: Annotated[str, StringConstraints(max_length=64), AfterValidator(is_plain)] = (
        Field("", alias="class")
    )
    region: Region | None = Field(None, description="points [x, y] in pixels of the frame")
    note: Note = ""


class NewAcceptance(Model):
    """What you say of a person's mark: only accepted ones are learnt from."""

    part: int = Field(ge=1, le=MAX_ID, description="its `id`")
    part_id: Plain = Field(description="of the part that was looked at; another one refuses")
    accepted: bool = Field(description="false: it is declined")
    note: Note = ""


class TakeOutQuery(Model):
    """Which bad parts."""

    camera: ShortName | None = None
    limit: Page100 = "20"


class TakeOut(Answered):
    """Bad parts that wait to be taken out."""

    mode: Literal["latch", "list"] = Field(
        description="list: they are off the line by themselves after some time"
    )
    waiting: int = Field(description="how many there are in all")
    parts: list[Part] = Field(description="the oldest first")


class Settlement(Model):
    """What became of a bad part."""

    part_id: Plain = Field(description="of the part that was looked at; another one refuses")
    outcome: Settled = Field(description="good: it is marked false_alarm as well")


class DecisionsQuery(Model):
    """Which decisions."""

    acceptance: Literal["open", "accepted", "declined"] | None = Field(
        None, description="open: it holds, and no engineer has accepted or declined it"
    )
    cursor: Whole | None = Field(None, description="`next` of the page before")
    limit: Page100 = "50"


class PartDecision(Decision):
    """What one person said of a part, and which part that is."""

    part: int
    part_id: str
    number: int | None
    camera: str
    state: Literal["OK", "NG", "NOT_INSPECTED"]


class DecisionsPage(Answered):
    """Decisions, the latest first."""

    decisions: list[PartDecision]
    next: str | None = Field(description="cursor of the next page; null: this was the last")
