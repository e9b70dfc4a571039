"""The writer of the audit: durable before the answer, once, one writer, whatever the disk does."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.audit_files import entry, execute, rows, write_audit
from support.brokers import wait_until

from edge_app.audit.head_copy import read_head
from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record, latest, records_since, remembered
from edge_app.audit.records import AuditEntry, Head
from edge_app.audit.restored import RestoredNote, leave_note, take_restored
from edge_app.audit.verify import verify
from edge_app.errors import AuditError

NOTE = AuditEntry("model", "machine", "agent", subject="main", old=None, new={"serial": 2})


def test_a_record_says_who_what_when_and_why(tmp_path: Path) -> None:
    """With the time, whether the clock was right, before and after."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path, now_ns=lambda: 1_700_000_000_000_000_000, is_synchronised=lambda: True)
    recorded = log.record(entry(1, event="role_changed", old="viewer", new="operator"))
    log.close()
    (record, first) = latest(path, 5)
    assert first["event"] == "audit_begun"
    assert record["seq"] == recorded.seq == 2
    assert record["at"] == "2023-11-14T22:13:20.000000000Z"
    assert record["clock_synchronised"] is True
    assert record["author"] == {"kind": "person", "name": "anna", "role": "engineer"}
    assert (record["old"], record["new"], record["why"]) == ("viewer", "operator", "hired")
    assert record["hash"] == recorded.head.hash
    assert read_head(path) == recorded.head == log.health().head


def test_an_order_is_recorded_once(tmp_path: Path) -> None:
    """The same id again: the first answer, and no second record; after a restart as well."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    first = log.record(entry(1), {"text": "done"})
    again = log.record(entry(1), {"text": "other"})
    log.close()
    assert (again.seq, again.answer) == (first.seq, {"text": "done"})
    log = AuditLog(path)
    assert log.record(entry(1)).answer == {"text": "done"}
    log.close()
    assert len(rows(path)) == 2


def test_notes_are_written_by_the_thread_and_come_before_the_next_order(tmp_path: Path) -> None:
    """Nobody waits for them; their order is that of their happening."""
    path, heads = tmp_path / "audit.sqlite", list[Head]()
    log = AuditLog(path, on_head=heads.append)
    log.note(NOTE)
    log.record(entry(1))
    log.start()
    log.note(NOTE)
    log.remember("configuration", "text")
    wait_until(lambda: log.health().waiting == 0 and log.health().head.count == 4)
    log.close()
    assert [r["event"] for r in every_record(path)] == [
        "audit_begun", "model", "user_added", "model"
    ]  # fmt: skip
    assert heads[-1] == log.health().head
    assert remembered(path, "configuration") == "text"
    assert remembered(path, "other") == remembered(tmp_path / "none", "x") == ""


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """The chain cannot fork: another process gets a sentence, not a turn."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    log.record(entry(1))
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from support.audit_files import entry\n"
        "from edge_app.audit.log import AuditLog\n"
        "from edge_app.errors import AuditError\n"
        "try: AuditLog(Path(sys.argv[1])).record(entry(2))\n"
        "except AuditError as error: print(error)\n"
    )
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), tests], capture_output=True, text=True, check=True
    )
    assert "another process writes" in done.stdout
    log.record(entry(3))
    log.close()
    assert verify(path).head.count == 3
    assert verify(path).is_whole


def test_a_stranger_who_writes_all_the_same_forks_nothing(tmp_path: Path) -> None:
    """A record that somebody else put behind ours: refused, not overwritten."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    log.record(entry(1))
    execute(path, "INSERT INTO records VALUES (3, x'7b7d', 'x')")
    with pytest.raises(AuditError, match="somebody else"):
        log.record(entry(2))
    log.close()
    assert len(rows(path)) == 3


def test_what_cannot_be_recorded_is_refused_and_notes_wait(tmp_path: Path) -> None:
    """A disk that takes nothing: the order is refused, said once; afterwards all is written, the
    notes first."""
    told = list[str | None]()
    folder = tmp_path / "state"
    folder.write_text("a file in the folder's place")
    log = AuditLog(folder / "audit.sqlite", on_trouble=told.append)
    log.note(NOTE)
    for number in (1, 2):
        with pytest.raises(AuditError, match="nothing is done without a record"):
            log.record(entry(number))
    assert log.health().waiting == 1
    assert "orders are refused" in log.health().trouble
    folder.unlink()
    log.record(entry(1))
    log.close()
    events = [r["event"] for r in every_record(folder / "audit.sqlite")]
    assert events == ["audit_begun", "model", "user_added"]
    assert told[-1] is None


def test_a_full_disk_refuses_and_changes_nothing(tmp_path: Path) -> None:
    """SQLite says "full" in the middle of an order: no half record, and the next one follows on."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    log.record(entry(1))
    assert log._connection is not None
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(AuditError, match="full"):
        log.record(entry(2, why="x" * 60_000))
    log.record(entry(3))
    log.close()
    assert verify(path).is_whole
    assert [json.loads(b)["why"] for _, b, _ in rows(path)][1:] == ["hired", "hired"]


