"""Random damage to a device's state folder, and what a start afterwards has to keep to."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox, StoredAlert
from edge_app.mqtt.outbox_losses import Loss, loss_alerts
from edge_app.mqtt.timestamps import uuid7
from edge_app.store.row_check import row_check
from support.alert_drafts import WHO, draft

BOOT, NEXT_BOOT = "boot-1", "boot-2"
NAME = "outbox.sqlite"
FILES = (NAME, f"{NAME}-wal", f"{NAME}.highwater", f"{NAME}.last")


@dataclass
class State:
    """A state folder as a kill left it.

    Attributes:
        used: (store_id, seq) → message_id of every number ever given out.
        waiting: body and check of each alert that was stored and not acknowledged.
    """

    folder: Path
    used: dict[tuple[str, int], str] = field(default_factory=dict)
    waiting: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)


def open_connection(outbox: Outbox) -> sqlite3.Connection:
    """Return what an outbox has its file open with."""
    store = outbox._disk._store
    assert store is not None
    return store.connection


def open_outbox(folder: Path, boot: str) -> Outbox:
    """Open as the app does."""

    def new_id() -> str:
        return uuid7(time.time_ns(), random.SystemRandom().getrandbits)

    alert_of = loss_alerts(WHO, "cam1", new_id, lambda: True)

    def loss_alert(loss: Loss) -> AlertDraft:
        return alert_of(loss)

    return Outbox(folder / NAME, reserve_bytes=0, loss_alert=loss_alert, boot=boot)


def make_state(folder: Path, seed: int) -> State:
    """Use an outbox for some sessions and kill the last one."""
    rng = random.Random(seed)
    state = State(folder)
    for session in range(rng.randint(1, 3)):
        outbox = open_outbox(folder, BOOT)
        for _ in range(rng.randint(1, 8)):
            alerts = [draft(rng.randrange(1000)) for _ in range(rng.randint(1, 12))]
            seqs = outbox.append(alerts, "cam1", session)
            for seq, alert in zip(seqs, alerts, strict=True):
                state.used[outbox.store_id, seq] = alert.message_id
        waiting = outbox.next_batch(1000)
        gone = waiting[: rng.randint(0, len(waiting))]
        outbox.delete(*(alert.seq for alert in gone))
        left = waiting[len(gone) :]
        state.waiting = {json.loads(a.body)["message_id"]: _bytes_of(a) for a in left}
        if rng.random() < 0.3:
            outbox._disk._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        kept = folder.with_name(folder.name + "-killed")
        shutil.copytree(folder, kept)
        outbox.close()
        shutil.rmtree(folder)
        kept.rename(folder)
    return state


def _bytes_of(alert: StoredAlert) -> tuple[bytes, bytes]:
    body = alert.body.encode()
    parts = (str(alert.session).encode(), alert.camera.encode(), body, b"")
    return body, row_check(alert.seq, *parts)


def _pages(folder: Path) -> dict[tuple[str, int], bytes]:
    """Return every page of the database and of its log, by its place."""
    found = {}
    for name, first, step, head in ((NAME, 0, 4096, 0), (f"{NAME}-wal", 32, 4120, 24)):
        path = folder / name
        data = path.read_bytes() if path.exists() else b""
        for start in range(first, len(data), step):
            found[name, start] = data[start + head : start + step]
    return found


def do_damage(folder: Path, rng: random.Random, names: tuple[str, ...] = FILES) -> list[str]:
    """Damage one to three files; return what was done, in words."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = folder / rng.choice(names)
        if not path.exists():
            continue
        data = bytearray(path.read_bytes())
        kind = rng.choice(("flip", "flip", "flips", "cut", "swap", "zeros", "emptied", "removed"))
        done.append(f"{kind} {path.name}")
        if kind == "removed":
            path.unlink()
            continue
        path.write_bytes(_changed(data, kind, rng))
    return done


def _changed(data: bytearray, kind: str, rng: random.Random) -> bytes:
    if kind == "emptied" or not data:
        return b""
    if kind in ("flip", "flips"):
        for _ in range(1 if kind == "flip" else 20):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[rng.randrange(len(data)) :]
    else:
        size = min(rng.choice((16, 512, 4096)), len(data) // 2)
        one, other = (rng.randrange(len(data) - size + 1) for _ in range(2))
        if kind == "zeros":
            data[one : one + size] = bytes(size)
        else:
            first, second = data[one : one + size], data[other : other + size]
            data[one : one + size], data[other : other + size] = second, first
    return bytes(data)


@dataclass(frozen=True)
class Outcome:
    """What a start after damage led to.

    Attributes:
        lost: waiting alerts that are not delivered.
        survived: those among them that lie, with their check, in pages without damage.
        announced: how many the gaps count.
        is_marked: a skip or a new numbering says that numbers may be missing.
        repeated: (store_id, seq) given out twice, for different alerts.
        revived: alerts that had been acknowledged and are sent again.
    """

    lost: int
    survived: int
    announced: int
    is_marked: bool
    repeated: list[tuple[str, int]]
    revived: int


def start_again(state: State, folder: Path, boot: str) -> Outcome:
    """Start twice on what is left, deliver everything, append some more."""
    before, now = _pages(state.folder), _pages(folder)
    intact = b"".join(page for place, page in now.items() if before.get(place) == page)
    sent: dict[tuple[str, int], str] = {}
    delivered, announced, is_marked = set[str](), 0, False
    repeated: list[tuple[str, int]] = []
    ours = {store_id for store_id, _ in state.used}
    for _ in range(2):
        outbox = open_outbox(folder, boot)
        outbox.last_finished("cam1")
        outbox.append([draft(n) for n in range(3)], "cam1", 9999)
        for alert in outbox.next_batch(10_000):
            body = json.loads(alert.body)
            number = (str(alert.numbering["store_id"]), alert.seq)
            known = state.used.get(number) or sent.get(number)
            if known not in (None, body["message_id"]):
                repeated.append(number)
            if number not in sent and body["event"] == "gap":
                announced += body["gap"]["count"]
            sent[number] = body["message_id"]
            delivered.add(body["message_id"])
            is_marked |= alert.numbering["skipped_from"] is not None or number[0] not in ours
        outbox.close()
    lost = [m for m in state.waiting if m not in delivered]
    old = set(state.used.values()) - set(state.waiting)
    return Outcome(
        lost=len(lost),
        survived=sum(all(part in intact for part in state.waiting[m]) for m in lost),
        announced=announced,
        is_marked=is_marked,
        repeated=repeated,
        revived=len(old & delivered),
    )
