"""A mark is a proposal until an engineer accepts it: by role, recorded first, outliving a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.history_parts import verdict
from support.order_makers import OWN, ROOT, order
from support.review_rig import ReviewRig, author, four_parts

from edge_app.audit.reader import every_record
from edge_app.errors import OrderError
from edge_app.history.reader import HistoryReader
from edge_app.ipc.order_schema import OrderAnswer

ANNA, EVA = author("anna"), author("eva", "engineer")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ReviewRig]:
    made = ReviewRig(tmp_path)
    made.judge(four_parts())
    made.give("mark", 2, ANNA, mark="false_alarm")
    yield made
    made.close()


def accept(
    rig: ReviewRig, who: dict[str, str] = EVA, accepted: bool = True, **values: Any
) -> OrderAnswer:
    """Say something of the latest mark of part 2."""
    values = {"decision": rig.part(2)["decisions"][-1]["id"], **values}
    return rig.give("accept", values.pop("part", 2), who, accepted=accepted, **values)


def rulings(rig: ReviewRig, number: int = 2) -> list[tuple[str | None, str]]:
    return [(d["acceptance"], d["accepted_by"]) for d in rig.part(number)["decisions"]]


def records(rig: ReviewRig) -> list[dict[str, Any]]:
    found = list(every_record(rig.folder / "audit.sqlite"))
    return [r for r in found if r["event"] in ("accepted", "declined")]


@pytest.mark.parametrize(("accepted", "word"), [(True, "accepted"), (False, "declined")])
def test_an_engineers_word_is_with_the_mark_and_in_the_audit(
    rig: ReviewRig, accepted: bool, word: str
) -> None:
    """Only an accepted mark has a time: a pull takes what has one."""
    assert rulings(rig) == [(None, "")]
    answer = accept(rig, accepted=accepted, note="seen it")
    assert answer.text == f"c-2 (a false alarm): {word}."
    (mark,) = rig.part(2)["decisions"]
    assert (mark["acceptance"], mark["accepted_by"]) == (word, "eva")
    assert (mark["accepted_at"] is not None) is accepted
    (record,) = records(rig)
    assert (record["event"], record["subject"], record["why"]) == (word, "c-2", "seen it")
    assert record["author"] == {"kind": "person", "name": "eva", "role": "engineer"}
    assert record["old"] == {"verdict": "NG", "acceptance": None}
    assert record["new"]["said_of"] == "false_alarm"


@pytest.mark.parametrize("role", ["viewer", "operator", ""])
def test_nobody_but_an_engineer_or_root_accepts(rig: ReviewRig, role: str) -> None:
    with pytest.raises(OrderError, match="it takes the role engineer, got"):
        accept(rig, author("someone", role))
    assert rulings(rig) == [(None, "")]
    assert records(rig) == []
    assert accept(rig, ROOT).is_done
    assert rulings(rig) == [("accepted", "root")]


def test_the_latest_word_holds_and_the_same_one_again_changes_nothing(rig: ReviewRig) -> None:
    accept(rig)
    again = accept(rig, author("bert", "engineer"))
    assert again.is_done
    assert again.text == "c-2 (a false alarm): accepted by eva before."
    assert rulings(rig) == [("accepted", "eva")]
    accept(rig, author("bert", "engineer"), accepted=False)
    assert rulings(rig) == [("declined", "bert")]
    assert [r["event"] for r in records(rig)] == ["accepted", "declined"]
    assert records(rig)[1]["old"]["acceptance"] == "accepted"


def test_the_same_order_twice_is_one_record(rig: ReviewRig) -> None:
    number = rig.part(2)["decisions"][0]["id"]
    given = order("accept", EVA, part=2, part_id="c-2", decision=number, accepted=True)
    first, again = rig.desk.execute(given, OWN), rig.desk.execute(given, OWN)
    assert first.audit_seq == again.audit_seq
    assert len(records(rig)) == 1


def test_a_later_mark_is_a_new_proposal(rig: ReviewRig) -> None:
    """And the one before can no longer be accepted: nobody means it any more."""
    before = rig.part(2)["decisions"][0]["id"]
    accept(rig)
    rig.give("mark", 2, ANNA, mark="right")
    assert rulings(rig) == [("accepted", "eva"), (None, "")]
    with pytest.raises(OrderError, match="was replaced: anna has said something else since"):
        accept(rig, accepted=False, decision=before)
    assert rulings(rig) == [("accepted", "eva"), (None, "")]


def test_an_engineers_own_mark_is_a_proposal_too(rig: ReviewRig) -> None:
    """He may accept it himself; the audit has both words."""
    rig.give("mark", 1, EVA, mark="missed")
    assert rulings(rig, 1) == [(None, "")]
    rig.give("accept", 1, EVA, accepted=True, decision=rig.part(1)["decisions"][0]["id"])
    assert rulings(rig, 1) == [("accepted", "eva")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"decision": 99}, "c-2 has no mark 99"),
        ({"part_id": "c-1"}, "Part 2 is c-2, the order is for c-1"),
        ({"part": 1, "part_id": "c-1"}, "c-1 has no mark 1"),
        ({"part": 77, "part_id": "c-77"}, "Part 77 is not recorded"),
    ],
)
def test_what_is_not_there_is_not_accepted(
    rig: ReviewRig, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(OrderError, match=words):
        accept(rig, **values)
    assert rulings(rig) == [(None, "")]
    assert records(rig) == []


def test_marks_are_listed_by_what_became_of_them(rig: ReviewRig) -> None:
    """Open: it holds, and no engineer has said anything of it."""
    accept(rig)
    rig.give("mark", 1, ANNA, mark="missed")
    rig.give("mark", 1, ANNA, mark="right")
    rig.give("mark", 3, ANNA, mark="missed")
    number = rig.part(3)["decisions"][0]["id"]
    rig.give("accept", 3, EVA, accepted=False, decision=number)
    reader = HistoryReader(rig.path)

    def listed(acceptance: str) -> list[tuple[int, str]]:
        return [(d["part"], d["mark"]) for d in reader.decisions(acceptance=acceptance)]

    assert listed("open") == [(1, "right")]
    assert listed("accepted") == [(2, "false_alarm")]
    assert listed("declined") == [(3, "missed")]
    assert len(listed("")) == 4
    assert reader.decisions(before=reader.decisions()[0]["id"], acceptance="declined") == []


def test_a_pseudonym_stands_for_the_engineer(rig: ReviewRig) -> None:
    accept(rig)
    (mark,) = rig.part(2, shows_names=False)["decisions"]
    assert mark["accepted_by"].startswith("reviewer-")
    assert "eva" not in json.dumps(mark)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.review_rig import ReviewRig, author, four_parts

rig = ReviewRig(Path(sys.argv[1]))
rig.judge(four_parts())
rig.give("mark", 2, author(), mark="false_alarm")
number = rig.part(2)["decisions"][0]["id"]
rig.writer.reviewed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
rig.give("accept", 2, author("eva", "engineer"), accepted=True, decision=number)
"""


def test_sigkill_between_audit_and_history_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    """Once, however often it starts."""
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), tests], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    (mark,) = HistoryReader(tmp_path / "history.sqlite").part(2)["decisions"]  # type: ignore[index]
    assert mark["acceptance"] is None
    for number in (9, 10):
        rig = ReviewRig(tmp_path)
        rig.judge([verdict(number)])
        assert rulings(rig) == [("accepted", "eva")]
        assert rig.part(2)["decisions"][0]["accepted_at"]
        assert len(records(rig)) == 1
        rig.close()


def test_mark_and_word_that_both_missed_the_history(tmp_path: Path) -> None:
    """The order of the audit is kept: the mark comes first."""
    rig = ReviewRig(tmp_path)
    rig.judge(four_parts())
    rig.give("mark", 2, ANNA, mark="right")
    rig.close()
    rig = ReviewRig(tmp_path, is_killed=True)
    rig.judge([verdict(9)])
    answer = accept(rig, accepted=False)
    assert "as soon as its disk takes it" in answer.text
    rig.give("mark", 2, ANNA, mark="false_alarm")
    rig.close()
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(10)])
    assert rulings(rig) == [("declined", "eva"), (None, "")]
    rig.close()
