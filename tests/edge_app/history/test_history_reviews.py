"""Decisions and the queue of bad parts in the history's file: found, aged, deleted, migrated."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.history_parts import START_NS, alarm, verdict
from support.review_rig import ReviewRig, author, four_parts

from edge_app.history.entries import Decision, ReviewEntry
from edge_app.history.ledger import check_history
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.schema import open_for_writing
from edge_app.history.writer import HistoryWriter
from edge_app.host.age_clock import AgeClock

TABLES = Path(__file__).parents[2] / "fixtures" / "history_before_reviews" / "tables.sql"
ANNA, BEN = author("anna"), author("ben", "engineer")


def trusted_clock(now_s: float) -> AgeClock:
    return AgeClock(lambda: now_s, lambda: 0.0, lambda: True, hold_s=0.0)


def found(rig: ReviewRig, **wanted: object) -> list[int]:
    return [part["id"] for part in HistoryReader(rig.path).parts(PartFilter(**wanted))]  # type: ignore[arg-type]


def test_parts_are_found_by_what_was_said_of_them(tmp_path: Path) -> None:
    rig = ReviewRig(tmp_path)
    rig.judge([*four_parts(), verdict(5, "NG", 3.0, camera="d")])
    rig.give("mark", 1, ANNA, mark="missed")
    rig.give("mark", 2, ANNA, mark="right")
    rig.give("mark", 2, BEN, mark="false_alarm")
    rig.give("mark", 3, ANNA, mark="missed")
    rig.give("mark", 3, ANNA, mark="right")
    assert found(rig, reviewed=True) == [3, 2, 1]
    assert found(rig, reviewed=False) == [5, 4]
    assert found(rig, mark="missed") == [1], "what was said before does not count"
    assert found(rig, mark="right") == [3, 2]
    assert found(rig, disputed=True) == [2]
    assert found(rig, reviewed=False, states=("NG",)) == [5]
    assert found(rig, reviewed=True, camera="c", states=("OK",)) == [3, 1]
    day = (START_NS, START_NS + 4 * 10**9)
    assert found(rig, reviewed=False, from_ns=day[0], to_ns=day[1]) == []
    assert found(rig, serial="3") == [3], "its number"
    assert found(rig, serial="c-3") == [], "not its part id"
    assert found(rig, serial="9" * 30) == []
    first = HistoryReader(rig.path).parts(PartFilter(reviewed=True), before=3)
    assert [part["id"] for part in first] == [2, 1]
    rig.close()


def test_figures_of_a_time(tmp_path: Path) -> None:
    """A part counts once, whoever marked it; who cannot tell does not count as a word on it."""
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(n, "NG", 3.0) for n in range(1, 7)])
    rig.judge([verdict(7)])
    rig.give("mark", 1, ANNA, mark="right")
    rig.give("mark", 2, ANNA, mark="false_alarm")
    rig.give("mark", 2, BEN, mark="false_alarm")
    rig.give("mark", 3, ANNA, mark="right")
    rig.give("mark", 3, BEN, mark="false_alarm")
    rig.give("mark", 4, BEN, mark="unsure")
    rig.give("settle", 5, BEN, outcome="good")
    rig.give("settle", 1, BEN, outcome="taken_out")
    rig.give("mark", 7, ANNA, mark="missed")
    of = HistoryReader(rig.path, shows_names=True).reviews(START_NS, START_NS + 3600 * 10**9)
    assert of.parts == 6
    assert dict(of.marks) == {"right": 2, "false_alarm": 3, "unsure": 1, "missed": 1}
    assert (of.false_alarms, of.right_alarms, of.disputed) == (2, 1, 1)
    assert dict(of.reviewers) == {"anna": 4, "ben": 4}
    assert (of.taken_out, of.good, of.gone, of.waiting) == (1, 1, 0, 4)
    none = HistoryReader(rig.path).reviews(0, START_NS)
    assert (none.parts, none.waiting) == (0, 0)
    rig.close()


def test_every_finished_bad_part_waits_and_the_oldest_is_first(tmp_path: Path) -> None:
    """Alarmed ones once they have left; good and suspect ones never."""
    rig = ReviewRig(tmp_path)
    reader = HistoryReader(rig.path)
    event = alarm(verdict(1, "NG", 3.0))
    rig.writer.expect([event])
    rig.writer.alarmed([event])
    wait_until(lambda: not rig.writer.holds_alerts(), 10)
    assert reader.waiting()[0] == 0, "it is in the picture"
    rig.judge([verdict(1, "NG", 3.0), *four_parts()[2:], verdict(9, "NG", 3.0, camera="d")])
    count, parts = reader.waiting()
    assert count == 2
    assert [part["part_id"] for part in parts] == ["c-1", "d-9"]
    assert [part["part_id"] for part in reader.waiting("d")[1]] == ["d-9"]
    assert reader.waiting("nobody") == (0, [])
    assert reader.waiting(count=1)[0] == 2
    rig.close()


def test_a_part_that_an_ended_process_left_open_waits_after_the_start(tmp_path: Path) -> None:
    rig = ReviewRig(tmp_path)
    event = alarm(verdict(1, "NG", 3.0))
    rig.writer.expect([event])
    rig.writer.alarmed([event])
    rig.close()
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(2)])
    assert [part["part_id"] for part in HistoryReader(rig.path).waiting()[1]] == ["c-1"]
    rig.close()


def test_a_list_lets_bad_parts_go_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time each is gone, without anybody's name; a person may still say what it was."""
    monkeypatch.setattr("edge_app.history.retention.SETTLE_EVERY_S", 0.0)
    now_s = [time.time()]
    clock = AgeClock(lambda: now_s[0], lambda: 0.0, lambda: False, hold_s=0.0)
    rig = ReviewRig(tmp_path, Retention(90, 64, clock, gone_after_min=60))
    reader = HistoryReader(rig.path)
    rig.judge([verdict(1, "NG", 3.0), verdict(2, "NG", 3.0)])
    time.sleep(1.2)
    assert reader.waiting()[0] == 2, "an hour has not passed"
    now_s[0] += 3601
    wait_until(lambda: reader.waiting()[0] == 0, 10, "gone")
    place = rig.part(1)["take_out"]
    assert (place["outcome"], place["settled_by"]) == ("gone", "")
    rig.give("settle", 1, ANNA, outcome="taken_out")
    place = rig.part(1)["take_out"]
    assert (place["outcome"], place["settled_by"]) == ("taken_out", "anna")
    rig.close()


