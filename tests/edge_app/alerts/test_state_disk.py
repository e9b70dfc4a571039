"""The state disk is read-only, full, failing or slow: alerts go out from memory, in order, once."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.accepting_broker import AcceptingBroker
from support.alert_drafts import WHO, bad_part

from edge_app.alerts import alarm_sink
from edge_app.alerts.alarm_sink import AlarmSink
from edge_app.alerts.alert_drafts import AlertDrafts
from edge_app.errors import OutboxError
from edge_app.mqtt import outbox_disk
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.outbox import Outbox
from edge_app.records import AlarmEvent, EventKind
from edge_app.store.sqlite_files import transaction as real_transaction

SQLITE_SAYS = {
    errno.EROFS: "attempt to write a readonly database",
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EMFILE: "unable to open database file",
}


class Disk:
    """The outbox' files on a disk that fails in a chosen way, or takes its time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        self.is_free = threading.Event()
        self.is_free.set()
        real_pwrite, real_open, real_unlink = os.pwrite, os.open, Path.unlink

        def transaction(connection: sqlite3.Connection) -> object:
            assert self.is_free.wait(20)
            if self.error is not None:
                raise sqlite3.OperationalError(SQLITE_SAYS[self.error])
            return real_transaction(connection)

        def refusing(real: Callable[..., int]) -> Callable[..., int]:
            def call(*args: object, **named: object) -> int:
                if self.error is not None and str(args[0]).isdigit() | ("outbox" in str(args[0])):
                    raise OSError(self.error, os.strerror(self.error))
                return real(*args, **named)

            return call

        patch.setattr(outbox_disk, "transaction", transaction)
        patch.setattr(os, "pwrite", refusing(real_pwrite))
        patch.setattr(os, "open", refusing(real_open))
        patch.setattr(Path, "unlink", refusing(real_unlink))  # type: ignore[arg-type]


class Device:
    """Sink, outbox and the way to a broker that takes everything at once."""

    def __init__(self, folder: Path, max_messages: int = 1000) -> None:
        self.outbox = Outbox(folder / "outbox.db", max_messages, reserve_bytes=1 << 16)
        self.sink = AlarmSink(AlertDrafts(WHO, lambda: True), self.outbox, None, {"cam1": 1.0})
        self.messages: list[Alert] = []
        self._broker = AcceptingBroker(self.outbox)
        self.delivery = self._broker.delivery

    def judges_bad(self, number: int) -> None:
        event = AlarmEvent(EventKind.NEW, "cam1", f"alarm-{number}", bad_part(number))
        self.sink.deliver("cam1", [event], number)

    def publishes(self) -> list[int | None]:
        """Let the broker take what may go; return the parts of the alerts."""
        found = self._broker.takes()
        self.messages += found
        return [alert.source_number for alert in found]

    def settles(self) -> None:
        until_s = time.monotonic() + 20
        while self.sink.pending and time.monotonic() < until_s:
            self.sink.tick()
        self.sink.tick()

    def close(self) -> None:
        self.sink.close()
        self.outbox.close()

    def numbers(self) -> list[tuple[str | None, int]]:
        return [(m.store_id, m.seq) for m in self.messages]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Disk:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(alarm_sink, "STORE_WAIT_S", 20.0)  # what fails is noticed at once
    return Disk(monkeypatch)


