"""The alarm store: numbers without gaps, nothing lost, clear words when it cannot."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path

import pytest
from support.alert_drafts import as_draft, draft, gap_event
from support.outbox_damage import open_connection

from edge_app.errors import OutboxError
from edge_app.mqtt.outbox import Outbox, StoredAlert


def waiting(outbox: Outbox) -> list[StoredAlert]:
    return outbox.next_batch(1_000_000)


def numbers(outbox: Outbox) -> list[int]:
    return [json.loads(alert.body)["source_number"] for alert in waiting(outbox)]


def test_numbers_grow_by_one_over_restarts(tmp_path: Path) -> None:
    """seq goes on where it stopped, even when everything was delivered before the restart."""
    path = tmp_path / "outbox.db"
    first = Outbox(path, reserve_bytes=0)
    assert first.append([draft(1), draft(2)], "cam1", 2) == [1, 2]
    first.delete(1, 2)
    first.close()
    second = Outbox(path, reserve_bytes=0)
    assert second.append([draft(3)], "cam1", 3) == [3]
    assert (first.session, second.session) == (1, 2)
    second.close()


def test_alerts_come_back_in_order_and_as_they_were(tmp_path: Path) -> None:
    """next_batch returns the oldest first, unchanged, and after a given number the rest."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    alerts = [draft(n) for n in range(5)]
    outbox.append(alerts)
    assert [a.body for a in outbox.next_batch(3)] == [a.model_dump_json() for a in alerts[:3]]
    assert [a.seq for a in outbox.next_batch(3, after_seq=3)] == [4, 5]
    outbox.delete(1, 3)
    assert [a.seq for a in waiting(outbox)] == [2, 4, 5]
    assert outbox.depth() == 3
    outbox.close()


def test_progress_advances_with_the_alerts_and_never_back(tmp_path: Path) -> None:
    """The last finished number is stored per camera, also for parts without an alert."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    assert outbox.last_finished("cam1") is None
    outbox.append([], "cam1", 7)
    outbox.append([draft(3, "cam2")], "cam2", 3)
    outbox.append([], "cam1", 5)
    outbox.close()
    again = Outbox(tmp_path / "o.db", reserve_bytes=0)
    assert (again.last_finished("cam1"), again.last_finished("cam2")) == (7, 3)
    again.close()


def test_an_alert_that_cannot_be_stored_does_not_advance_anything(tmp_path: Path) -> None:
    """Alerts and progress are one transaction: a failure in its middle undoes both."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    outbox.append([draft(1)], "cam1", 1)
    not_a_number = 1 << 70
    with pytest.raises(OverflowError):
        outbox.append([draft(2)], "cam1", not_a_number)
    assert (outbox.last_finished("cam1"), outbox.depth(), outbox.last_seq) == (1, 1, 1)
    assert outbox.append([draft(2)], "cam1", 2) == [2]
    outbox.close()


