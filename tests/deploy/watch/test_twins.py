"""Two machines that are one device, and a machine with an old disk, are named by `watch`."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from support.alert_drafts import draft

from deploy.watch.twins import MAX_DEVICES, MAX_NUMBERS, Twins
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.outbox import Outbox

_ids = itertools.count(1)


def alert(store_id: str | None, seq: int, **more: object) -> Alert:
    body = draft(1).model_dump() | {
        "seq": seq, "session": 1, "published_at": "2026-11-22T05:02:14.123456789Z",
        "replayed": False, "store_id": store_id,
        "message_id": f"019aa9c2-0000-7000-8000-{next(_ids):012x}",
    }  # fmt: skip
    return Alert(**body | more)


def sent(folder: Path, count: int, boot: str) -> list[Alert]:
    """Return what a machine with this state folder sends in one start."""
    outbox = Outbox(folder / "outbox.sqlite", 1000, 1 << 16, boot=boot)
    try:
        seqs = [outbox.append([draft(n)])[0] for n in range(1, count + 1)]
        return [alert(outbox.health().store_id, seq) for seq in seqs]
    finally:
        outbox.close()


def faults(twins: Twins, alerts: list[Alert]) -> list[str]:
    return [fault for a in alerts if (fault := twins.fault_of(a)) is not None]


def test_two_machines_restored_from_one_backup_are_named(tmp_path: Path) -> None:
    """Each begins a numbering of its own; they take turns. Said once, with what to do."""
    for name in "ab":
        (tmp_path / name).mkdir()
    turns = [sent(tmp_path / name, 2, name) for name in "ababab"]
    twins = Twins()
    assert faults(twins, turns[0] + turns[1]) == []
    said = faults(twins, [a for turn in turns[2:] for a in turn])
    assert len(said) == 1
    assert "two machines are this device" in said[0]
    assert "Switch one off" in said[0]


def test_an_old_disk_image_is_named(tmp_path: Path) -> None:
    """The machine itself cannot know: its records agree with each other."""
    (tmp_path / "now").mkdir()
    twins = Twins()
    assert faults(twins, sent(tmp_path / "now", 5, "boot-1")) == []
    shutil.copytree(tmp_path / "now", tmp_path / "image")
    assert faults(twins, sent(tmp_path / "now", 5, "boot-2")) == []
    said = faults(twins, sent(tmp_path / "image", 5, "boot-3"))
    assert len(said) == 1
    assert "numbers alerts a second time (from 6)" in said[0]


def test_what_is_right_is_not_named() -> None:
    """A new numbering, gaps, late and repeated messages, memory, 0.1.0 and back."""
    twins = Twins()
    first = alert("a", 1)
    right = [
        alert(None, 1), alert(None, 1), first, first, alert("a", 3), alert("a", 2),
        alert("memory", 1, is_from_memory=True), alert("a", 4), alert("b", 5), alert("b", 6),
        alert(None, 7), alert("b", 8), alert("c", 1),
        alert("b", 9, device="other"), alert("a", 1, device="other"),
    ]  # fmt: skip
    assert faults(twins, right) == []


def test_memory_is_bounded() -> None:
    """Whatever is sent, by whomever."""
    twins = Twins()
    for number in range(MAX_DEVICES + 10):
        twins.fault_of(alert("a", 1, device=f"d{number}"))
    assert len(twins._devices) == MAX_DEVICES
    one = alert("a", 1, device="one")
    for seq in range(1, MAX_NUMBERS + 10):
        twins.fault_of(one.model_copy(update={"seq": seq, "message_id": f"{seq}"}))
    assert len(twins._devices[f"{one.site}/{one.line}/one"].numbers) == MAX_NUMBERS
