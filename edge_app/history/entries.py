"""What is written into the history, one record each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

from edge_app.records import GoldenCheck, PartVerdict

GapKind = Literal["gap", "loss", "down"]
"""`gap`: numbered parts that nobody judged. `loss`: judged parts whose rows are not here. `down`:
nothing was recorded for a while, and whether parts came is unknown: a restart, or a pause."""


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part.

    Attributes:
        verdict: the final one, or an alarm's so far.
        alarm_id: of the part's alarm; None: it had none, or its row knows.
        is_final: the part has left; a later entry of the same part replaces one that is not.
    """

    verdict: PartVerdict
    alarm_id: str | None = None
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class GapEntry:
    """Parts that have no row.

    Attributes:
        camera: None: all of them.
        first_number, last_number: both included; None where parts have no number.
        count: how many parts; None if unknown.
        from_ns, to_ns: ns since the epoch; `from_ns` None if unknown.
    """

    camera: str | None
    kind: GapKind
    reason: str
    to_ns: int
    first_number: int | None = None
    last_number: int | None = None
    count: int | None = None
    from_ns: int | None = None


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """A part's picture has been written.

    Attributes:
        kept_for: why, joined by commas; see `KeepReason`.
    """

    camera: str
    part_id: str
    url: str
    sha256: str
    kept_for: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says of a part's verdict.

    Attributes:
        part: the row's `id`; part_id: its name, which has to be the same.
        mark: right, false_alarm, missed or unsure.
        defect_class: "" where nothing is said of it.
        region: [[x, y], …] in frame pixels; None where none was drawn.
        pseudonym: stands for the author in statistics.
        order_id: each order is one decision.
    """

    part: int
    part_id: str
    decided_ns: int
    mark: str
    defect_class: str
    region: list[list[float]] | None
    note: str
    author_kind: str
    author_name: str
    author_role: str
    pseudonym: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """A bad part waits no longer to be taken out.

    Attributes:
        part, part_id: as in `Decision`.
        outcome: taken_out or good.
        settled_by: a person's or a program's name; pseudonym: stands for it in statistics.
    """

    part: int
    part_id: str
    settled_ns: int
    outcome: str
    settled_by: str
    pseudonym: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an engineer says of a person's mark.

    Attributes:
        part: the row's `id`; part_id: its name.
        decision_order: the `order_id` of the mark.
        said: accepted or declined.
        said_by: a person's or a program's name; pseudonym: stands for it in statistics.
    """

    part: int
    part_id: str
    decision_order: str
    said_ns: int
    said: str
    said_by: str
    pseudonym: str


@dataclass(frozen=True, slots=True, eq=False)
class ReviewEntry:
    """An order about a part that the audit holds.

    Attributes:
        audit_head: HASH:COUNT of its record; the history follows the audit from there.
        is_written: set once it is committed.
    """

    audit_head: str
    decision: Decision | None = None
    settlement: Settlement | None = None
    acceptance: Acceptance | None = None
    is_written: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class GoldenEntry:
    """What became of a golden part.

    Attributes:
        check_id: each check is one row.
    """

    check: GoldenCheck
    check_id: str


Entry = PartEntry | GapEntry | EvidenceEntry | ReviewEntry | GoldenEntry
