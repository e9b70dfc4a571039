"""Damage to the outbox costs what it hits: counted, told as a gap, and the rest goes out."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import WHO, draft

from edge_app.mqtt.high_water import HighWater, read_high_water
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outbox_losses import Loss, loss_alerts
from edge_app.mqtt.timestamps import uuid7

BOOT = "00000000-0000-4000-8000-000000000001"
NEXT_BOOT = "00000000-0000-4000-8000-000000000002"


def loss_alert(loss: Loss) -> AlertDraft:
    new_id = uuid7(time.time_ns(), lambda bits: hash(loss) % (1 << bits))
    return loss_alerts(WHO, "cam1", lambda: new_id, lambda: True)(loss)


def open_outbox(path: Path, boot: str = BOOT) -> Outbox:
    return Outbox(path, reserve_bytes=0, loss_alert=loss_alert, boot=boot)


def messages(outbox: Outbox) -> list[dict[str, Any]]:
    """Return what would be published, numbered."""
    return [
        json.loads(alert.body) | {"seq": alert.seq} | alert.numbering
        for alert in outbox.next_batch(100_000)
    ]


def parts(outbox: Outbox) -> list[int]:
    return [m["source_number"] for m in messages(outbox) if m["event"] == "new"]


def gaps(outbox: Outbox) -> list[tuple[str, int, int | None, int | None]]:
    found = [m["gap"] for m in messages(outbox) if m["event"] == "gap"]
    return [(g["reason"], g["count"], g["first_seq"], g["last_seq"]) for g in found]


def kill(outbox: Outbox) -> None:
    """End as SIGKILL does: nothing is closed in order, the write-ahead log stays."""
    folder = outbox._disk._path.parent
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    outbox.close()
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "outbox.sqlite"


def change(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"part_id":"cam1-18f3a2-000002"', b'"part_id":"cam1-18f3a3-000002"'),
        (b'"part_id":"cam1-18f3a2-000002"', b'"part_id":"cam1-18\xff3a2-000002"'),
        (b'"source_number":2,', b'"source_number":2}'),
        (b'"trigger_id":"t2"', b'"trigger_id":"t\x00"'),
    ],
)
def test_a_changed_byte_costs_its_own_row(path: Path, before: bytes, after: bytes) -> None:
    """The row is put aside with its bytes, its loss is an alert of its own, the others go out."""
    outbox = open_outbox(path)
    outbox.append([draft(n) for n in range(1, 6)], "cam1", 5)
    outbox.close()
    change(path, before, after)
    again = open_outbox(path)
    assert parts(again) == [1, 3, 4, 5]
    assert gaps(again) == [("stored_alert_damaged", 1, 2, 2)]
    health = again.health()
    assert (health.lost, health.dead_letters, health.depth) == (1, 1, 5)
    again.append([draft(6)], "cam1", 6)
    assert [m["seq"] for m in messages(again)] == [1, 3, 4, 5, 6, 7]
    again.close()
    third = open_outbox(path)
    assert (third.health().lost, third.health().dead_letters) == (0, 1)
    assert gaps(third) == [("stored_alert_damaged", 1, 2, 2)]  # once
    third.close()
    connection = sqlite3.connect(path)
    ((kept, why),) = connection.execute("SELECT CAST(body AS BLOB), why FROM dead_letters")
    connection.close()
    assert after in kept
    assert why == "its bytes have changed since it was stored"


def test_a_row_that_is_damaged_while_running_is_passed_over(path: Path) -> None:
    """Found when it is to be sent: the next one is taken in the same batch."""
    outbox = open_outbox(path)
    outbox.append([draft(n) for n in range(1, 4)], "cam1", 3)
    outbox._disk._store.connection.execute(  # type: ignore[union-attr]
        "UPDATE alerts SET body = replace(body, '000002', '000009') WHERE seq = 2"
    )
    assert parts(outbox) == [1, 3]
    assert gaps(outbox) == [("stored_alert_damaged", 1, 2, 2)]
    outbox.close()


def test_a_damaged_check_does_not_cost_its_row(path: Path) -> None:
    """What was hit is the check, and the check says so itself: the alert goes out."""
    outbox = open_outbox(path)
    outbox.append([draft(1), draft(2)], "cam1", 2)
    outbox.close()
    for bytes_of in ("zeroblob(20)", "x'00'", "'text'"):
        connection = sqlite3.connect(path)
        connection.execute(f"UPDATE row_checks SET bytes = {bytes_of} WHERE seq = 1")
        connection.commit()
        connection.close()
        again = open_outbox(path)
        assert (parts(again), gaps(again)) == ([1, 2], [])
        again.close()


@pytest.mark.parametrize(
    "body", ['{"x":' + "[" * 100_000, '{"event":"new"}', "", "\x00", '"text"', "{" + "9" * 5000]
)
def test_a_row_without_a_check_is_judged_by_what_it_says(path: Path, body: str) -> None:
    """0.1.0 keeps no checks: its rows go out, and what is no alert is put aside."""
    outbox = open_outbox(path)
    outbox.append([draft(1)], "cam1", 1)
    outbox.close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM row_checks")
    connection.execute("INSERT INTO alerts VALUES (2, 1, 'cam1', ?)", (body,))
    row = (3, 1, "cam1", draft(3).model_dump_json())
    connection.execute("INSERT INTO alerts VALUES (?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    again = open_outbox(path)
    assert parts(again) == [1, 3]
    assert gaps(again) == [("stored_alert_damaged", 1, 2, 2)]
    again.close()


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied"])
def test_a_log_that_is_lost_after_a_kill_is_told(path: Path, damage: str) -> None:
    """The number of stored alerts that are gone is told, and no number is given out again."""
    outbox = open_outbox(path)
    outbox.append([draft(1), draft(2), draft(3)], "cam1", 3)
    outbox._disk._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    outbox.append([draft(n) for n in range(4, 25)], "cam1", 24)
    outbox.delete(1)
    kill(outbox)
    wal = path.with_name(path.name + "-wal")
    if damage == "removed":
        wal.unlink()
    else:
        wal.write_bytes(wal.read_bytes()[: 5000 if damage == "cut" else 0])
    again = open_outbox(path)
    assert again.health().lost == 21
    assert parts(again) == [2, 3]  # number 1 was delivered
    assert gaps(again) == [("stored_alerts_lost", 21, 4, 24)]
    assert again.append([draft(25)], "cam1", 25) == [26]
    again.close()


def test_after_a_power_cut_the_numbers_that_may_have_been_used_are_left_out(path: Path) -> None:
    """Another boot: only the mark can be trusted, and the next alert says what was skipped."""
    outbox = open_outbox(path)
    outbox.append([draft(1), draft(2), draft(3)], "cam1", 3)
    kill(outbox)
    again = open_outbox(path, NEXT_BOOT)
    again.close()  # before any alert: the next start must say it all the same
    third = open_outbox(path, NEXT_BOOT)
    assert third.append([draft(4), draft(5)], "cam1", 5) == [101, 102]
    sent = messages(third)
    assert [m["skipped_from"] for m in sent] == [None, None, None, 4, None]
    assert [m["store_id"] for m in sent] == [third.store_id] * 5
    assert third.health().lost == 0
    third.close()


def test_after_an_orderly_end_nothing_is_left_out(path: Path) -> None:
    """A restart of the machine after the app has closed its files leaves no jump."""
    outbox = open_outbox(path)
    outbox.append([draft(1)], "cam1", 1)
    outbox.close()
    again = open_outbox(path, NEXT_BOOT)
    assert again.append([draft(2)], "cam1", 2) == [2]
    assert messages(again)[1]["skipped_from"] is None
    assert again.store_id == outbox.store_id
    again.close()


def test_when_every_record_is_gone_a_new_numbering_begins(path: Path) -> None:
    """Nobody can say which numbers were used: they count under another store_id."""
    outbox = open_outbox(path)
    outbox.append([draft(1)], "cam1", 1)
    first = outbox.store_id
    outbox.close()
    shutil.rmtree(path.parent)
    again = open_outbox(path)
    assert again.append([draft(2)], "cam1", 2) == [1]
    assert again.store_id != first
    again.close()


@pytest.mark.parametrize("boot", [BOOT, NEXT_BOOT])
def test_a_removed_database_is_told(path: Path, boot: str) -> None:
    """What waited in it is told as lost; the numbering goes on above."""
    outbox = open_outbox(path)
    outbox.append([draft(n) for n in range(1, 6)], "cam1", 5)
    kill(outbox)
    path.unlink()
    path.with_name(path.name + "-wal").unlink()
    again = open_outbox(path, boot)
    assert gaps(again) == [("stored_alerts_lost", 5, 1, 5)]
    assert again.health().lost == 5
    assert again.append([draft(6)], "cam1", 6)[0] > 6
    assert again.store_id == outbox.store_id
    again.close()


@pytest.mark.parametrize("length", [0, 100, 511, 512, 600, 1023])
def test_half_of_the_last_number_is_none(path: Path, length: int) -> None:
    """The slot that is left may be the older one: its number counts for nothing."""
    outbox = open_outbox(path)
    used = {(outbox.store_id, s) for n in range(5) for s in outbox.append([draft(n)], "cam1", n)}
    kill(outbox)
    last = path.with_name(path.name + ".last")
    last.write_bytes(last.read_bytes()[:length])
    for ending in (".highwater", "-wal"):
        path.with_name(path.name + ending).unlink()
    again = open_outbox(path)
    fresh = {(again.store_id, s) for s in again.append([draft(n) for n in range(9)], "cam1", 59)}
    assert not used & fresh
    again.close()


@pytest.mark.parametrize("gone", [[".last"], [".highwater"], [".last", ".highwater"]])
@pytest.mark.parametrize("boot", [BOOT, NEXT_BOOT])
def test_no_number_is_given_out_twice_where_records_are_gone(
    path: Path, gone: list[str], boot: str
) -> None:
    """With what is left the numbers go on, or a new numbering begins: never (id, seq) twice."""
    outbox = open_outbox(path)
    used = {(outbox.store_id, s) for s in outbox.append([draft(n) for n in range(30)], "cam1", 29)}
    kill(outbox)
    for ending in [*gone, "-wal"]:
        path.with_name(path.name + ending).unlink()
    again = open_outbox(path, boot)
    fresh = {(again.store_id, s) for s in again.append([draft(n) for n in range(30)], "cam1", 59)}
    assert not used & fresh
    again.close()


def test_a_mark_with_a_changed_digit_is_no_mark(path: Path) -> None:
    """The side file has a check; 0.1.0's, which has none, is read as it is."""
    outbox = open_outbox(path)
    outbox.append([draft(1)], "cam1", 1)
    outbox.close()
    mark = path.with_name(path.name + ".highwater")
    assert read_high_water(mark) == HighWater(1, 1, int(outbox.store_id, 16))
    change(mark, b'"seq": 1', b'"seq": 7')
    assert read_high_water(mark) is None
    mark.write_text('{"seq": 200, "session": 3}')
    assert read_high_water(mark) == HighWater(200, 3, 0)
    for odd in ("[" * 100_000, "[]", "7", '{"seq": -1, "session": 1}', '{"seq": 1e999}', "\xff"):
        mark.write_text(odd)
        assert read_high_water(mark) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"count INTEGER NOT NULL, body", b"cound INTEGER NOT NULL, body"),
        (b"seq INTEGER PRIMARY KEY, session", b"seq INTEGER PRIMARY KEX, session"),
        (b"alerts (seq INTEGER", b"alerts (seq INTEGES"),
        (b"value INTEGER NOT NULL)", b"value INTEGER \xceOT NULL)"),
    ],
)
def test_a_damaged_table_definition_is_damage(path: Path, before: bytes, after: bytes) -> None:
    """SQLite reads the definitions as text: what was stored is taken over, the line goes on."""
    outbox = open_outbox(path)
    outbox.append([draft(1), draft(2)], "cam1", 2)
    outbox.close()
    change(path, before, after)
    again = open_outbox(path)
    assert parts(again) == [1, 2]
    assert again.append([draft(3)], "cam1", 3)[0] > 2
    again.close()