def test_a_clock_that_was_set_back_keeps_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part from next week, by a clock that was wrong: it goes."""
    monkeypatch.setattr("edge_app.history.retention.SETTLE_EVERY_S", 0.0)
    back = AgeClock(lambda: time.time() - 8 * 86_400, lambda: 0.0, lambda: False, hold_s=0.0)
    rig = ReviewRig(tmp_path, Retention(90, 64, back, gone_after_min=60))
    rig.judge([verdict(1, "NG", 3.0)])
    wait_until(lambda: HistoryReader(rig.path).waiting()[0] == 0, 10, "gone")
    rig.close()


def test_what_was_said_goes_with_its_part_and_stays_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    rig = ReviewRig(tmp_path)
    rig.judge([*four_parts(), verdict(5, "NG", 3.0, camera="d"), verdict(6, "NG", 3.0)])
    rig.give("mark", 1, ANNA, mark="right")
    rig.give("mark", 1, ANNA, mark="missed")
    rig.give("mark", 2, BEN, mark="right")
    rig.give("settle", 2, ANNA, outcome="good")
    rig.close()
    later = Retention(1.0, 64, trusted_clock(time.time() + 2 * 86_400))
    rig = ReviewRig(tmp_path, later)
    wait_until(lambda: bool(HistoryReader(rig.path).deleted()), 10)
    counted = HistoryReader(rig.path).deleted_reviews()
    assert {(row["camera"], row["what"]): row["count"] for row in counted} == {
        ("c", "missed"): 1, ("c", "right"): 1, ("c", "false_alarm"): 1, ("c", "good"): 1,
        ("c", "unsettled"): 1, ("d", "unsettled"): 1,
    }  # fmt: skip
    with closing(sqlite3.connect(rig.path)) as connection:
        for table in ("decisions", "take_out", "parts"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table
    assert check_history(rig.path).is_whole
    rig.close()


def test_an_order_for_a_part_that_has_just_gone_leaves_nothing(tmp_path: Path) -> None:
    """No row without its part; the writer goes on."""
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(1)])
    ghost = Decision(7, "c-7", 1, "right", "", None, "", "person", "anna", "operator", "r", "o-1")
    assert rig.writer.reviewed(ReviewEntry("a:1", ghost), 10)
    assert HistoryReader(rig.path).decisions() == []
    rig.judge([verdict(2)])
    rig.close()


def old_file(path: Path) -> None:
    """Write a history as the builds before made them, with an OK and a bad part."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(TABLES.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO cameras VALUES (1, 'c', 'main')")
        connection.execute("INSERT INTO limits VALUES (1, 2.0, 'calibrated-1')")
        for number, state in ((1, "OK"), (2, "NG")):
            connection.execute(
                "INSERT INTO parts (camera, part_id, number, captured_ns, recorded_ns, state,"
                " reason, score, is_suspect, limit_id, views, latency_ms, is_final) VALUES"
                " (1, ?, ?, ?, ?, ?, '', 1.0, 0, 1, 1, 5.0, 1)",
                (f"c-{number}", number, START_NS, time.time_ns(), state),
            )
        connection.commit()


