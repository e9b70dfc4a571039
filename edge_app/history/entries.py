"""What is written into the history, one record each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_app.records import PartVerdict

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


Entry = PartEntry | GapEntry | EvidenceEntry
