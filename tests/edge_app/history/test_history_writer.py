"""The history's writer: nothing alarmed is missing, nothing odd stops it, every loss is a row."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.brokers import wait_until
from support.history_parts import alarm, gap, kept, verdict

from edge_app.errors import HistoryError
from edge_app.history.entries import PartEntry
from edge_app.history.ledger import check_history
from edge_app.history.opening import LeftOver
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.writer import MAX_WAITING, HistoryWriter
from edge_app.host.age_clock import AgeClock
from edge_app.records import Evidence
from edge_app.store import free_space

STATVFS = (
    "f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail",
    "f_flag", "f_namemax",
)  # fmt: skip
SLOTS = {"c": "main", "d": "other"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite"


@contextmanager
def writing(
    path: Path, last: dict[str, int] | None = None, retention: Retention | None = None
) -> Iterator[HistoryWriter]:
    writer = HistoryWriter(path, SLOTS, retention or Retention(90, 64), last or {})
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def parts(path: Path) -> list[dict[str, object]]:
    """Return all parts, the oldest first."""
    return [*HistoryReader(path).every_part(PartFilter())][::-1]


def test_a_part_is_there_with_everything(path: Path) -> None:
    """What people ask later: verdict, score, limit, model, times, defects, picture, alarm."""
    bad = verdict(2, "NG", 5.0)
    with writing(path) as writer:
        writer.finished([verdict(1)])
        writer.expect([alarm(bad)])
        writer.alarmed([alarm(bad)])
        writer.kept(kept(alarm(bad)))
        writer.finished([bad])
    good, found = parts(path)
    assert (good["number"], good["state"], good["alarm_id"]) == (1, "OK", None)
    expected = {
        "camera": "c", "slot": "main", "part_id": "c-2", "number": 2, "state": "NG", "score": 5.0,
        "threshold": 2.0, "threshold_id": "calibrated-1", "product": "demo", "serial": 3,
        "bundle_sha256": "ab" * 32, "precision": "fp32", "views": 1, "latency_ms": 12.35,
        "alarm_id": "alarm-c-2", "evidence_url": "http://d/evidence/1.jpg",
        "evidence_sha256": "cd" * 32, "is_final": True, "is_suspect": False,
        "kept_for": "ng,random",
        "defects": [{"class": "crack", "box": [0.0, 0.0, 9.0, 9.0], "peak": 3.0, "weak": False}],
        "captured_at": "2026-09-21T14:13:22.000Z",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_the_last_of_the_disk_is_left_to_alerts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly full: the history writes nothing and says so, holds no alert, and catches up."""
    told: list[str | None] = []
    bad = verdict(2, "NG", 5.0)
    writer = HistoryWriter(path, SLOTS, Retention(90, 64), {}, told.append)
    writer.start()
    writer.finished([verdict(1)])
    wait_until(lambda: writer.health().parts == 1, 10)
    found = os.statvfs(path.parent)
    fields = dict(zip(STATVFS, found, strict=False))
    little = SimpleNamespace(**{**fields, "f_bavail": int(0.01 * found.f_blocks)})
    with monkeypatch.context() as patch:
        patch.setattr(free_space, "LEFT_FREE_BYTES", 2**60)
        patch.setattr(os, "statvfs", lambda _: little)
        writer.expect([alarm(bad)])
        writer.alarmed([alarm(bad)])
        writer.finished([bad])
        wait_until(lambda: told != [], 10)
        assert "left to alerts" in str(told[0])
        assert not writer.holds_alerts()
        assert len(parts(path)) == 1
    writer.close()
    assert [part["number"] for part in parts(path)] == [1, 2]
    assert check_history(path).is_whole


@pytest.mark.parametrize("is_in_one_batch", [True, False])
def test_a_picture_before_its_parts_row_is_noted(path: Path, is_in_one_batch: bool) -> None:
    """The evidence worker may be faster than inspection: the row takes the picture along."""
    bad = verdict(1, "NG", 5.0)
    with writing(path) as writer:
        writer.kept(kept(alarm(bad)))
        if not is_in_one_batch:
            wait_until(lambda: not writer.health().waiting, 10)
        writer.expect([alarm(bad)])
        writer.alarmed([alarm(bad)])
        writer.finished([bad])
        writer.finished([verdict(2)])
    found, other = parts(path)
    assert (found["evidence_sha256"], found["kept_for"]) == ("cd" * 32, "ng,random")
    assert other["evidence_sha256"] is None


