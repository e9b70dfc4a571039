"""Uses everything a device keeps for a while, and says what it was promised; run under strace.

Usage: state_writer.py FOLDER SAID
Each line of SAID is written when a call has returned: from then on a power cut may take nothing of
it. What is about to happen is said before.
"""

from __future__ import annotations

import json
import os
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.cameras.watch_journal import FileVersion, WatchJournal
from edge_app.config.last_good import remember
from edge_app.config.load import load_config
from edge_app.mqtt.timestamps import rfc3339
from edge_app.store.bundle_store import Store
from edge_app.store.intent import Intent
from support.alert_drafts import draft
from support.deploy_pointers import pointer
from support.outbox_damage import BOOT, open_outbox

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)


class Said:
    """Where promises are written."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT)

    def __call__(self, what: str, **values: object) -> None:
        os.write(self._handle, json.dumps({"what": what} | values).encode() + b"\n")


def use_outbox(folder: Path, said: Said, dice: random.Random) -> None:
    """Two sessions, with deletions, checkpoints, and numbers beyond one block."""
    for session in range(2):
        outbox = open_outbox(folder, BOOT)
        said("opened", store_id=outbox.store_id)
        for part in range(6):
            alerts = [draft(dice.randrange(1000)) for _ in range(dice.randint(1, 12))]
            seqs = outbox.append(alerts, "cam1", session * 100 + part)
            for seq, alert in zip(seqs, alerts, strict=True):
                said("stored", store_id=outbox.store_id, seq=seq, id=alert.message_id)
            batch = outbox.next_batch(dice.randint(0, 6))
            for stored in batch:
                said("deleting", id=json.loads(stored.body)["message_id"])
            outbox.delete(*(stored.seq for stored in batch))
        outbox.close()


def use_store(folder: Path, said: Said) -> None:
    """An order from its record to its end, twice."""
    store = Store(folder)
    store.prepare(["main"])
    for number, phase in enumerate(("switching", "probation", "committing", "rolling_back")):
        intent = Intent(slot="main", kind="install", phase=phase, old_sha256=None,
                        new_sha256=f"{number}" * 64)  # fmt: skip
        said("ordering", sha256=intent.new_sha256)
        store.set_intent(intent)
        said("ordered", sha256=intent.new_sha256, phase=phase)
    said("ending")
    store.clear_intent("main")
    said("ended")
    store.raise_high_water("screws", 7)
    said("serial", serial=7)


def use_journals(folder: Path, said: Said) -> None:
    """What must not be done twice."""
    commands, pointers = CommandJournal(folder, lambda: NOW), PointerJournal(folder)
    (folder / "watched").mkdir()
    watched = WatchJournal(folder / "watched", 0)
    for number in range(3):
        commands.take(f"command-{number}", NOW + timedelta(minutes=5))
        said("command", id=f"command-{number}")
        wish = pointer("https://h/x", issued_at=rfc3339(1_790_000_000_000_000_000))
        pointers.take_up("main", wish)
        pointers.end("main", wish.message_id)
        said("pointer", id=wish.message_id)
        shown = watched.add(FileVersion(f"{number}.png", number + 1))
        said("shown", number=shown, name=f"{number}.png")
    watched.close()


def main(folder: Path, said_path: Path) -> None:
    said = Said(said_path)
    (folder / "state").mkdir()
    (folder / "state" / "journals").mkdir()
    use_outbox(folder / "state", said, random.Random(1))
    use_store(folder / "state" / "store", said)
    use_journals(folder / "state" / "journals", said)
    config = folder.with_name("edge-app.toml")
    remember(load_config(config), config)
    said("remembered")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