def test_a_file_of_the_build_before_reads_as_one_without_reviews(tmp_path: Path) -> None:
    """Before anything has opened it for writing."""
    path = tmp_path / "history.sqlite"
    old_file(path)
    before = path.read_bytes()
    reader = HistoryReader(path)
    assert [part["part_id"] for part in reader.parts(PartFilter())] == ["c-2", "c-1"]
    assert reader.parts(PartFilter())[0]["decisions"] == []
    assert reader.parts(PartFilter(reviewed=True)) == []
    assert reader.waiting() == (0, [])
    assert path.read_bytes() == before


def test_a_file_of_the_build_before_gains_what_it_lacks(tmp_path: Path) -> None:
    """All its parts stay; bad ones of that time do not wait; new ones do, and marks are kept."""
    path = tmp_path / "history.sqlite"
    old_file(path)
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(3, "NG", 3.0)])
    assert [part["part_id"] for part in HistoryReader(path).waiting()[1]] == ["c-3"]
    rig.give("mark", 2, ANNA, mark="false_alarm")
    assert rig.marks(2) == [("anna", "false_alarm", True)]
    assert rig.part(1)["part_id"] == "c-1"
    assert check_history(path).is_whole
    rig.close()


def without_acceptance(path: Path) -> None:
    """Make a file one of the first builds with reviews, whose decisions had no acceptance."""
    with closing(sqlite3.connect(path)) as connection:
        for column in ("accepted_ns", "accepted_by", "accepted_pseudonym", "acceptance"):
            connection.execute(f"ALTER TABLE decisions DROP COLUMN {column}")
        connection.commit()


def test_marks_of_the_first_builds_are_proposals(tmp_path: Path) -> None:
    """Read before anything has opened the file for writing, and after."""
    rig = ReviewRig(tmp_path)
    rig.judge(four_parts())
    rig.give("mark", 2, ANNA, mark="right")
    rig.give("mark", 3, ANNA, mark="missed")
    rig.close()
    without_acceptance(rig.path)
    reader = HistoryReader(rig.path)
    assert [d["acceptance"] for d in reader.decisions(acceptance="open")] == [None, None]
    assert [p["id"] for p in reader.parts(PartFilter(mark="missed"))] == [3]
    assert reader.parts(PartFilter(reviewed=True))[1]["decisions"][0]["mark"] == "right"
    rig = ReviewRig(tmp_path)
    rig.judge([verdict(9)])
    (mark,) = rig.part(2)["decisions"]
    rig.give("accept", 2, BEN, accepted=True, decision=mark["id"])
    assert rig.part(2)["decisions"][0]["acceptance"] == "accepted"
    rig.close()


def test_the_same_tables_from_an_old_file_and_a_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    old_file(old)

    def schema(path: Path) -> set[tuple[str, str]]:
        with closing(open_for_writing(path)) as connection:
            query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            return set(connection.execute(query).fetchall())

    assert schema(old) == schema(new)


def test_a_full_queue_of_entries_still_takes_what_people_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are few of them, and the audit has them: they are not counted as lost."""
    monkeypatch.setattr("edge_app.history.writer.MAX_WAITING", 1)
    writer = HistoryWriter(tmp_path / "history.sqlite", {"c": "main"}, Retention(90, 64), {})
    writer.finished([verdict(1), verdict(2)])
    said = ReviewEntry("a:1")
    writer._put([said], is_urgent=True)
    assert said in writer._waiting
    writer.start()
    assert said.is_written.wait(10)
    writer.close()