def test_a_file_of_the_first_builds_gains_what_is_new(path: Path) -> None:
    """Parts without the reason for their picture: readable once a writer has opened it."""
    with writing(path) as writer:
        writer.finished([verdict(1)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP INDEX parts_kept")
        connection.execute("ALTER TABLE parts DROP COLUMN kept_for")
    with pytest.raises(HistoryError, match="kept_for"):
        parts(path)
    with writing(path) as writer:
        writer.kept_part(verdict(1), ("random",), Evidence("http://d/evidence/2.jpg", "ab" * 32))
    assert [part["kept_for"] for part in parts(path)] == ["random"]
    assert check_history(path).is_whole


def test_an_alert_stays_until_its_row_is_committed(path: Path) -> None:
    """From before the alarm is stored until the row is in the file, and no longer."""
    bad = verdict(1, "NG", 5.0)
    with writing(path) as writer:
        assert writer.holds_alerts()  # those of before, until it is open and has looked
        wait_until(lambda: not writer.holds_alerts(), 10)
        writer.expect([alarm(bad), gap(5, 6)])
        assert writer.holds_alerts()
        writer.alarmed([alarm(bad), gap(5, 6)])
        wait_until(lambda: not writer.holds_alerts(), 10)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            assert reader.execute("SELECT part_id, is_final FROM parts").fetchall() == [("c-1", 0)]


def test_a_killed_process_leaves_its_alarms_and_says_what_it_lost(path: Path) -> None:
    """An alarm's row that was never finished stays, and counts; later numbers are declared lost."""
    writer = HistoryWriter(path, SLOTS, Retention(90, 64), {})
    writer.start()
    writer.finished([verdict(1)])
    bad = verdict(2, "NG", 5.0)
    writer.expect([alarm(bad)])
    writer.alarmed([alarm(bad)])
    wait_until(lambda: not writer.holds_alerts(), 10)
    writer.close()  # parts 3 to 5 were judged and are not here
    with writing(path, {"c": 5}) as writer:
        writer.finished([verdict(6)])
    assert [(p["number"], p["state"], p["is_final"]) for p in parts(path)] == [
        (1, "OK", True), (2, "NG", True), (6, "OK", True)
    ]  # fmt: skip
    (loss,) = [g for g in HistoryReader(path).gaps() if g["kind"] == "loss"]
    assert (loss["first_number"], loss["last_number"], loss["count"]) == (3, 5, 3)
    assert loss["reason"] == "not_recorded"
    (camera,) = check_history(path).cameras
    assert (camera.parts, camera.declared, camera.holes) == (3, 3, [])
    (hour,) = HistoryReader(path).counts(0, 2**62)
    assert (hour["ok"], hour["ng"]) == (2, 1)


def test_alarms_that_wait_without_a_row_get_one(path: Path) -> None:
    """A kill between the outbox and the row: what the alert knows is recorded, and is no loss."""
    with writing(path) as writer:
        writer.finished([verdict(1), verdict(2, "NG", 5.0)])
    odd = replace(verdict(10**30, "NG", 5.0), threshold=float("nan"))  # costs itself
    waiting = [PartEntry(verdict(n, "NG", 5.0), f"alarm-c-{n}") for n in (2, 4, 6)]
    waiting[1:1] = [PartEntry(odd, "odd"), PartEntry(verdict(10**30, "NG", 5.0), "huge")]
    writer = HistoryWriter(
        path, SLOTS, Retention(90, 64), {"c": 7}, left_over=LeftOver(waiting=lambda: waiting)
    )
    writer.start()
    writer.finished([verdict(8)])
    writer.close()
    assert [p["number"] for p in parts(path)] == [1, 2, 4, 6, 8]
    assert parts(path)[2]["alarm_id"] == "alarm-c-4"
    losses = [g for g in HistoryReader(path).gaps() if g["kind"] == "loss"]
    assert [(g["first_number"], g["last_number"]) for g in losses] == [(7, 7), (5, 5), (3, 3)]
    (camera,) = check_history(path).cameras
    assert (camera.parts, camera.declared, camera.hole_count, camera.restarts) == (5, 3, 0, 0)


def test_an_update_changes_the_same_row(path: Path) -> None:
    """Further views of one part are one row; the final verdict is the last word."""
    first, second = verdict(1, "NG", 3.0), verdict(1, "NG", 7.0)
    with writing(path) as writer:
        for event in (alarm(first), alarm(second, "update"), alarm(second, "end")):
            writer.expect([event])
            writer.alarmed([event])
        writer.finished([replace(second, views_judged=3)])
    (part,) = parts(path)
    assert (part["score"], part["views"], part["alarm_id"]) == (7.0, 3, "alarm-c-1")


@pytest.mark.parametrize(
    "odd",
    [
        verdict(10**30),
        verdict(2, name="\ud800 lone surrogate"),
        replace(verdict(2), source_name="caf\udce9.png"),
        replace(verdict(2), threshold=float("nan")),
        replace(verdict(2), score=float("inf")),
        replace(verdict(2), captured_at_ns=2**70),
        replace(verdict(2), captured_at_ns=-(10**18)),
        replace(verdict(2), model=None),
        replace(verdict(2), threshold=0.0),
        replace(verdict(2), latency_ms=float("nan")),
    ],
)
def test_an_odd_part_costs_itself(path: Path, odd: object) -> None:
    """Its neighbours are recorded; it is there too, or it is counted as lost."""
    with writing(path) as writer:
        writer.finished([verdict(1), odd, verdict(3)])  # type: ignore[list-item]
        wait_until(lambda: writer.health().parts + writer.health().lost == 3, 10)
        assert writer.health().trouble == ""
    numbers = [p["number"] for p in parts(path)]
    assert numbers[0] == 1
    assert numbers[-1] == 3
    losses = [g for g in HistoryReader(path).gaps() if g["kind"] == "loss"]
    assert len(numbers) + sum(g["count"] for g in losses) == 3


def test_a_full_queue_is_counted_and_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk takes nothing, alarms are not held, and what has no room becomes a row."""
    told: list[str | None] = []
    path.parent.mkdir(parents=True)
    path.mkdir()  # a folder in the file's place: nothing can be opened
    monkeypatch.setattr("edge_app.history.writer.RETRY_S", 0.05)
    writer = HistoryWriter(path, SLOTS, Retention(90, 64), {}, told.append)
    writer.start()
    wait_until(lambda: bool(told), 10)
    assert told[0] is not None
    assert "the history cannot be written" in told[0]
    bad = verdict(0, "NG", 5.0)
    writer.expect([alarm(bad)])
    assert not writer.holds_alerts()
    writer.alarmed([alarm(bad)])
    writer.finished([verdict(number) for number in range(1, MAX_WAITING + 11)])
    assert writer.health().lost == 11
    path.rmdir()
    wait_until(lambda: told[-1] is None and not writer.health().waiting, 60)
    writer.close()
    (camera,) = check_history(path).cameras
    assert (camera.parts, camera.declared, camera.hole_count) == (MAX_WAITING, 11, 0)


def test_a_damaged_file_is_kept_and_a_new_one_begins(path: Path) -> None:
    """Found at the start or in the middle: the bytes stay, the loss is a row, work goes on."""
    with writing(path) as writer:
        writer.finished([verdict(n) for n in range(200)])
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with writing(path) as writer:
        writer.finished([verdict(200)])
    assert [p["number"] for p in parts(path)] == [200]
    assert [g["reason"] for g in HistoryReader(path).gaps()] == ["damaged"]
    (aside,) = path.parent.glob("history.sqlite.corrupt-?")
    assert aside.stat().st_size == len(whole)


def test_a_later_releases_file_is_left_alone(path: Path) -> None:
    """Nothing is written into it; the reason says what to do."""
    with writing(path) as writer:
        writer.finished([verdict(1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    told: list[str | None] = []
    writer = HistoryWriter(path, SLOTS, Retention(90, 64), {}, told.append)
    writer.start()
    wait_until(lambda: bool(told), 10)
    writer.close()
    assert "Update this device" in str(told[0])
    assert path.read_bytes() == before


def trusted_clock(now_s: float) -> AgeClock:
    return AgeClock(lambda: now_s, lambda: 0.0, lambda: True, hold_s=0.0)


def test_old_parts_go_and_stay_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted ones leave first, last and counts; the account has no hole."""
    monkeypatch.setattr("edge_app.history.retention.PIECE", 10)
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    with writing(path) as writer:
        for number in range(1, 31):
            state = "NG" if number % 10 == 0 else "OK"
            writer.finished([verdict(number, state, 5.0 if state == "NG" else 1.0)])
    later = Retention(1.0, 64, trusted_clock(time.time() + 2 * 86_400))
    with writing(path, retention=later) as writer:
        wait_until(lambda: bool(HistoryReader(path).deleted()), 10)
        wait_until(lambda: writer.health().parts == 0, 10)
        writer.finished([verdict(31)])
    (gone,) = HistoryReader(path).deleted()
    assert (gone["first_number"], gone["last_number"], gone["ok"], gone["ng"]) == (1, 30, 27, 3)
    (camera,) = check_history(path).cameras
    assert (camera.parts, camera.deleted, camera.hole_count) == (1, 30, 0)


def test_nothing_goes_for_its_age_by_a_clock_that_may_be_wrong(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year ahead, unsynchronised: all stays."""
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    ahead = AgeClock(lambda: time.time() + 4e7, lambda: 0.0, lambda: False, hold_s=0.0)
    with writing(path, retention=Retention(1.0, 64, ahead)) as writer:
        writer.finished([verdict(1)])
        time.sleep(1.2)
    assert len(parts(path)) == 1


def test_too_large_a_file_loses_its_oldest_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock says; the newest stay."""
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("edge_app.history.retention.PIECE", 500)
    with writing(path, retention=Retention(90, 1)) as writer:
        writer.finished([verdict(number) for number in range(8000)])
        wait_until(lambda: not writer.health().waiting, 30)
        wait_until(lambda: 0 < writer.health().parts < 7000, 30)
        time.sleep(1.0)
    left = parts(path)
    assert left[-1]["number"] == 7999
    (camera,) = check_history(path).cameras
    assert camera.parts + camera.deleted == 8000
    assert camera.hole_count == 0


def test_a_fault_in_deleting_is_told_and_stops_no_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is said once, parts are written on, and its end is said."""
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    is_broken = [False]

    def no_room(_folder: Path) -> None:
        raise OSError("no room")

    def now_s() -> float:
        if is_broken[0]:
            raise AttributeError("no such clock")
        return time.time()

    told: list[str | None] = []
    clock = AgeClock(now_s, lambda: 0.0, lambda: True, hold_s=0.0)
    writer = HistoryWriter(path, SLOTS, Retention(1.0, 64, clock), {}, on_trouble=told.append)
    is_broken[0] = True
    writer.start()
    writer.finished([verdict(1)])
    wait_until(lambda: bool(told), 10, "the fault is said")
    writer.finished([verdict(2)])
    wait_until(lambda: len(parts(path)) == 2, 10, "parts are written on")
    fault = str(told[0])
    with monkeypatch.context() as full:
        full.setattr("edge_app.history.writer.check_room", no_room)
        writer.finished([verdict(3)])
        wait_until(lambda: "no room" in str(told[-1]), 10, "a worse one is said")
    wait_until(lambda: told[-1] == fault, 30, "the first, which still holds, is said again")
    is_broken[0] = False
    wait_until(lambda: told[-1] is None, 10, "its end is said")
    writer.close()
    assert len(parts(path)) == 3
    assert fault.startswith("old parts are not deleted from the history (no such clock)")


def test_old_parts_go_while_a_line_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment without a new part: the oldest are deleted all the same."""
    monkeypatch.setattr("edge_app.history.retention.LOOK_EVERY_S", 0.0)
    with writing(path) as writer:
        writer.finished([verdict(number) for number in range(200)])
    later = Retention(1.0, 64, trusted_clock(time.time() + 2 * 86_400))
    number = 200
    with writing(path, retention=later) as writer:
        until_s = time.monotonic() + 10
        while not HistoryReader(path).deleted():
            assert time.monotonic() < until_s, "nothing went within 10 s"
            writer.finished([verdict(number)])
            number += 1
            time.sleep(0.05)
