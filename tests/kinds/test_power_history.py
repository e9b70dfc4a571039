"""The power fails after any system call of outbox and history: no alarmed part is without a row."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.history_state_writer import commit, history_of
from support.needs import needing
from support.outbox_damage import BOOT, NEXT_BOOT, open_outbox
from support.recorded_disk import LOSSES, Event, RecordedDisk, record

from edge_app.history.ledger import check_history

WRITER = Path(__file__).parents[1] / "support" / "history_state_writer.py"
QUICK = 8
"""Moments that the ordinary run tries; the slow one tries each."""


@dataclass
class Promised:
    """What had been said when the power failed."""

    alarmed: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)

    def take(self, line: dict[str, object]) -> None:
        if line["what"] == "alarmed":
            self.alarmed.add(int(str(line["number"])))
        elif line["what"] == "deleting":
            self.deleted.add(int(str(line["number"])))


@dataclass
class Story:
    """What the starts after the cuts found, for people."""

    cuts: int = 0
    empty: int = 0
    most_lost: int = 0


@pytest.fixture(scope="module")
@needing("strace")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "disk").mkdir()
    found = record(WRITER, folder / "disk", folder / "said")
    assert sum(event.kind == "sync" for event in found) > 50
    names = {event.path.name for event in found if event.kind == "write"}
    assert {"history.sqlite", "history.sqlite-wal"} <= names, "no checkpoint among what is recorded"
    return found


def at_moments(events: list[Event], moments: Iterable[int], root: Path, folder: Path) -> Story:
    """Cut the power at each moment, in each way, and start; return what was found."""
    wanted, story = set(moments), Story()
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
            boot = BOOT if loss == "killed" else NEXT_BOOT
            wrong = faults(place / "state", promised, boot, story)
            shutil.rmtree(place)
            assert not wrong, f"{loss} after call {number}, {event.kind} {event.path.name}: {wrong}"
    return story


def faults(state: Path, promised: Promised, boot: str, story: Story) -> list[str]:
    """Start on what is left; return what is not as it was promised."""
    if not state.is_dir():
        return []
    outbox = open_outbox(state, boot)
    writer = history_of(state, outbox)
    last = outbox.last_finished("c")
    commit(writer)
    assert writer._file is not None
    writer._file.connection.close()
    outbox.close()
    wrong = []
    ledger = check_history(state / "history.sqlite")
    if not ledger.is_whole:
        wrong.append(f"the ledger is not whole: {ledger}")
    if any(state.glob("*.corrupt*")):
        wrong.append("what a power cut left was taken for damage")
    rows, declared = accounted(state / "history.sqlite")
    if lost := promised.alarmed - rows:
        wrong.append(f"alarmed parts without a row: {sorted(lost)}, deleted: {promised.deleted}")
    story.cuts += 1
    story.empty += not rows
    story.most_lost = max(story.most_lost, len(declared))
    if rows and last is not None:
        unsaid = set(range(min(rows), last + 1)) - rows - declared
        wrong += [f"nothing says where {sorted(unsaid)} are"] if unsaid else []
    return wrong


def accounted(path: Path) -> tuple[set[int], set[int]]:
    """Return the numbers that have a row, and those that were declared lost."""
    with closing(sqlite3.connect(path)) as connection:
        rows = {int(row[0]) for row in connection.execute("SELECT number FROM parts")}
        lost = connection.execute(
            "SELECT first_number, last_number FROM gaps WHERE kind = 'loss'"
        ).fetchall()
    return rows, {n for first, end in lost for n in range(int(first), int(end) + 1)}


@pytest.fixture
def quick_disk() -> Iterator[Path]:
    """Return a folder in memory where there is one: thousands of starts synchronise their files."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def root_of(events: list[Event]) -> Path:
    return next(e.path for e in events if e.kind == "folder").parent


def test_the_power_fails_now_and_then(
    events: list[Event], quick_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At some moments, spread over the whole."""
    caplog.set_level(logging.CRITICAL)
    changes = [number for number, event in enumerate(events) if event.kind != "said"]
    moments = [*changes[:: max(1, len(changes) // QUICK)], changes[-1]]
    story = at_moments(events, moments, root_of(events), quick_disk)
    assert story.cuts > QUICK


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_power_fails_at_every_moment(
    events: list[Event], quick_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After each write, each sync, each rename."""
    caplog.set_level(logging.CRITICAL)
    story = at_moments(events, range(len(events)), root_of(events), quick_disk)
    print(f"{len(events)} calls, {story}")
