"""Putting a backup back: checked as a whole first, then numbers, then files, the TOML last.

What only grows is never set back: serials, commands that were taken, revoked keys. A file that is
replaced is kept beside the new one.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.accounts.place import PEOPLE_FILE, people_folder
from edge_app.audit.head_copy import HEAD_SUFFIX
from edge_app.audit.restored import NOTE_FILE, RestoredNote, leave_note
from edge_app.audit.schema import AUDIT_FILE
from edge_app.backup.archive import Archive, Entry, Listing
from edge_app.backup.audits import compared_audits
from edge_app.backup.contents import (
    ABSOLUTE,
    CONFIGURATION,
    HISTORY,
    PAGE,
    STATE,
    STATE_FILES,
    STORE,
    paths_in,
)
from edge_app.backup.history import SIDE_FILES, beside, goes_on_from, put_back
from edge_app.config.load import config_of, parse_toml
from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError, OutputError
from edge_app.history.schema import HISTORY_FILE
from edge_app.mqtt.outbox_file import fault_of, open_file
from edge_app.mqtt.timestamps import uuid7
from edge_app.store.durable_write import Step, perform, write_durably
from edge_app.store.free_space import check_room

MARKS = (".last", ".highwater")
"""The outbox' side files: without them nothing vouches for its numbering, and another begins."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file.

    Attributes:
        what: "new", "same", "replaced", "merged", "kept": the present one goes on from it, or
            "left out".
        kept: where the present file goes; None if it stays or there is none.
        data: what is written; None for nothing, or for the history, which is copied.
    """

    entry: Entry
    target: Path
    what: str
    data: bytes | None
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A restore that has been checked and not begun.

    Attributes:
        config: as it will be.
        outbox: the outbox' file, there or not.
        marks: side files that are removed, so that a new numbering begins.
        note: for the audit.
    """

    config: AppConfig
    changes: tuple[Change, ...]
    outbox: Path
    marks: tuple[Path, ...]
    note: RestoredNote


def plan_restore(
    archive: Archive, folder: Path, by: str = "root", with_history: bool = True
) -> Plan:
    """Return what a restore into a configuration's folder would do; changes nothing.

    Args:
        by: who restores, for the audit.
        with_history: put the history of parts back, if it is in the archive.

    Raises:
        ConfigError: this release cannot use the configuration, the archive names a file that the
            configuration does not, or the device's service is running.
        OutputError: there is no room for the history.
    """
    listing = archive.listing
    config = _checked_configuration(archive, folder)
    allowed = [path for _, path in paths_in(config)]
    outbox = config.device.state_dir / "outbox.sqlite"
    _check_stopped(outbox)
    audits = compared_audits(archive, config.device.state_dir)
    changes = []
    for entry in listing.files:
        target = _target_of(entry, folder, config, allowed)
        if entry.part == HISTORY:
            changes.append(_history_change(archive.listing, entry, target, with_history))
            continue
        is_kept = _is(entry, STATE) and audits.goes_on
        data = archive.read(entry)
        changes.append(
            Change(entry, target, "kept", None) if is_kept else _change(entry, target, data)
        )
    marks = tuple(p for s in MARKS if (p := outbox.with_name(outbox.name + s)).exists())
    toml = f"{CONFIGURATION}/{listing.config_name}"
    ordered = tuple(sorted(changes, key=lambda c: c.entry.name == toml))
    kept = next((c.kept.name for c in ordered if c.kept and c.target.name == AUDIT_FILE), "")
    note = RestoredNote(
        note_id=uuid7(time.time_ns(), secrets.randbits),
        by=by,
        device=listing.device[:400],
        made_at=listing.made_at[:100],
        old_head=audits.present,
        new_head=audits.backup,
        kept=kept[:255],
        history=next((c.what for c in ordered if c.entry.part == HISTORY), ""),
    )
    return Plan(config, ordered, outbox, marks, note)