def test_more_notes_than_memory_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is itself a record."""
    monkeypatch.setattr("edge_app.audit.log.MAX_WAITING", 3)
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    for _ in range(5):
        log.note(NOTE)
    log.record(entry(1))
    log.close()
    found = list(every_record(path))
    assert [r["event"] for r in found].count("model") == 3
    (lost,) = [r for r in found if r["event"] == "notes_lost"]
    assert lost["new"] == {"count": 2}


def test_what_is_no_json_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    """NaN, a lone surrogate, a huge record: in words; the audit goes on."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)
    for number, value in enumerate((float("nan"), "\ud800", "x" * (300 << 10)), 10):
        with pytest.raises(AuditError, match="not done"):
            log.record(entry(number, new=value))
    log.record(entry(1))
    assert log.health().trouble == ""
    log.close()
    assert len(rows(path)) == 2


def test_a_later_releases_file_is_left_alone(tmp_path: Path) -> None:
    """It refuses orders instead of writing what that release may not understand."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 2)
    execute(path, "PRAGMA user_version=2")
    before = path.read_bytes()
    log = AuditLog(path)
    with pytest.raises(AuditError, match="format 2"):
        log.record(entry(5))
    log.close()
    assert path.read_bytes() == before
    with pytest.raises(AuditError, match="format 2"):
        latest(path, 1)


def test_records_since_a_head_of_another_chain_are_none(tmp_path: Path) -> None:
    """What follows from an audit is never taken from another one."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 5)
    second = Head(rows(path)[1][2], 2)
    assert [r["seq"] for r in records_since(path, second)] == [3, 4, 5]
    assert len(records_since(path, Head())) == 5
    assert records_since(path, Head("a" * 64, 2)) == []
    assert records_since(path, Head("a" * 64, 9)) == []
    assert records_since(tmp_path / "none", Head()) == []


def test_threads_make_one_chain(tmp_path: Path) -> None:
    """Orders from several connections at once."""
    path = tmp_path / "audit.sqlite"
    log = AuditLog(path)

    def many(start: int) -> None:
        for number in range(start, start + 10):
            log.record(entry(number))
            log.note(NOTE)

    threads = [threading.Thread(target=many, args=(100 * n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.start()
    log.close()
    assert verify(path).is_whole
    assert verify(path).head.count == 61


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.audit_files import entry
from edge_app.audit.log import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3]), 1_000_000):
    print(log.record(entry(number)).seq, number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """SIGKILL at any moment, several times: every record that was reported is there, one chain."""
    path, answered = tmp_path / "audit.sqlite", dict[int, int]()
    tests = str(Path(__file__).parents[2])
    for run in range(3):
        command = [sys.executable, "-c", KILLED, str(path), tests, str(1000 * (run + 1))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(5 + run):
                seq, number = process.stdout.readline().split()
                answered[int(number)] = int(seq)
            os.kill(process.pid, signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        answered |= {int(n): int(s) for s, n in (line.split() for line in rest if " " in line)}
    assert verify(path).is_whole
    with closing(sqlite3.connect(path)) as connection:
        stored = dict(connection.execute("SELECT order_id, seq FROM orders"))
    for told, at in answered.items():
        assert stored[str(entry(told).order_id)] == at


def test_a_restore_is_recorded_once(tmp_path: Path) -> None:
    """However often the device starts with the note still there."""
    note = RestoredNote(
        note_id="01930000-0000-7000-8000-00000000abcd", by="anna", device="a/b/c",
        made_at="2026-11-30", old_head=f"{'a' * 64}:3", new_head=f"{'b' * 64}:9", kept="x",
    )  # fmt: skip
    assert take_restored(tmp_path) == []
    leave_note(tmp_path, note)
    for _ in range(2):
        log = AuditLog(tmp_path / "audit.sqlite")
        for found in take_restored(tmp_path):
            log.note(found)
        log.start()
        log.close()
    (restore,) = [r for r in every_record(tmp_path / "audit.sqlite") if r["event"] == "restore"]
    assert restore["old"] == f"{'a' * 64}:3"
    assert restore["new"]["new_head"] == f"{'b' * 64}:9"
