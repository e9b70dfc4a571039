"""What people say of parts: by role, recorded first, once, and never lost to a kill."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.history_parts import verdict
from support.order_makers import OWN, ROOT, order
from support.review_rig import ReviewRig, author, four_parts

from edge_app.audit.reader import every_record
from edge_app.errors import EdgeError, OrderError
from edge_app.history.part_filter import PartFilter
from edge_app.history.pseudonyms import KEY_FILE, Pseudonyms
from edge_app.history.reader import HistoryReader
from edge_app.orders.desk import OrderDesk
from edge_app.orders.review_orders import ReviewOrders

ANNA, BEN = author("anna"), author("ben", "engineer")
ALLOWED = {
    1: {"right", "missed", "unsure"},
    2: {"right", "false_alarm", "unsure"},
    3: {"right", "false_alarm", "missed", "unsure"},
    4: {"right", "missed", "unsure"},
}
"""Part → marks: OK, NG, suspect, not inspected."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ReviewRig]:
    made = ReviewRig(tmp_path)
    made.judge(four_parts())
    yield made
    made.close()


def events(rig: ReviewRig) -> list[str]:
    if not (rig.folder / "audit.sqlite").exists():
        return []
    found = [str(r["event"]) for r in every_record(rig.folder / "audit.sqlite")]
    return [event for event in found if event != "audit_begun"]


@pytest.mark.parametrize("mark", ["right", "false_alarm", "missed", "unsure"])
@pytest.mark.parametrize("number", ALLOWED)
def test_a_mark_goes_with_the_verdict(rig: ReviewRig, number: int, mark: str) -> None:
    """What cannot be said of a verdict is refused, with what can; nothing is recorded then."""
    if mark in ALLOWED[number]:
        answer = rig.give("mark", number, ANNA, mark=mark)
        assert answer.is_done
        assert rig.marks(number) == [("anna", mark, True)]
        assert events(rig) == ["decision"]
        return
    with pytest.raises(OrderError, match="it can be marked right or"):
        rig.give("mark", number, ANNA, mark=mark)
    assert rig.marks(number) == []
    assert events(rig) == []


@pytest.mark.parametrize("kind", ["mark", "settle"])
def test_a_viewer_says_nothing_and_root_may(rig: ReviewRig, kind: str) -> None:
    values = {"mark": {"mark": "right"}, "settle": {"outcome": "taken_out"}}[kind]
    with pytest.raises(OrderError, match="engineer or operator, got viewer"):
        rig.give(kind, 2, author("vic", "viewer"), **values)
    assert events(rig) == []
    assert rig.give(kind, 2, ROOT, **values).is_done


def test_everything_that_was_said_is_there(rig: ReviewRig) -> None:
    """Class, region, note, role, time; the audit has the same, and who it was."""
    region = [[1.5, 2.0], [30.0, 2.0], [30.0, 20.25]]
    rig.give("mark", 2, BEN, mark="right", defect_class="crack", region=region, note=" at the rim ")
    (said,) = rig.part(2)["decisions"]
    assert said["class"] == "crack"
    assert said["region"] == region
    assert said["note"] == "at the rim"
    assert (said["author"], said["role"]) == ("ben", "engineer")
    assert said["at"].endswith("Z")
    record = [*every_record(rig.folder / "audit.sqlite")][-1]
    assert record["author"] == {"kind": "person", "name": "ben", "role": "engineer"}
    assert record["new"]["region"] == region
    assert record["new"]["mark"] == "right"
    assert record["why"] == "at the rim"
    assert record["old"] == {"verdict": "NG", "mark": None}


def test_the_same_order_twice_is_one_decision(rig: ReviewRig) -> None:
    """Whoever had no answer asks again: the same answer, one row, one record."""
    given = order("mark", ANNA, part=2, part_id="c-2", mark="right")
    first, again = rig.desk.execute(given, OWN), rig.desk.execute(given, OWN)
    assert first.audit_seq == again.audit_seq
    assert rig.marks(2) == [("anna", "right", True)]
    assert events(rig) == ["decision"]