def carry_out(plan: Plan, archive: Archive) -> None:
    """Do it: interrupted anywhere, the same restore may be run again.

    Raises:
        ConfigError: the archive has changed.
        OSError, sqlite3.Error: a file cannot be written.
    """
    for change in plan.changes:
        if change.entry.part == HISTORY and change.what in ("new", "replaced"):
            _put_history_back(change, archive)
    for mark in plan.marks:
        perform(Step("remove", mark))
    if plan.marks:
        perform(Step("sync", plan.outbox.parent))
    for change in plan.changes:
        if change.data is None:
            continue
        if change.kept is not None:
            _copy(change.target, change.kept)
        _write(change)
        if change.target.name == AUDIT_FILE:
            _write_head(change.target, plan.note.new_head)
    state_dir = plan.config.device.state_dir
    if state_dir.is_dir():
        leave_note(state_dir, plan.note)
        _give(state_dir / NOTE_FILE, state_dir.stat().st_uid, state_dir.stat().st_gid)


def _checked_configuration(archive: Archive, folder: Path) -> AppConfig:
    """Return the configuration as it will be at its place, checked by this release's rules."""
    listing = archive.listing
    entries = {entry.name: entry for entry in listing.files}
    name = f"{CONFIGURATION}/{listing.config_name}"
    text = archive.read(entries[name]).decode("utf-8-sig", errors="replace")
    document = parse_toml(text, f"{listing.config_name} of the backup")
    absent = {Path("/", e.name.partition("/")[2]) for e in listing.files if _is(e, ABSOLUTE)}
    with tempfile.TemporaryDirectory(prefix="cropliq-restore-") as staged:
        for entry in listing.files:
            if _is(entry, CONFIGURATION):
                file = Path(staged) / entry.name.partition("/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(entry))
        config_of(document, Path(staged), f"{listing.config_name} of the backup", absent)
    planned = {folder / e.name.partition("/")[2] for e in listing.files if _is(e, CONFIGURATION)}
    return config_of(document, folder, f"{listing.config_name} of the backup", absent | planned)


def _is(entry: Entry, place: str) -> bool:
    return entry.name.startswith(f"{place}/")


def _target_of(entry: Entry, folder: Path, config: AppConfig, allowed: list[Path]) -> Path:
    rest = entry.name.partition("/")[2]
    if _is(entry, STORE):
        return config.agent.store_dir / rest
    if _is(entry, CONFIGURATION):
        return folder / rest
    if _is(entry, STATE) and rest in (*STATE_FILES, HISTORY_FILE):
        return config.device.state_dir / rest
    if _is(entry, PAGE) and rest == PEOPLE_FILE:
        return people_folder(config.device.state_dir) / rest
    target = Path("/", rest)
    features = [c.url for c in config.cameras if str(target) in c.url]
    if features or any(target == path or target.parent == path for path in allowed):
        return target
    raise ConfigError(
        f"The backup holds {target}, which its configuration does not name. Nothing was changed."
    )


def _history_change(listing: Listing, entry: Entry, target: Path, is_wanted: bool) -> Change:
    if not is_wanted:
        return Change(entry, target, "left out", None)
    if listing.history is not None and goes_on_from(target, listing.history):
        return Change(entry, target, "kept", None)
    folder = next(p for p in target.parents if p.exists())
    try:
        check_room(folder, entry.length)
    except OSError as error:
        raise OutputError(
            f"There is no room in {folder} for the history, {entry.length >> 20} MB. Free some "
            "space, or leave it out with --without-history. Nothing was changed."
        ) from error
    is_there = any(beside(target, suffix).exists() for suffix in SIDE_FILES)
    kept = _free_name(target) if is_there else None
    return Change(entry, target, "replaced" if is_there else "new", None, kept)


def _put_history_back(change: Change, archive: Archive) -> None:
    target = change.target
    staged = target.with_name(f".{target.name}.restored")
    owner = _with_folders(target)
    try:
        archive.copy_to(change.entry, staged)
        _give(staged, owner.st_uid, owner.st_gid)
        staged.chmod(change.entry.mode & 0o755 | 0o600)
        put_back(staged, target, change.kept)
    finally:
        for suffix in ("-journal", ""):
            beside(staged, suffix).unlink(missing_ok=True)


def _change(entry: Entry, target: Path, data: bytes) -> Change:
    try:
        present = target.read_bytes()
    except FileNotFoundError:
        return Change(entry, target, "new", data)
    if present == data:
        return Change(entry, target, "same", None)
    merge = _merge_for(entry)
    if merge is not None:
        merged = merge(present, data)
        is_same = merged == present
        return Change(entry, target, "same" if is_same else "merged", None if is_same else merged)
    return Change(entry, target, "replaced", data, _free_name(target))


def _merge_for(entry: Entry) -> Callable[[bytes, bytes], bytes] | None:
    name = entry.name.rpartition("/")[2]
    if name == "revoked.txt":
        return _all_lines
    if not _is(entry, STORE):
        return None
    if name == "serials.json":
        return _highest
    return _all_commands if name == "commands.json" else _present


def _all_lines(present: bytes, backup: bytes) -> bytes:
    lines = present.decode(errors="replace").splitlines()
    more = [line for line in backup.decode(errors="replace").splitlines() if line not in lines]
    return ("\n".join((*lines, *more)) + "\n").encode() if more else present


def _highest(present: bytes, backup: bytes) -> bytes:
    ours, theirs = _table(present), _table(backup)
    merged = {k: max(ours.get(k, 0), theirs.get(k, 0)) for k in {**ours, **theirs}}
    return present if merged == ours else json.dumps(merged, sort_keys=True).encode()


def _all_commands(present: bytes, backup: bytes) -> bytes:
    ours, theirs = _table(present).get("commands", {}), _table(backup).get("commands", {})
    merged = {**theirs, **ours}
    return present if merged == ours else json.dumps({"commands": merged}).encode()


def _present(present: bytes, _backup: bytes) -> bytes:
    return present


def _table(data: bytes) -> dict[str, Any]:
    """Return an object; what is damaged counts as empty, so that the other side is taken."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError, MemoryError):
        return {}
    return found if isinstance(found, dict) else {}


def _free_name(target: Path) -> Path:
    number = 1
    while (kept := target.with_name(f"{target.name}.before-restore-{number}")).exists():
        number += 1
    return kept


def _check_stopped(outbox: Path) -> None:
    if not outbox.exists():
        return
    try:
        open_file(outbox).close()
    except sqlite3.Error as error:
        if fault_of(error) == "locked":
            raise ConfigError(
                f"{outbox} is in use: the device is running. Stop it first: "
                "systemctl stop edge-app edge-app-agent."
            ) from error


def _copy(source: Path, target: Path) -> None:
    perform(Step("copy", target, source))
    stat = source.stat()
    target.chmod(stat.st_mode & 0o777)
    _give(target, stat.st_uid, stat.st_gid)
    perform(Step("sync", target))


def _write(change: Change) -> None:
    """Write a file with the backup's mode; it belongs to whom the one before or its folder does."""
    target, data = change.target, change.data
    assert data is not None
    owner = _with_folders(target)
    write_durably(perform, target, data, is_private=True)
    _give(target, owner.st_uid, owner.st_gid)
    target.chmod(change.entry.mode & 0o755 | 0o600)


def _with_folders(target: Path) -> os.stat_result:
    """Make a file's folders, and return whose the file is to be."""
    fresh_folders = [p for p in target.parents if not p.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    owner = (target if target.exists() else _first_old(target, fresh_folders)).stat()
    for folder in reversed(fresh_folders):
        folder.chmod(0o750)
        _give(folder, owner.st_uid, owner.st_gid)
    return owner


def _write_head(audit: Path, head: str) -> None:
    """Put the head beside the audit that goes on; the one of the other is in the next record."""
    copy = audit.with_name(audit.name + HEAD_SUFFIX)
    if not head:
        perform(Step("remove", copy))
        return
    write_durably(perform, copy, f"{head}\n".encode(), is_private=True)
    _give(copy, audit.stat().st_uid, audit.stat().st_gid)


def _first_old(target: Path, fresh: list[Path]) -> Path:
    return next(p for p in target.parents if p not in fresh)


def _give(path: Path, uid: int, gid: int) -> None:
    with suppress(PermissionError):  # whoever is not root keeps it
        os.chown(path, uid, gid)
