"""A backup has the audit and the limits; a restore loses no record and says what it did."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
from support.app_config import write_config
from support.audit_files import entry, rebuild, write_audit

from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record
from edge_app.audit.restored import take_restored
from edge_app.audit.verify import verify
from edge_app.backup.archive import opened
from edge_app.cli.main import main
from edge_app.history.pseudonyms import KEY_FILE, Pseudonyms


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a device with an audit and a limit."""
    (tmp_path / "etc").mkdir()
    made = write_config(tmp_path / "etc", "folder:in", 1883)
    write_audit(made.parent / "state" / "audit.sqlite", 5)
    (made.parent / "state" / "limits.json").write_text('{"a": 1}')
    return made


def backed_up(config: Path, name: str = "d3.backup") -> Path:
    out = config.parent.parent / name
    assert main(["backup", "--config", str(config), "--out", str(out)]) == 0
    return out


def restored(archive: Path, into: Path) -> None:
    assert main(["restore", str(archive), "--into", str(into)]) == 0


def start(state: Path) -> None:
    """Do what a start does with the note."""
    log = AuditLog(state / "audit.sqlite")
    for found in take_restored(state):
        log.note(found)
    log.start()
    log.close()


def test_a_new_machine_goes_on_with_the_chain(config: Path, tmp_path: Path) -> None:
    """The same records, whole; the restore is the next one, with the head that came."""
    archive = backed_up(config)
    head = verify(config.parent / "state" / "audit.sqlite").head
    with opened(archive) as found:
        assert found.listing.audit_head == str(head)
    restored(archive, tmp_path / "new")
    state = tmp_path / "new" / "state"
    assert (state / "limits.json").read_text() == '{"a": 1}'
    start(state)
    last = list(every_record(state / "audit.sqlite"))[-1]
    assert (last["event"], last["old"], last["new"]["new_head"]) == ("restore", "", str(head))
    assert last["seq"] == 6
    assert verify(state / "audit.sqlite").is_whole


def test_an_audit_that_goes_on_from_the_backups_stays(config: Path) -> None:
    """Nothing is set back, the limits neither."""
    archive, state = backed_up(config), config.parent / "state"
    log = AuditLog(state / "audit.sqlite")
    log.record(entry(70))
    log.close()
    (state / "limits.json").write_text('{"a": 2}')
    restored(archive, config.parent)
    assert verify(state / "audit.sqlite").head.count == 6
    assert (state / "limits.json").read_text() == '{"a": 2}'
    start(state)
    last = list(every_record(state / "audit.sqlite"))[-1]
    assert (last["event"], last["old"][-2:], last["new"]["kept"]) == ("restore", ":6", "")


@pytest.mark.parametrize("case", ["another machine's", "made anew", "damaged"])
def test_another_chain_is_kept_beside_the_backups(config: Path, case: str) -> None:
    """Both are there afterwards; the record names the head that went."""
    archive, state = backed_up(config), config.parent / "state"
    path = state / "audit.sqlite"
    if case == "another machine's":
        for name in ("audit.sqlite", "audit.sqlite.head"):
            (state / name).unlink()
        write_audit(path, 3)
    elif case == "made anew":
        rebuild(path, lambda record: record.update(why="forged"))
    else:
        path.write_bytes(b"\1" * 4096)
    before = path.read_bytes()
    restored(archive, config.parent)
    assert (state / "audit.sqlite.before-restore-1").read_bytes() == before
    start(state)
    assert verify(path).is_whole
    last = list(every_record(path))[-1]
    assert last["event"] == "restore"
    assert last["new"]["kept"] == "audit.sqlite.before-restore-1"
    assert bool(last["old"]) == (case != "damaged")


def test_a_backup_of_a_device_that_records_is_whole(config: Path, tmp_path: Path) -> None:
    """While orders come in: each copy is a chain of its time."""
    path, stop = config.parent / "state" / "audit.sqlite", threading.Event()
    log = AuditLog(path)

    def write() -> None:
        number = 100
        while not stop.is_set():
            log.record(entry(number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        archives = [backed_up(config, f"{n}.backup") for n in range(3)]
    finally:
        stop.set()
        writer.join()
        log.close()
    for archive in archives:
        copy = tmp_path / f"{archive.stem}.sqlite"
        with opened(archive) as found:
            listed = {e.name: e for e in found.listing.files}
            copy.write_bytes(found.read(listed["state/audit.sqlite"]))
        assert verify(copy).is_whole


def test_a_backup_of_an_earlier_release_has_no_audit(config: Path, tmp_path: Path) -> None:
    """The restore is recorded all the same, where there is a state folder."""
    state = config.parent / "state"
    for file in list(state.iterdir()):
        file.unlink()
    archive = backed_up(config)
    restored(archive, config.parent)
    start(state)
    assert [r["event"] for r in every_record(state / "audit.sqlite")] == ["audit_begun", "restore"]
    restored(archive, tmp_path / "new")
    assert not (tmp_path / "new" / "state").exists()
    assert json.loads((state / "audit-restored.json").read_text())["old_head"] == ""


def test_pseudonyms_stay_the_same_on_the_new_machine(config: Path, tmp_path: Path) -> None:
    """Their key is in the backup, for its owner alone there too."""
    state = config.parent / "state"
    name = Pseudonyms(state / KEY_FILE).of("person", "anna")
    restored(backed_up(config), tmp_path / "new")
    key = tmp_path / "new" / "state" / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Pseudonyms(key).of("person", "anna") == name
