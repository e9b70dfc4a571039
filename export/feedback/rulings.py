"""What the marks of people on one part come to. No IO.

A mark is a proposal until an engineer accepts it. An accepted mark decides; proposals, where they
are asked for, decide only where all who said something agree. A part that is disputed is put
aside and named: nobody's word silently wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_app.records import PointXy
from edge_app.replay.kept_parts import meaning_of
from export.feedback.device_part import DeviceDecision, DevicePart

Use = Literal["good", "defect", "disputed", "unsure", "proposed"]

MIN_REGION_POINTS = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a part is taken for.

    Attributes:
        use: good and defect are learnt from; disputed: the marks contradict each other; unsure:
            nobody knows; proposed: no mark is accepted.
        defect_class: as a person named it, else the device's; "" for good ones.
        region_xy: what a person drew, in frame pixels; () where nobody drew.
        reviewers: who said so, as the device names them.
        is_accepted: by an engineer.
        note: what the deciding person wrote.
    """

    use: Use
    defect_class: str = ""
    region_xy: tuple[PointXy, ...] = ()
    reviewers: tuple[str, ...] = ()
    is_accepted: bool = False
    note: str = ""


def ruling_of(part: DevicePart, with_proposals: bool) -> Ruling | None:
    """Return what a part of the device's history is taken for; None: nobody said anything.

    Args:
        with_proposals: marks that no engineer has accepted or declined count too.
    """
    current = [d for d in part.decisions if d.is_current]
    if not current:
        return None
    open_ones = [d for d in current if d.acceptance != "declined"]
    accepted = [d for d in current if d.accepted_at]
    counted = accepted or (open_ones if with_proposals else [])
    if not counted:
        return Ruling("proposed", reviewers=_authors(current))
    meanings = [meaning_of(part.state, d.mark) or "unsure" for d in counted]
    decided = set(meanings) - {"unsure"}
    reviewers, is_accepted = _authors(counted), bool(accepted)
    if len(decided) != 1:
        use: Use = "disputed" if decided else "unsure"
        return Ruling(use, reviewers=reviewers, is_accepted=is_accepted)
    last = [d for d, says in zip(counted, meanings, strict=True) if says in decided][-1]
    if decided == {"good"}:
        return Ruling("good", "", (), reviewers, is_accepted, last.note)
    region = last.region if last.region and len(last.region) >= MIN_REGION_POINTS else ()
    return Ruling("defect", _class_of(last, part), region, reviewers, is_accepted, last.note)


def _authors(decisions: Sequence[DeviceDecision]) -> tuple[str, ...]:
    return tuple(sorted({d.author for d in decisions}))


def _class_of(decision: DeviceDecision, part: DevicePart) -> str:
    """Return the class a person named, else the one the device found, if it is one."""
    found = {d.defect_class for d in part.defects if d.defect_class}
    only = found.pop() if len(found) == 1 else None
    return decision.defect_class or only or "defect"
