"""Uses outbox and history together, as the line does, and says what it was promised; for strace.

Usage: history_state_writer.py FOLDER SAID
The history's writer runs without its thread: its batches are written where its thread would write
them. Two starts; checkpoints come early, so that they are among what is recorded.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from edge_app.history.opening import LeftOver
from edge_app.history.retention import Retention
from edge_app.history.writer import HistoryWriter
from edge_app.records import PartVerdict
from edge_app.runtime.waiting_alarms import waiting_alarms
from support.alert_drafts import as_draft
from support.history_parts import alarm, verdict
from support.outbox_damage import BOOT, open_outbox
from support.state_writer import Said

PARTS = 28
"""Of each start; every seventh is bad."""
WAL_PAGES = 12


def history_of(folder: Path, outbox) -> HistoryWriter:  # type: ignore[no-untyped-def]
    """Return the history's writer as the app makes it, not started."""
    last = outbox.last_finished("c")
    return HistoryWriter(
        folder / "history.sqlite",
        {"c": "main"},
        Retention(90, 64),
        {} if last is None else {"c": last},
        left_over=LeftOver(waiting=lambda: waiting_alarms(outbox)),
    )


def commit(writer: HistoryWriter) -> None:
    """Write what waits, as the writer's thread does."""
    assert writer._attempt(list(writer._waiting))
    assert writer._file is not None
    writer._file.connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")


def judge(part: PartVerdict, outbox, writer: HistoryWriter, said: Said) -> None:  # type: ignore[no-untyped-def]
    """One part, as the inspection thread and `RecordedSink` hand it on."""
    number = part.source_number
    assert number is not None
    if part.state.value != "NG":
        outbox.append([], "c", number)
        writer.finished([part])
        return
    event = alarm(part)
    writer.expect([event])
    outbox.append([as_draft(event)], "c", number)
    said("alarmed", number=number)
    deliver(outbox, writer, 1_000, said)  # the broker may be that fast: nothing goes yet
    writer.alarmed([event])
    deliver(outbox, writer, 1_000, said)
    commit(writer)
    writer.finished([part])


def deliver(outbox, writer: HistoryWriter, count: int, said: Said) -> None:  # type: ignore[no-untyped-def]
    """Let the broker have some alerts; they are deleted once their rows are committed."""
    batch = outbox.next_batch(count)
    if batch and not writer.holds_alerts():
        for alert in batch:
            said("deleting", number=json.loads(alert.body)["source_number"])
        outbox.delete(*(alert.seq for alert in batch))


def main(folder: Path, said_path: Path) -> None:
    said = Said(said_path)
    state = folder / "state"
    state.mkdir()
    dice = random.Random(1)
    for start in range(2):
        outbox = open_outbox(state, BOOT)
        writer = history_of(state, outbox)
        commit(writer)
        said("opened")
        for number in range(start * PARTS + 1, (start + 1) * PARTS + 1):
            is_bad = number % 7 == 0
            judge(verdict(number, "NG" if is_bad else "OK", 3.0 if is_bad else 1.0),
                  outbox, writer, said)  # fmt: skip
            if dice.random() < 0.2:
                commit(writer)
            if dice.random() < 0.2:
                deliver(outbox, writer, dice.randint(1, 3), said)
        said("last", number=number)
        if start:
            commit(writer)
            assert writer._file is not None
            writer._file.connection.close()
        outbox.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
