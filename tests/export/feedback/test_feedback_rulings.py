"""What several people's marks on one part come to."""

from __future__ import annotations

from typing import Any

import pytest

from export.feedback.device_part import DevicePart
from export.feedback.rulings import ruling_of


def mark(name: str, who: str = "anna", **more: Any) -> dict[str, Any]:
    return {"mark": name, "author": who, "is_current": True, "accepted_at": None, **more}


def part(state: str, *decisions: dict[str, Any], **more: Any) -> DevicePart:
    found = {"part_id": "c-1", "camera": "c", "captured_at": "", "state": state, **more}
    return DevicePart.model_validate({**found, "decisions": list(decisions)})


ACCEPTED = {"accepted_at": "2026-11-30T08:00:00Z", "accepted_by": "eva"}


@pytest.mark.parametrize(
    ("state", "said", "use"),
    [
        ("NG", "false_alarm", "good"),
        ("NG", "right", "defect"),
        ("NG", "unsure", "unsure"),
        ("OK", "missed", "defect"),
        ("OK", "right", "good"),
        ("OK", "false_alarm", "good"),
        ("NOT_INSPECTED", "right", "unsure"),
        ("NOT_INSPECTED", "missed", "defect"),
    ],
)
def test_a_mark_speaks_of_the_part_beside_its_verdict(state: str, said: str, use: str) -> None:
    found = ruling_of(part(state, mark(said, **ACCEPTED)), with_proposals=False)
    assert found is not None
    assert (found.use, found.is_accepted) == (use, True)


def test_a_part_that_nobody_marked_has_no_ruling() -> None:
    assert ruling_of(part("NG"), with_proposals=True) is None
    replaced = mark("right", is_current=False)
    assert ruling_of(part("NG", {**replaced, "is_current": False}), True) is None


def test_marks_that_nobody_accepted_count_only_where_asked_for() -> None:
    one = part("NG", mark("false_alarm"))
    waiting, counted = ruling_of(one, False), ruling_of(one, True)
    assert waiting is not None
    assert waiting.use == "proposed"
    assert counted is not None
    assert (counted.use, counted.is_accepted) == ("good", False)


def test_reviewers_who_contradict_each_other_decide_nothing() -> None:
    both = part("NG", mark("false_alarm", "anna"), mark("right", "ben"))
    found = ruling_of(both, with_proposals=True)
    assert found is not None
    assert found.use == "disputed"
    assert found.reviewers == ("anna", "ben")


def test_an_accepted_mark_outweighs_proposals_and_an_unsure_one_contradicts_nobody() -> None:
    settled = part("NG", mark("false_alarm", "anna", **ACCEPTED), mark("right", "ben"))
    found = ruling_of(settled, with_proposals=True)
    assert found is not None
    assert (found.use, found.reviewers) == ("good", ("anna",))
    mixed = ruling_of(part("NG", mark("unsure", "ben"), mark("right", "anna")), True)
    assert mixed is not None
    assert mixed.use == "defect"


def test_a_persons_class_and_region_come_before_the_devices() -> None:
    region = [[1, 2], [9, 2], [9, 8]]
    defects = [{"class": "scratch", "polygon": []}]
    named = part("NG", mark("right", region=region, **{"class": "stain"}), defects=defects)
    found = ruling_of(named, True)
    assert found is not None
    assert (found.defect_class, found.region_xy) == ("stain", ((1, 2), (9, 2), (9, 8)))
    plain = ruling_of(part("NG", mark("right"), defects=defects), True)
    assert plain is not None
    assert (plain.defect_class, plain.region_xy) == ("scratch", ())
    several = [{"class": "scratch"}, {"class": "stain"}]
    open_class = ruling_of(part("NG", mark("right"), defects=several), True)
    assert open_class is not None
    assert open_class.defect_class == "defect"


def test_a_declined_mark_is_no_proposal() -> None:
    """Nor does it contradict what somebody else proposes."""
    wrong = mark("right", "ben", acceptance="declined", accepted_by="eva")
    found = ruling_of(part("NG", wrong), with_proposals=True)
    assert found is not None
    assert found.use == "proposed"
    found = ruling_of(part("NG", wrong, mark("false_alarm")), with_proposals=True)
    assert found is not None
    assert (found.use, found.reviewers) == ("good", ("anna",))
