"""The history in a backup: one state of it while parts are written, and no wrong number later."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.agent_and_line import Line
from support.app_config import write_config
from support.brokers import wait_until
from support.history_parts import START_NS, alarm, verdict
from support.small_bundles import write_pictures

from edge_app.audit.reader import every_record
from edge_app.audit.restored import take_restored
from edge_app.backup import history as backup_history
from edge_app.backup.archive import opened
from edge_app.cli.main import main
from edge_app.config.load import load_config
from edge_app.errors import HistoryError
from edge_app.history.entries import PartEntry
from edge_app.history.ledger import Ledger, check_history
from edge_app.history.opening import LeftOver
from edge_app.history.retention import Retention
from edge_app.history.writer import HistoryWriter
from edge_app.store.durable_write import Step, perform

NS = 10**9
SHOWN = "The history of parts takes"


class PowerCut(BaseException):
    """Nothing catches it."""


class Now:
    """A wall clock that ticks a second a look, from the parts' own time on."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self.ns = start_ns

    def __call__(self) -> int:
        self.ns += NS
        return self.ns


def history_of(state: Path, clock: Now | None = None, **options: object) -> HistoryWriter:
    return HistoryWriter(
        state / "history.sqlite",
        {"c": "main"},
        Retention(1e6, 1000),
        options.pop("last_finished", {}),  # type: ignore[arg-type]
        now_ns=clock or Now(),
        **options,  # type: ignore[arg-type]
    )


def record(state: Path, numbers: Iterable[int], **options: object) -> None:
    """Let a process' history take so many parts."""
    writer = history_of(state, **options)  # type: ignore[arg-type]
    writer.start()
    writer.finished([verdict(n) for n in numbers])
    writer.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    made = write_config(tmp_path / "etc", "folder:in", 1883)
    (made.parent / "state").mkdir()
    return made


def backed_up(config: Path, *more: str, name: str = "d3.backup") -> Path:
    out = config.parent.parent / name
    assert main(["backup", "--config", str(config), "--out", str(out), *more]) == 0
    return out


def restored(archive: Path, into: Path, *more: str) -> Path:
    assert main(["restore", str(archive), "--into", str(into), *more]) == 0
    return into / "state"


def ledger(state: Path) -> Ledger:
    found = check_history(state / "history.sqlite")
    assert found.damage == ()
    return found


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def extracted(archive: Path, folder: Path) -> tuple[Path, int]:
    """Return the history of an archive, and how many parts its list promises."""
    with opened(archive) as found:
        (entry,) = (e for e in found.listing.files if e.part == "history")
        path = folder / f"{archive.name}.sqlite"
        found.copy_to(entry, path)
        assert found.listing.history is not None
        return path, found.listing.history.parts


def test_a_copy_is_one_state_while_parts_are_written(config: Path, tmp_path: Path) -> None:
    """Five backups beside a writer that commits all the time: in each every number up to the last,
    the hours' counts and the sources' progress belong together; the writer has no trouble."""
    state = config.parent / "state"
    record(state, range(1, 2001))
    writer = history_of(state, last_finished={"c": 2000})
    is_over = threading.Event()
    written = 2000

    def write() -> None:
        nonlocal written
        while not is_over.is_set():
            parts = [verdict(written + n) for n in range(1, 21)]
            bad = replace(parts[0], state=verdict(1, "NG").state)
            writer.expect([alarm(bad)])
            writer.alarmed([alarm(bad)])  # committed at once
            writer.finished([bad, *parts[1:]])
            written += 20
            time.sleep(0.002)

    writer.start()
    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    try:
        for number in range(5):
            archive = backed_up(config, name=f"{number}.backup")
            copy, promised = extracted(archive, tmp_path)
            found = check_history(copy)
            assert found.is_whole, found
            (total,) = rows(copy, "SELECT count(*), max(number) FROM parts")
            assert total == (promised, promised), "every part once, from the first to the last"
            (progress,) = rows(copy, "SELECT number FROM progress")
            assert progress == (promised,)
            (hours,) = rows(copy, "SELECT sum(count) FROM hours")
            (final,) = rows(copy, "SELECT count(*) FROM parts WHERE is_final")
            assert hours == final
            counts.append(promised)
    finally:
        is_over.set()
        thread.join()
        writer.close()
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] <= written
    assert writer.health().trouble == ""
    assert ledger(state).is_whole
    assert not list(tmp_path.glob(".cropliq-backup-*"))


def test_a_backup_neither_checkpoints_nor_changes_a_byte(config: Path, tmp_path: Path) -> None:
    """What a killed writer left in its write-ahead log is in the copy, and stays where it was."""
    state = config.parent / "state"
    writer = history_of(state)
    writer.start()
    writer.finished([verdict(n) for n in range(1, 41)])
    wait_for_parts(state / "history.sqlite", 40)
    there = tmp_path / "killed"
    shutil.copytree(state, there)  # as a kill would leave it
    writer.close()
    shutil.rmtree(state)
    shutil.copytree(there, state)
    before = {n: (state / n).read_bytes() for n in ("history.sqlite", "history.sqlite-wal")}
    assert len(before["history.sqlite-wal"]) > 0
    copy, promised = extracted(backed_up(config), tmp_path)
    assert {n: (state / n).read_bytes() for n in before} == before
    assert promised == 40
    assert rows(copy, "SELECT count(*) FROM parts") == [(40,)]


