"""Questions to the history: filters, pages, hours, scores, and the command that asks them."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.app_config import edge_app, write_config
from support.history_parts import START_NS, verdict
from support.review_rig import ReviewRig, author

from edge_app.errors import HistoryError
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.review_rows import delete_reviews_to
from edge_app.history.schema import open_for_writing
from edge_app.history.times import time_text
from edge_app.history.writer import HistoryWriter
from edge_app.records import Evidence

HOUR_NS = 3600 * 10**9


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a history of 1,200 parts of two cameras, 12 of them bad, 3 suspect."""
    folder = tmp_path_factory.mktemp("history") / "state"
    writer = HistoryWriter(
        folder / "history.sqlite", {"c": "main", "d": "b"}, Retention(90, 64), {}
    )
    writer.start()
    for number in range(1, 601):
        for camera in "cd":
            is_bad = number % 100 == 0
            part = verdict(number, "NG" if is_bad else "OK", 3.0 if is_bad else 1.0, camera=camera)
            if camera == "c" and number in (7, 8, 9):
                part = replace(part, is_suspect=True, score=1.9)
            writer.finished([part])
    writer.finished([replace(verdict(601, "NOT_INSPECTED", None), reason="=cmd()")])
    writer.kept_part(verdict(100), ("ng", "random"), Evidence("http://d/evidence/1.jpg", "ab" * 32))
    writer.kept_part(verdict(8), ("suspect",), Evidence("http://d/evidence/2.jpg", "ab" * 32))
    writer.close()
    return folder


@pytest.fixture
def reader(state: Path) -> HistoryReader:
    return HistoryReader(state / "history.sqlite")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (PartFilter(), 1201),
        (PartFilter(camera="c"), 601),
        (PartFilter(camera="nobody"), 0),
        (PartFilter(states=("NG",)), 12),
        (PartFilter(states=("NG", "NOT_INSPECTED")), 13),
        (PartFilter(states=("OK", "NG")), 1200),
        (PartFilter(suspects=True), 3),
        (PartFilter(part="d-17"), 1),
        (PartFilter(kept_for="any"), 2),
        (PartFilter(kept_for="random"), 1),
        (PartFilter(kept_for="ng", states=("NG",), camera="c"), 1),
        (PartFilter(kept_for="ng", states=("NG",), camera="d"), 0),
        (PartFilter(kept_for="suspect", suspects=True, from_ns=START_NS), 1),
        (PartFilter(kept_for="near_miss"), 0),
        (PartFilter(kept_for="n"), 0),
        (PartFilter(defect_class="crack"), 12),
        (PartFilter(defect_class="crac"), 0),
        (PartFilter(defect_class='crack", "x'), 0),
        (PartFilter(camera="c", states=("NG",), from_ns=START_NS + 250 * 10**9), 4),
        (PartFilter(from_ns=START_NS, to_ns=START_NS + 3 * 10**9), 4),
    ],
)
def test_filters(reader: HistoryReader, wanted: PartFilter, count: int) -> None:
    """Each part that fits, once, the newest first, over all pages."""
    found = [part["id"] for part in reader.every_part(wanted)]
    assert len(found) == count
    assert found == sorted(set(found), reverse=True)


def test_hours_and_scores(reader: HistoryReader) -> None:
    """Counts of an hour are those of its parts, and scores are shares of the limit."""
    counts = reader.counts(START_NS, START_NS + HOUR_NS, "c")
    assert sum(row["ok"] + row["ng"] + row["not_inspected"] for row in counts) == 601
    assert sum(row["suspect"] for row in counts) == 3
    assert dict(reader.histogram(START_NS, START_NS + HOUR_NS, "c")) == {0.5: 591, 0.95: 3, 1.5: 6}
    assert reader.histogram(0, HOUR_NS) == []


def test_there_is_none(tmp_path: Path) -> None:
    """A device that has not recorded anything says so."""
    with pytest.raises(HistoryError, match="has not recorded any part"):
        HistoryReader(tmp_path / "history.sqlite").parts(PartFilter())


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_123_456_789, "2026-09-21T14:13:20.123Z"),
        (2**70, f"{2**70} ns"),
        (-(10**9), "1969-12-31T23:59:59.000Z"),
    ],
)
def test_times(ns: int, text: str) -> None:
    """Times are UTC; one that no calendar has is no error."""
    assert time_text(ns) == text