def test_one_thread_appends_while_another_reads_and_deletes(tmp_path: Path) -> None:
    """Line and publisher share the outbox: every alert is seen once, in order."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    writer = threading.Thread(
        target=lambda: [outbox.append([draft(n)], "cam1", n) for n in range(100)]
    )
    writer.start()
    seen: list[int] = []
    while len(seen) < 100:
        batch = outbox.next_batch(7)
        outbox.delete(*(alert.seq for alert in batch))
        seen += [alert.seq for alert in batch]
    writer.join()
    assert seen == list(range(1, 101))
    assert outbox.depth() == 0
    outbox.close()


def test_at_the_limit_further_alerts_are_counted_and_told_as_a_gap(tmp_path: Path) -> None:
    """Nothing old is dropped and inspection never waits: the surplus becomes one gap per camera."""
    outbox = Outbox(tmp_path / "o.db", max_messages=2, reserve_bytes=0)
    assert outbox.append([draft(1), draft(2), draft(3)], "cam1", 3) == [1, 2]
    assert outbox.append([draft(4), as_draft(gap_event(5, 7))], "cam1", 7) == []
    assert outbox.append([draft(9, "cam2")], "cam2", 9) == []
    assert outbox.last_finished("cam1") == 7
    assert numbers(outbox) == [1, 2]
    assert outbox.health().counted_only == 6
    outbox.delete(1)
    outbox.delete(2)
    gaps = [json.loads(alert.body) for alert in waiting(outbox)]
    assert [alert.seq for alert in waiting(outbox)] == [3, 4]
    nowhere = {"first_seq": None, "last_seq": None, "reason": "outbox_full"}
    assert [(g["camera"], g["event"], g["gap"]) for g in gaps] == [
        ("cam1", "gap", {"first_number": 3, "last_number": 7, "count": 5} | nowhere),
        ("cam2", "gap", {"first_number": 9, "last_number": 9, "count": 1} | nowhere),
    ]
    assert outbox.health().counted_only == 0
    outbox.close()


def test_counted_alerts_survive_a_restart(tmp_path: Path) -> None:
    """What is only counted is on disk too, and is told once there is room."""
    outbox = Outbox(tmp_path / "o.db", max_messages=1, reserve_bytes=0)
    outbox.append([draft(1), draft(2)], "cam1", 2)
    outbox.close()
    again = Outbox(tmp_path / "o.db", max_messages=5, reserve_bytes=0)
    assert again.health().counted_only == 1
    assert again.append([draft(3)], "cam1", 3) == [3]
    assert [json.loads(a.body)["event"] for a in waiting(again)] == ["new", "gap", "new"]
    again.close()


def test_a_file_that_is_no_database_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A corrupt outbox never stops inspection: it is kept, numbering goes on above it."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0)
    last = outbox.append([draft(n) for n in range(3)])[-1]
    outbox.close()
    path.write_bytes(b"this is no database" * 100)
    with caplog.at_level(logging.ERROR):
        again = Outbox(path, reserve_bytes=0)
    assert "kept as o.db.corrupt-1" in again.note
    assert again.note == again.health().note
    assert (tmp_path / "o.db.corrupt-1").read_bytes().startswith(b"this is no database")
    assert again.append([draft(9)])[0] > last
    assert again.session == 2
    again.close()


def test_a_damaged_page_costs_only_what_cannot_be_read(tmp_path: Path) -> None:
    """Readable alerts are taken over with their numbers from a file with a broken page."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0)
    outbox.append([draft(n) for n in range(200)], "cam1", 199)
    outbox.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 20_000)
        file.write(b"\xff" * 12_000)
    again = Outbox(path, reserve_bytes=0)
    kept = [alert.seq for alert in waiting(again)]
    assert "alerts taken over" in again.note
    gone = sorted(set(range(1, 201)) - set(kept))
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert gone[-1] < 200  # what lies behind the broken page is taken over too
    assert 100 < len(kept) < 200
    assert again.last_finished("cam1") == 199
    assert again.append([draft(200)])[0] > 200
    again.close()


def test_damage_found_while_running_is_repaired_while_running(tmp_path: Path) -> None:
    """An append that finds the file malformed goes on in a new one."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0)
    outbox.append([draft(n) for n in range(300)], "cam1", 299)
    connection = open_connection(outbox)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA cache_size=1")
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"\x00" * path.stat().st_size)
    seqs = outbox.append([draft(300)], "cam1", 300)
    assert seqs[0] > 300
    assert "corrupt" in outbox.note
    assert outbox.session == 1
    assert outbox.last_finished("cam1") == 300
    outbox.close()


def test_a_lost_outbox_does_not_begin_at_one_again(tmp_path: Path) -> None:
    """When the database is gone but the high-water mark is not, no number is used twice."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0)
    outbox.append([draft(1)])
    outbox.close()
    for file in tmp_path.glob("o.db*"):
        if not file.name.endswith("highwater"):
            file.unlink()
    again = Outbox(path, reserve_bytes=0)
    assert again.append([draft(2)])[0] > 1
    assert again.session == 2
    again.close()


def test_a_second_process_is_told_that_the_outbox_is_in_use(tmp_path: Path) -> None:
    """Two apps must not share an outbox: the second gets a clear error."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    with pytest.raises(OutboxError, match="is in use by another process"):
        Outbox(tmp_path / "o.db", reserve_bytes=0)
    assert outbox.append([draft(1)]) == [1]
    outbox.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which path and what to check."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="check that the folder exists"):
        Outbox(tmp_path / "file" / "o.db")


def test_an_outbox_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    """An unknown format is refused, not moved aside."""
    path = tmp_path / "o.db"
    Outbox(path, reserve_bytes=0).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(OutboxError, match="format 99 is newer"):
        Outbox(path, reserve_bytes=0)
    assert not list(tmp_path.glob("*corrupt*"))


def test_rescued_alerts_go_out_where_the_high_water_mark_is_lost_too(tmp_path: Path) -> None:
    """Two faults at once: what could be read is sent, and new alerts come behind it."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0)
    outbox.append([draft(n) for n in range(250)])
    outbox.delete(*range(1, 201))
    outbox.close()
    damaged = bytearray(path.read_bytes())
    damaged[-4096:-4000] = b"\xff" * 96  # the last page
    path.write_bytes(damaged)
    for rest in (".highwater", ".last", "-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    again = Outbox(path, reserve_bytes=0)
    assert "alerts taken over" in again.note
    rescued = [alert.seq for alert in again.next_batch(100)]
    assert rescued
    assert rescued == list(range(201, 201 + len(rescued)))
    assert again.append([draft(300)]) == [rescued[-1] + 1]
    assert again.next_batch(100)[-1].seq == rescued[-1] + 1
    again.close()