def test_a_later_mark_replaces_the_persons_own_and_people_may_disagree(rig: ReviewRig) -> None:
    """Nothing is deleted; what holds now is flagged, and a dispute can be asked for."""
    rig.give("mark", 2, ANNA, mark="right")
    rig.give("mark", 2, BEN, mark="false_alarm")
    assert HistoryReader(rig.path).parts(PartFilter(disputed=True))[0]["id"] == 2
    rig.give("mark", 2, ANNA, mark="false_alarm")
    assert rig.marks(2) == [
        ("anna", "right", False), ("ben", "false_alarm", True), ("anna", "false_alarm", True),
    ]  # fmt: skip
    assert HistoryReader(rig.path).parts(PartFilter(disputed=True)) == []
    record = [*every_record(rig.folder / "audit.sqlite")][-1]
    assert record["old"]["mark"] == "right"
    rig.give("mark", 2, author("cleo"), mark="unsure")
    assert HistoryReader(rig.path).parts(PartFilter(disputed=True)) == [], "unsure is no dispute"


@pytest.mark.parametrize("kind", ["mark", "settle"])
def test_a_part_that_is_another_or_none_is_refused(rig: ReviewRig, kind: str) -> None:
    values = {"mark": {"mark": "right"}, "settle": {"outcome": "good"}}[kind]
    with pytest.raises(OrderError, match=r"Part 99 is not recorded"):
        rig.give(kind, 99, ANNA, **values)
    with pytest.raises(OrderError, match=r"Part 2 is c-2, the order is for c-7"):
        rig.give(kind, 2, ANNA, part_id="c-7", **values)
    assert events(rig) == []


def test_a_part_still_in_the_picture_is_refused(rig: ReviewRig) -> None:
    """Its verdict is not final."""
    from support.history_parts import alarm

    event = alarm(verdict(5, "NG", 3.0))
    rig.writer.expect([event])
    rig.writer.alarmed([event])
    with closing(sqlite3.connect(rig.path)) as connection:
        from support.brokers import wait_until

        query = "SELECT count(*) FROM parts WHERE NOT is_final"
        wait_until(lambda: connection.execute(query).fetchone()[0] == 1, 10, "the alarm's row")
    with pytest.raises(OrderError, match="still in the picture"):
        rig.give("mark", 5, ANNA, mark="right")


def test_a_bad_part_is_settled_once(rig: ReviewRig) -> None:
    """The second one hears who it was and when; nothing changes, nothing is recorded again."""
    assert rig.part(2)["take_out"]["outcome"] is None
    assert rig.give("settle", 2, ANNA, outcome="taken_out").text == "c-2: taken out."
    place = rig.part(2)["take_out"]
    assert (place["outcome"], place["settled_by"]) == ("taken_out", "anna")
    again = rig.give("settle", 2, BEN, outcome="good")
    assert again.is_done
    assert again.text == f"c-2 was taken out by anna at {place['settled_at']}."
    assert rig.part(2)["take_out"] == place
    assert rig.marks(2) == []
    assert events(rig) == ["settled"]


def test_a_good_one_is_a_false_alarm_as_well(rig: ReviewRig) -> None:
    rig.give("settle", 2, ANNA, outcome="good")
    assert rig.part(2)["take_out"]["outcome"] == "good"
    assert rig.marks(2) == [("anna", "false_alarm", True)]
    assert events(rig) == ["settled"]


@pytest.mark.parametrize("number", [1, 3, 4])
def test_what_is_not_bad_is_not_taken_out(rig: ReviewRig, number: int) -> None:
    with pytest.raises(OrderError, match="does not wait to be taken out"):
        rig.give("settle", number, ANNA, outcome="taken_out")


def test_verdicts_stay_what_they_were(rig: ReviewRig) -> None:
    """Whatever is said: the rows of parts are the same bytes as before."""

    def rows() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(rig.path)) as connection:
            return connection.execute("SELECT * FROM parts ORDER BY id").fetchall()

    before = rows()
    rig.give("settle", 2, ANNA, outcome="good")
    for number, marks in ALLOWED.items():
        for mark in sorted(marks):
            rig.give("mark", number, ANNA, mark=mark)
    assert rows() == before


