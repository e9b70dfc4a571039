"""The power fails after any system call: what was promised before is there, no number is reused."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import draft
from support.app_config import write_config
from support.needs import needing
from support.outbox_damage import BOOT, NEXT_BOOT, open_outbox
from support.recorded_disk import LOSSES, Event, Loss, RecordedDisk, record
from support.state_writer import NOW

from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.cameras.watch_journal import JOURNAL, WatchJournal
from edge_app.config.last_good import load_or_last_good
from edge_app.errors import CommandError
from edge_app.store.bundle_store import Store

WRITER = Path(__file__).parents[1] / "support" / "state_writer.py"
QUICK = 40
"""Moments that the ordinary run tries; the slow one tries each."""


@dataclass
class Promised:
    """What had been said when the power failed."""

    stored: dict[str, tuple[str, int]] = field(default_factory=dict)  # id → store_id, seq
    used: dict[tuple[str, int], str] = field(default_factory=dict)
    intents: list[str | None] = field(default_factory=lambda: [None])
    serial: int | None = None
    commands: list[str] = field(default_factory=list)
    pointers: list[str] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    is_remembered: bool = False

    def take(self, line: dict[str, Any]) -> None:
        what = line["what"]
        if what == "stored":
            self.stored[line["id"]] = number = line["store_id"], line["seq"]
            self.used[number] = line["id"]
        elif what == "deleting":
            self.stored.pop(line["id"], None)
        elif what in ("ordering", "ending"):
            self.intents.append(line.get("sha256"))
        elif what in ("ordered", "ended"):
            self.intents = [line.get("sha256")]
        elif what == "serial":
            self.serial = line["serial"]
        elif what == "command":
            self.commands.append(line["id"])
        elif what == "pointer":
            self.pointers.append(line["id"])
        elif what == "shown":
            self.shown.append(line["number"])
        elif what == "remembered":
            self.is_remembered = True


@pytest.fixture(scope="module")
@needing("strace")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    folder = tmp_path_factory.mktemp("recorded")
    write_config(folder, "sim:round", 1)
    config = folder / "edge-app.toml"
    config.write_text(config.read_text().replace('"state"', '"disk/state"'))
    (folder / "disk").mkdir()
    found = record(WRITER, folder / "disk", folder / "said")
    assert len(found) > 200
    return found


def at_moments(events: list[Event], moments: Iterable[int], root: Path, folder: Path) -> None:
    """Cut the power at each moment, in each way, and start."""
    wanted = set(moments)
    disk, promised = RecordedDisk(root), Promised()
    for number, event in enumerate(events):
        if event.kind == "said":
            promised.take(json.loads(event.data))
            continue
        disk.replay(event)
        if number not in wanted:
            continue
        for loss in LOSSES:
            place = folder / "place"
            disk.leave(loss, place, random.Random(number))
            story = f"{loss} after call {number}, {event.kind} {event.path.name}"
            assert not (wrong := faults(place / "state", promised, loss)), f"{story}: {wrong}"
            shutil.rmtree(place)


def faults(state: Path, promised: Promised, loss: Loss) -> list[str]:
    """Start on what is left; return what is not as it was promised."""
    if not state.is_dir():
        return []
    return [
        *_of_outbox(state, promised, BOOT if loss == "killed" else NEXT_BOOT),
        *_of_store(state / "store", promised),
        *_of_journals(state / "journals", promised),
        *_of_configuration(state, promised),
    ]


def _of_outbox(state: Path, promised: Promised, boot: str) -> list[str]:
    outbox = open_outbox(state, boot)
    outbox.append([draft(n) for n in range(3)], "cam1", 9999)
    wrong, sent = [], set()
    for alert in outbox.next_batch(10_000):
        message_id = json.loads(alert.body)["message_id"]
        number = str(alert.numbering["store_id"]), alert.seq
        if promised.used.get(number, message_id) != message_id:
            wrong.append(f"number {number} is used twice")
        sent.add(message_id)
    outbox.close()
    lost = promised.stored.keys() - sent
    return [*wrong, *([f"{len(lost)} stored alerts are gone"] if lost else [])]


def _of_store(folder: Path, promised: Promised) -> list[str]:
    store, wrong = Store(folder), []
    intent = store.intent("main")
    if (None if intent is None else intent.new_sha256) not in promised.intents:
        wrong.append(f"the record is {intent}, promised {promised.intents}")
    if promised.serial is not None and store.high_water("screws") != promised.serial:
        wrong.append("the serial is forgotten")
    return wrong


def _of_journals(folder: Path, promised: Promised) -> list[str]:
    if not folder.is_dir():
        return []
    wrong = []
    commands, pointers = CommandJournal(folder, lambda: NOW), PointerJournal(folder)
    for command in promised.commands:
        try:
            commands.take(command, NOW + timedelta(minutes=5))
        except CommandError:
            continue
        wrong.append(f"{command} can be replayed")
    wrong += [
        f"{p} can be replayed" for p in promised.pointers if not pointers.is_handled("main", p)
    ]
    watched = folder / "watched"
    if (watched / JOURNAL).exists() or promised.shown:
        journal = WatchJournal(watched, 0)
        numbers = [found[0] for found in iter(journal.next_unfinished, None)]
        journal.close()
        if not set(promised.shown) <= set(numbers):
            wrong.append(f"shown {promised.shown}, remembered {numbers}")
    return wrong


def _of_configuration(state: Path, promised: Promised) -> list[str]:
    """The kept copy holds the path of the file that started: it is read from there."""
    kept = state / "last-good-config.json"
    if not promised.is_remembered:
        return []
    path = Path(json.loads(kept.read_bytes())["path"])
    text = path.read_bytes()
    path.write_bytes(b"")
    try:
        loaded = load_or_last_good(path, {"STATE_DIRECTORY": str(state)})
        return [] if loaded.fault else ["an empty file was taken"]
    finally:
        path.write_bytes(text)


def root_of(events: list[Event]) -> Path:
    return next(e.path for e in events if e.kind == "folder").parent


def test_the_power_fails_now_and_then(
    events: list[Event], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At some moments, spread over the whole."""
    caplog.set_level(logging.CRITICAL)
    changes = [number for number, event in enumerate(events) if event.kind != "said"]
    moments = [*changes[:: max(1, len(changes) // QUICK)], changes[-1]]
    at_moments(events, moments, root_of(events), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_power_fails_at_every_moment(
    events: list[Event], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After each write, each sync, each rename."""
    caplog.set_level(logging.CRITICAL)
    at_moments(events, range(len(events)), root_of(events), tmp_path)