def wait_for_parts(path: Path, count: int) -> None:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        is_made = path.is_file() and rows(path, "SELECT count(*) FROM sqlite_master")[0][0]
        if is_made and rows(path, "SELECT count(*) FROM parts")[0][0] >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the parts were not written")


def test_its_size_is_said_and_it_may_be_left_out(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where there is none; what a backup without it restores, it restores."""
    assert "is not in it: there is none" in said(capsys, config, "none.backup")
    record(config.parent / "state", range(1, 3001))
    text = said(capsys, config, "with.backup")
    assert f"{SHOWN} 0." in text
    assert "MB of it: 3,000 parts." in text
    assert "is not in it: as asked for" in said(
        capsys, config, "without.backup", "--without-history"
    )
    state = restored(tmp_path / "without.backup", tmp_path / "new")
    assert not (state / "history.sqlite").exists()
    (tmp_path / "newer" / "state").mkdir(parents=True)
    state = restored(tmp_path / "with.backup", tmp_path / "newer", "--without-history")
    assert not (state / "history.sqlite").exists()
    (note,) = take_restored(state)
    assert note.new["history"] == "left out"


def said(capsys: pytest.CaptureFixture[str], config: Path, name: str, *more: str) -> str:
    capsys.readouterr()
    backed_up(config, *more, name=name)
    return capsys.readouterr().out


def test_a_new_machine_goes_on_with_its_own_numbers(config: Path, tmp_path: Path) -> None:
    """A row says that it was put back, once; the new outbox' numbers begin at 1; a part whose alert
    waits has its row although the old machine had a higher number; nothing is called lost."""
    record(config.parent / "state", range(1, 51))
    archive = backed_up(config)
    state = restored(archive, tmp_path / "new")
    for _ in range(2):  # again: the first one's stays
        restored(archive, tmp_path / "new")
    (note,) = take_restored(state)
    assert note.new["history"] == "kept"
    path = state / "history.sqlite"
    (gap,) = rows(path, "SELECT kind, reason, from_ns, next_part, to_ns FROM gaps")
    assert gap[:2] == ("down", "restored")
    assert gap[3] == 51
    assert int(str(gap[4])) >= int(str(gap[2])) > 0
    waiting = [PartEntry(verdict(3, "NG", name="new-3"), "alarm-3", is_final=False)]
    first = history_of(state, Now(START_NS + 10**15), left_over=LeftOver(waiting=lambda: waiting))
    first.start()
    first.finished([verdict(n, name=f"new-{n}") for n in (4, 5)])
    first.close()
    again = history_of(state, Now(START_NS + 2 * 10**15), last_finished={"c": 9})
    again.start()
    again.finished([verdict(10, name="new-10")])
    again.close()
    found = ledger(state)
    assert found.is_whole
    assert (found.restores, found.downs) == (1, 2)
    (camera,) = found.cameras
    assert (camera.parts, camera.declared, camera.restarts) == (54, 4, 0)
    assert rows(path, "SELECT number FROM parts WHERE part_id = 'new-3'") == [(3,)]
    downs = rows(path, "SELECT reason, from_ns, to_ns FROM gaps WHERE kind = 'down' ORDER BY id")
    assert [row[0] for row in downs] == ["restored", "restart", "restart"]
    assert downs[1][1] == downs[0][2], "the time of a restore is said once"


def test_a_history_that_goes_on_from_the_backups_stays(config: Path) -> None:
    """On the machine itself nothing is set back, also when the retention has been at work."""
    state = config.parent / "state"
    record(state, range(1, 51))
    archive = backed_up(config)
    record(state, range(51, 61), last_finished={"c": 50})
    restored(archive, config.parent)
    assert ledger(state).cameras[0].parts == 60
    assert rows(state / "history.sqlite", "SELECT reason FROM gaps") == [("restart",)]
    with closing(sqlite3.connect(state / "history.sqlite")) as connection, connection:
        connection.execute("DELETE FROM parts WHERE id <= 55")
        connection.execute(
            "INSERT INTO deleted (camera, first_part, last_part, from_ns, to_ns, ok, suspect, ng,"
            " not_inspected) VALUES (1, 1, 55, 0, 1, 55, 0, 0, 0)"
        )
    restored(archive, config.parent)
    assert ledger(state).cameras[0].parts == 5
    assert not list(state.glob("*.before-restore-*"))


def test_another_history_is_kept_beside_the_backups(config: Path) -> None:
    """A machine that was in use as another device: its rows, with what waits in the write-ahead
    log, lie beside; its outbox' numbers make no part of the backup's look lost."""
    state = config.parent / "state"
    record(state, range(1, 51))
    archive = backed_up(config)
    (state / "history.sqlite").unlink()
    record(state, range(8001, 8021), clock=Now(START_NS + 10**15))
    restored(archive, config.parent)
    beside = state / "history.sqlite.before-restore-1"
    assert rows(beside, "SELECT min(number), max(number) FROM parts") == [(8001, 8020)]
    assert ledger(state).cameras[0].parts == 50
    later = Now(START_NS + 2 * 10**15)
    record(state, range(8021, 8031), clock=later, last_finished={"c": 8020})
    found = ledger(state)
    assert found.is_whole
    assert (found.cameras[0].parts, found.cameras[0].declared) == (60, 0)


def test_a_restore_that_was_cut_off_is_run_again(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step of putting it back: afterwards the same restore gives the same history, and
    what was there before lies beside."""
    state = config.parent / "state"
    record(state, range(1, 51))
    archive = backed_up(config)
    (state / "history.sqlite").unlink()
    record(state, range(8001, 8021), clock=Now(START_NS + 10**15))
    was_cut, cut = True, 0
    while was_cut:
        place = tmp_path / f"cut-{cut}"
        shutil.copytree(config.parent, place)
        steps = 0

        def cut_off(step: Step, at: int = cut) -> None:
            nonlocal steps
            if steps == at:
                raise PowerCut
            steps += 1
            perform(step)

        with monkeypatch.context() as patched:
            patched.setattr(backup_history, "perform", cut_off)
            was_cut = False
            try:
                main(["restore", str(archive), "--into", str(place)])
            except PowerCut:
                was_cut = True
        there = restored(archive, place)
        assert ledger(there).cameras[0].parts == 50
        assert ledger(there).restores == 1
        (beside,) = there.glob("history.sqlite.before-restore-[0-9]")
        assert rows(beside, "SELECT count(*) FROM parts") == [(20,)]
        assert not list(there.glob(".history*"))
        cut += 1
    assert cut >= 5, "sync, rename, rename, sync, and once without a cut"


def test_a_damaged_history_refuses_the_backup_and_says_how_to_go_without(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    path = config.parent / "state" / "history.sqlite"
    record(path.parent, range(1, 2001))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(8192))
    out = tmp_path / "d3.backup"
    assert main(["backup", "--config", str(config), "--out", str(out)]) == 2
    text = capsys.readouterr().err
    assert "history.sqlite cannot be copied: " in text
    assert "--without-history" in text
    assert not out.exists()
    backed_up(config, "--without-history")


def test_no_room_is_said_before_anything_is_copied(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For the backup, which takes the history's size twice for a while, and for the restore."""
    record(config.parent / "state", range(1, 3001))
    archive = backed_up(config)
    full = SimpleNamespace(f_bavail=8_300, f_blocks=10**6, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert main(["backup", "--config", str(config), "--out", str(tmp_path / "b")]) == 2
    assert "There is no room in" in capsys.readouterr().err
    assert main(["restore", str(archive), "--into", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert "for the history, 0 MB" in said
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_read_at_all_is_no_history_that_goes_on(tmp_path: Path) -> None:
    """It is kept beside the backup's."""
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    mark = backup_history.HistoryMark(parts=1, row=1, part_id="c-1")
    assert not backup_history.goes_on_from(path, mark)
    assert not backup_history.goes_on_from(tmp_path / "none", mark)
    with pytest.raises(HistoryError):
        check_history(path)


def test_a_device_that_runs_is_backed_up_and_another_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Inspection itself before and after: the parts of both machines are in one history, whose
    check finds nothing, and the audit says that it was put back."""
    (tmp_path / "old").mkdir()
    write_pictures(tmp_path / "old" / "in", 6, {3})
    url = "folder:in?loop=1&interval_s=0.02"
    config = write_config(tmp_path / "old", url, 1, mqtt="enabled = false")
    line = Line(load_config(config)).start()
    wait_until(lambda: len(line.verdicts) > 60, 30, "parts")
    archive = backed_up(config)
    wait_until(lambda: len(line.verdicts) > 90, 30, "parts behind the backup")
    line.stop()
    shutil.copytree(tmp_path / "old" / "in", tmp_path / "new" / "in")
    (tmp_path / "new" / "state").mkdir()
    state = restored(archive, tmp_path / "new")
    with opened(archive) as found:
        assert found.listing.history is not None
        old_parts = found.listing.history.parts
    assert old_parts >= 20
    again = Line(load_config(tmp_path / "new" / config.name)).start()
    wait_until(lambda: len(again.verdicts) > 60, 30, "parts on the new machine")
    again.stop()
    capsys.readouterr()
    assert main(["history", "check", "--config", str(tmp_path / "new" / config.name)]) == 0
    assert "1 times put back from a backup" in capsys.readouterr().out
    found_parts = ledger(state).cameras[0].parts
    assert found_parts == old_parts + len(again.verdicts)
    records = list(every_record(state / "audit.sqlite"))
    restore = next(r for r in records if r["event"] == "restore")
    assert restore["new"]["history"] == "new"