@pytest.fixture
def device(disk: Disk, tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    disk.error = None
    disk.is_free.set()
    device.close()


FAULTS = [errno.EROFS, errno.ENOSPC, errno.EIO, errno.EMFILE]


@pytest.mark.parametrize("fault", FAULTS)
def test_alerts_go_out_from_memory_and_all_is_as_before_afterwards(
    device: Device, disk: Disk, tmp_path: Path, fault: int
) -> None:
    """In a numbering of their own, in order, once; after the repair the old one goes on."""
    device.judges_bad(1)
    assert device.publishes() == [1]
    disk.error = fault
    for number in (2, 3, 4):
        device.judges_bad(number)
    assert device.publishes() == [2, 3, 4]
    assert [m.is_from_memory for m in device.messages] == [False, True, True, True]
    assert device.outbox.refusal
    disk.error = None
    device.settles()
    device.judges_bad(5)
    assert device.publishes() == [5]
    assert device.publishes() == []
    ours, memory = device.messages[0].store_id, device.messages[1].store_id
    assert device.numbers() == [(ours, 1), (memory, 1), (memory, 2), (memory, 3), (ours, 2)]
    assert ours != memory
    assert (device.outbox.refusal, device.outbox.depth()) == ("", 0)
    assert device.outbox.last_finished("cam1") == 5
    assert device.outbox.health().in_memory == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_broker_took_is_stored_after_the_repair(
    device: Device, disk: Disk, fault: int
) -> None:
    """Alerts that only waited in memory are on the disk afterwards, as if nothing had been."""
    disk.error = fault
    for number in (1, 2):
        device.judges_bad(number)
    assert device.outbox.health().in_memory == 2
    disk.error = None
    device.settles()
    assert device.outbox.health().in_memory == 0
    assert [a.seq for a in device.outbox.next_batch(10)] == [1, 2]
    assert device.publishes() == [1, 2]
    assert not any(m.is_from_memory or m.told_as for m in device.messages)


def test_one_that_was_on_its_way_is_stored_under_both_numbers(device: Device, disk: Disk) -> None:
    """Sent from memory, not acknowledged: it is told again, with the number it may have had."""
    device.publishes()
    disk.error = errno.EIO
    device.judges_bad(1)
    (told,) = device.outbox.next_batch(10)
    disk.error = None
    device.settles()
    (stored,) = device.outbox.next_batch(10)
    assert stored.numbering["told_as"] == {"store_id": told.numbering["store_id"], "seq": 1}
    assert json.loads(stored.body)["message_id"] == json.loads(told.body)["message_id"]
    device.outbox.delete(told.seq)  # the acknowledgement comes after all
    assert device.outbox.depth() == 0


def test_what_was_acknowledged_on_a_failing_disk_is_not_sent_again(
    device: Device, disk: Disk
) -> None:
    """Stored before, taken by the broker while nothing can be deleted: once is enough."""
    device.judges_bad(1)
    device.judges_bad(2)
    disk.error = errno.EROFS
    assert device.publishes() == [1, 2]
    assert device.publishes() == []
    device.delivery.resume()
    assert device.publishes() == []
    assert device.outbox.depth() == 0
    disk.error = None
    device.settles()
    device.settles()
    assert device.outbox.health().depth == 0


def test_a_slow_disk_holds_up_neither_the_line_nor_the_alerts(
    device: Device, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one write hangs, parts are judged and told; then everything is stored, in order."""
    monkeypatch.setattr(alarm_sink, "STORE_WAIT_S", 0.05)
    device.publishes()
    disk.is_free.clear()
    for number in range(1, 21):
        device.judges_bad(number)
    assert device.publishes() == list(range(1, 21))
    disk.is_free.set()
    device.settles()
    device.judges_bad(21)
    assert device.publishes() == [21]
    assert device.outbox.last_finished("cam1") == 21
    assert not device.outbox.refusal


def test_a_full_memory_is_told(device: Device, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit alerts are counted, and the count is an alert once there is a disk."""
    monkeypatch.setattr(alarm_sink, "MAX_PENDING", 5)
    device.publishes()
    disk.error = errno.EROFS
    for number in range(1, 9):
        device.judges_bad(number)
    disk.error = None
    device.settles()
    device.settles()
    device.publishes()
    told = [m.source_number for m in device.messages if m.event == "new"]
    counted = [(m.gap.reason, m.gap.count) for m in device.messages if m.gap]
    assert (told, counted) == ([1, 2, 3, 4, 5], [("memory_full", 3)])


def test_a_start_on_a_disk_that_takes_nothing_inspects(disk: Disk, tmp_path: Path) -> None:
    """No outbox can be opened: alerts are told from memory, and stored once the disk is back."""
    earlier = Device(tmp_path)
    earlier.judges_bad(1)
    earlier.close()
    disk.error = errno.EROFS
    device = Device(tmp_path)
    device.judges_bad(2)
    assert device.publishes() == [2]
    assert device.messages[0].is_from_memory
    disk.error = None
    device.settles()
    device.judges_bad(3)
    assert device.publishes() == [1, 3]
    assert [(m.seq, m.is_from_memory) for m in device.messages] == [
        (1, True),
        (1, False),
        (2, False),
    ]
    device.close()


def test_a_wrong_folder_is_a_mistake_and_no_fault_of_the_disk(tmp_path: Path) -> None:
    """A missing right or a file in the way does not pass: it is said at the start."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="check that the folder exists"):
        Outbox(tmp_path / "file" / "o.db")


def test_without_free_descriptors_numbers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the reserved block the mark has to be raised: it is written through an open file."""
    outbox = Outbox(tmp_path / "outbox.db", reserve_bytes=0)
    sink = AlarmSink(AlertDrafts(WHO, lambda: True), outbox, None, {"cam1": 1.0})
    events = [AlarmEvent(EventKind.NEW, "cam1", "a", bad_part(1))]
    sink.deliver("cam1", events, 1)
    real = os.open

    def none_left(*args: object, **named: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    for number in range(2, 252):
        sink.deliver("cam1", events, number)
    assert (sink.pending, outbox.last_seq, outbox.depth()) == (0, 251, 251)
    monkeypatch.setattr(os, "open", real)
    sink.close()
    mark = json.loads((tmp_path / "outbox.db.highwater").read_text())
    assert mark["seq"] >= 251
    outbox.close()