def test_without_a_history_nothing_is_marked(tmp_path: Path) -> None:
    reviews = ReviewOrders(tmp_path / "history.sqlite", None, Pseudonyms(tmp_path / KEY_FILE))
    given = order("mark", ANNA, part=1, part_id="c-1", mark="right")
    with pytest.raises(EdgeError, match=r"\[history\] enabled = false"):
        OrderDesk("a/b/c", None, None, None, reviews)._prepare(given)  # type: ignore[arg-type]


def test_a_kill_between_audit_and_history_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    """Once each, however often it starts; the queue is settled too."""
    rig = ReviewRig(tmp_path, is_killed=True)
    rig.judge(four_parts())
    answer = rig.give("mark", 1, ANNA, mark="missed", note="a scratch")
    assert answer.is_done
    assert "as soon as its disk takes it" in answer.text
    rig.give("settle", 2, BEN, outcome="good")
    assert rig.marks(1) == []
    assert rig.part(2)["take_out"]["outcome"] is None
    rig.close()
    for _ in range(3):
        rig = ReviewRig(tmp_path)
        rig.judge([verdict(9)])  # the file is open then
        assert rig.marks(1) == [("anna", "missed", True)]
        assert rig.part(2)["take_out"]["outcome"] == "good"
        assert rig.marks(2) == [("ben", "false_alarm", True)]
        rig.close()


def test_another_audit_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """The audit was moved away: what it holds from then on is followed again."""
    rig = ReviewRig(tmp_path)
    rig.judge(four_parts())
    rig.give("mark", 1, ANNA, mark="right")
    rig.close()
    for name in ("audit.sqlite", "audit.sqlite.head"):
        (tmp_path / name).rename(tmp_path / f"old-{name}")
    rig = ReviewRig(tmp_path, is_killed=True)
    rig.judge([verdict(9)])
    rig.give("mark", 2, ANNA, mark="right")
    rig.close()
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(10)])
    assert rig.marks(1) == [("anna", "right", True)]
    assert rig.marks(2) == [("anna", "right", True)]
    rig.close()


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.review_rig import ReviewRig, author, four_parts

rig = ReviewRig(Path(sys.argv[1]))
rig.judge(four_parts())
print(rig.give("mark", 1, author(), mark="missed").text, flush=True)
rig.writer.reviewed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
rig.give("mark", 2, author(), mark="right")
"""


def test_sigkill_after_the_record(tmp_path: Path) -> None:
    """As the one above, with a process that really dies there."""
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), tests], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(9)])
    assert rig.marks(1) == [("anna", "missed", True)]
    assert rig.marks(2) == [("anna", "right", True)]
    rig.close()


def test_a_pseudonym_stands_for_a_person(rig: ReviewRig) -> None:
    """The same one each time, another for another person; the key is the account's alone."""
    rig.give("mark", 1, ANNA, mark="right")
    rig.give("mark", 2, ANNA, mark="right")
    rig.give("mark", 2, BEN, mark="right")
    shown = [d["author"] for n in (1, 2) for d in rig.part(n, shows_names=False)["decisions"]]
    assert shown[0] == shown[1] != shown[2]
    assert all(name.startswith("reviewer-") for name in shown)
    key = rig.folder / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Pseudonyms(key).of("person", "anna") == shown[0]
    key.write_text("spoilt")
    assert Pseudonyms(key).of("person", "anna") != shown[0]


def test_a_key_that_cannot_be_made_refuses_in_words(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(EdgeError, match="nothing is marked without it"):
        Pseudonyms(tmp_path / KEY_FILE).of("person", "anna")


def test_regions_and_notes_out_of_range_are_no_orders() -> None:
    good = {"part": 1, "part_id": "c-1", "mark": "right"}
    wrong: list[dict[str, object]] = [
        {"region": [[0, 0], [1, 1]]},
        {"region": [[0, 0]] * 101},
        {"region": [[0, 0], [1, 1], [-1, 0]]},
        {"region": [[0, 0], [1, 1], [float("nan"), 0]]},
        {"note": "x" * 501},
        {"note": "two\nlines"},
        {"mark": "wrong"},
        {"part": 0},
        {"defect_class": "x" * 65},
    ]
    assert order("mark", ANNA, **good)
    for values in wrong:
        with pytest.raises(ValueError, match="validation error"):
            order("mark", ANNA, **{**good, **values})
    assert json.loads(order("mark", ANNA, **good).model_dump_json())["type"] == "mark"