def test_the_command(state: Path, tmp_path: Path) -> None:
    """list, check and export of a device's history; a bad target is one sentence."""
    config = write_config(tmp_path, "folder:in", 1883)
    assert "state_dir" in config.read_text()
    (tmp_path / "state").symlink_to(state)
    listed = edge_app("history", "list", "--config", str(config), "--state", "NG", "--count", "3")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == 3
    assert "crack" in listed.stdout
    checked = edge_app("history", "check", "--config", str(config), "--no-pictures")
    assert checked.returncode == 0, checked.stdout
    assert "c: 601 parts" in checked.stdout
    assert "whole" in checked.stdout
    out = tmp_path / "parts.csv"
    args = ("history", "export", "--config", str(config), "--csv", str(out))
    assert edge_app(*args, "--camera", "c").returncode == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 601
    assert rows[0]["reason"] == "'=cmd()"  # a spreadsheet must not run it
    assert json.loads(rows[1]["defects"])[0]["class"] == "crack"
    again = edge_app(*args)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    lines = edge_app("history", "export", "--config", str(config), "--jsonl", "-", "--suspects")
    assert [json.loads(line)["number"] for line in lines.stdout.splitlines()] == [9, 8, 7]


def test_a_hole_is_found(tmp_path: Path) -> None:
    """A number that nothing accounts for: exit code 1 and its name."""
    writer = HistoryWriter(tmp_path / "state" / "history.sqlite", {"c": "main"},
                           Retention(90, 64), {})  # fmt: skip
    writer.start()
    writer.finished([verdict(1), verdict(2), verdict(5)])
    writer.close()
    config = write_config(tmp_path, "folder:in", 1883)
    checked = edge_app("history", "check", "--config", str(config))
    assert checked.returncode == 1
    assert "c: numbers 3 to 4 are missing" in checked.stdout


@pytest.mark.parametrize(("ns", "count"), [(10**21, 0), (-(10**21), 1201)])
def test_times_that_no_file_can_hold_are_compared_all_the_same(
    reader: HistoryReader, ns: int, count: int
) -> None:
    assert sum(1 for _ in reader.every_part(PartFilter(from_ns=ns))) == count
    assert sum(1 for _ in reader.every_part(PartFilter(to_ns=ns))) == 1201 - count


def test_the_command_with_what_people_said(tmp_path: Path) -> None:
    """list shows marks, filters take them, export has them with a pseudonym unless names are
    switched on; check counts what went with deleted parts."""
    rig = ReviewRig(tmp_path / "state")
    rig.judge([verdict(1), verdict(2, "NG", 3.0), verdict(3, "NG", 3.0)])
    rig.give("mark", 1, author(), mark="missed", note="=cmd()")
    rig.give("settle", 2, author(), outcome="good")
    number = rig.part(2)["decisions"][0]["id"]
    rig.give("accept", 2, author("eva", "engineer"), accepted=True, decision=number)
    rig.close()
    config = write_config(tmp_path, "folder:in", 1883)
    common = ("--config", str(config))

    def listed(*args: str) -> list[str]:
        done = edge_app("history", "list", *common, *args)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert [line.endswith("[marked missed]") for line in listed("--mark", "missed")] == [True]
    assert len(listed("--reviewed", "yes")) == 2
    (line,) = listed("--reviewed", "no")
    assert "c-3" in line
    assert listed("--disputed") == ["no such part is recorded."]
    assert "c-2" in listed("--serial", "2")[0]
    for is_named in (False, True):
        if is_named:
            more = "\n[people]\nnames_in_statistics = true\n"
            config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
        done = edge_app("history", "export", *common, "--csv", "-")
        rows = list(csv.DictReader(done.stdout.splitlines()))
        assert [row["marks"] for row in rows] == ["", "false_alarm", "missed"]
        assert [row["take_out"] for row in rows] == ["waiting", "good", ""]
        assert json.loads(rows[2]["decisions"])[0]["note"] == "=cmd()"
        assert [row["acceptances"] for row in rows] == ["", "accepted", "open"]
        assert [*rows[0]][-3:] == ["acceptances", "accepted_by", "golden"]
        assert (rows[1]["accepted_by"] == "eva") is is_named
        assert (rows[1]["reviewers"] == "anna") is is_named
        assert is_named or rows[1]["reviewers"].startswith("reviewer-")
    with closing(open_for_writing(rig.path)) as connection:
        delete_reviews_to(connection, 2)
    checked = edge_app("history", "check", *common, "--no-pictures")
    assert "c: of the deleted ones people said, or left: 1 false alarm, 1 good, 1 missed" in (
        checked.stdout
    )
