"""Stories of alerts and their pictures: the alert is safe first, and never waits long."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.accepting_broker import AcceptingBroker
from support.alert_drafts import WHO, bad_part
from support.alert_listener import AlertListener
from support.brokers import HOST, patient_s, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT

from edge_app.alerts.alarm_sink import AlarmSink
from edge_app.alerts.alert_drafts import AlertDrafts
from edge_app.alerts.evidence import EvidenceStore, write_whole
from edge_app.alerts.evidence_worker import EvidenceWorker, Picture
from edge_app.alerts.sidecar import PictureFiles
from edge_app.demo.broker import EmbeddedBroker
from edge_app.errors import OutboxError
from edge_app.host.age_clock import AgeClock
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.part_messages import Alert
from edge_app.mqtt.pending_evidence import EVIDENCE_WAIT_S
from edge_app.mqtt.publisher import MqttSettings, Publisher
from edge_app.records import AlarmEvent, EventKind, Evidence, Frame

FRAME_HW = (48, 64)


def frame(number: int) -> Frame:
    pixels = np.random.default_rng(number).integers(0, 255, (*FRAME_HW, 3), np.uint8)
    return Frame("cam1", number, pixels, 1_000, source_number=number)


def event(kind: EventKind, number: int, of: Frame | None = None) -> AlarmEvent:
    return AlarmEvent(kind, "cam1", f"alarm-{number}", bad_part(number), frame=of)


class Disk:
    """A real disk that can be held still or be full."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        self.is_full = False

    def __call__(self, path: Path, data: bytes) -> None:
        assert self.is_free.wait(20)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, data)


class Device:
    """Sink, outbox, worker and the way to the broker; time in the outbox passes when told."""

    def __init__(self, folder: Path, max_waiting_bytes: int = 1 << 20) -> None:
        self.now_ns = 10**12
        self.disk = Disk()
        self.shown: list[AlarmEvent] = []
        self.outbox = Outbox(folder / "o.db", reserve_bytes=0, monotonic_ns=lambda: self.now_ns)
        self.store = EvidenceStore(folder / "evidence", 24, 10**8, 85, "http://x", write=self.disk)
        self.worker = EvidenceWorker(self.store, max_waiting_bytes)
        self.sink = AlarmSink(
            AlertDrafts(WHO, lambda: True), self.outbox, None, {"cam1": 1.0}, self.worker,
            self.shown.append,
        )  # fmt: skip
        self.messages: list[Alert] = []
        self._broker = AcceptingBroker(self.outbox)
        self.worker.start()

    def judges_bad(self, number: int) -> None:
        """One part, one frame: new and end."""
        events = [event(EventKind.NEW, number, frame(number)), event(EventKind.END, number)]
        self.sink.deliver("cam1", events, number)

    def publishes(self) -> list[tuple[str, str, bool]]:
        """Let the broker take what may go; return (event, alarm, has a picture) of each."""
        found = self._broker.takes()
        self.messages += found
        return [(a.event, a.alarm_id, a.evidence is not None) for a in found]

    def settles(self) -> None:
        wait_until(lambda: self.worker.is_idle)

    def passes_the_wait(self) -> None:
        self.now_ns += round(EVIDENCE_WAIT_S * 1e9)

    def close(self) -> None:
        self.disk.is_free.set()
        self.worker.stop()
        self.outbox.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    device.close()


def test_in_time_there_is_one_message_with_its_picture(device: Device, tmp_path: Path) -> None:
    """Nothing is sent before the picture is there; its hash is that of the file."""
    device.judges_bad(1)
    device.settles()
    assert device.publishes() == [("new", "alarm-1", True), ("end", "alarm-1", True)]
    device.passes_the_wait()
    assert device.publishes() == []
    new, end = device.messages
    assert new.evidence == end.evidence
    assert new.evidence is not None
    path = tmp_path / "evidence" / new.evidence.url.split("/evidence/")[1]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == new.evidence.sha256
    assert [e.evidence.url for e in device.shown if e.evidence] == [new.evidence.url]


def test_late_there_is_a_message_without_and_then_an_update_with_it(device: Device) -> None:
    """A slow disk delays no alert: half a second, then the picture follows as an update."""
    device.disk.is_free.clear()
    device.judges_bad(1)
    assert device.publishes() == []
    device.passes_the_wait()
    assert device.publishes() == [("new", "alarm-1", False), ("end", "alarm-1", False)]
    device.disk.is_free.set()
    device.settles()
    wait_until(lambda: device.outbox.depth() == 1)
    assert device.publishes() == [("update", "alarm-1", True)]
    new, _, update = device.messages
    assert [a.seq for a in device.messages] == [1, 2, 3]
    assert len({a.message_id for a in device.messages}) == 3
    same = {"event", "message_id", "seq", "evidence", "published_at"}
    assert update.model_dump(exclude=same) == new.model_dump(exclude=same)


def test_a_part_still_on_the_belt_gets_its_late_picture_in_between(device: Device) -> None:
    """new without, update with the picture, and the end that comes later has it too."""
    device.disk.is_free.clear()
    device.sink.deliver("cam1", [event(EventKind.NEW, 1, frame(1))], None)
    device.passes_the_wait()
    assert device.publishes() == [("new", "alarm-1", False)]
    device.disk.is_free.set()
    wait_until(lambda: device.outbox.depth() == 1)
    device.sink.deliver("cam1", [event(EventKind.END, 1)], None)
    assert device.publishes() == [("update", "alarm-1", True), ("end", "alarm-1", True)]


def test_an_old_picture_does_not_speak_after_a_newer_view(device: Device) -> None:
    """A worse view was told meanwhile: its own picture follows, the first one's stays on disk."""
    device.disk.is_free.clear()
    device.sink.deliver("cam1", [event(EventKind.NEW, 1, frame(1))], None)
    device.sink.deliver("cam1", [event(EventKind.UPDATE, 1, frame(2))], None)
    device.passes_the_wait()
    assert device.publishes() == [("new", "alarm-1", False), ("update", "alarm-1", False)]
    device.disk.is_free.set()
    wait_until(lambda: device.outbox.depth() == 1)
    device.settles()
    assert device.publishes() == [("update", "alarm-1", True)]
    (last,) = device.messages[-1:]
    assert last.evidence is not None
    assert last.evidence.url.endswith("-2.jpg"), "the second picture of this part"
    assert device.store.stats().count == 2


def test_never_the_alert_goes_without_and_that_is_said(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    """Disk full: no wait, no picture, one count and one warning."""
    device.disk.is_full = True
    with caplog.at_level(logging.WARNING):
        device.judges_bad(1)
        device.settles()
    assert device.publishes() == [("new", "alarm-1", False), ("end", "alarm-1", False)]
    stats = device.store.stats()
    assert (stats.dropped, stats.count) == (1, 0)
    assert "No space left" in stats.problem
    assert "the alert goes out without a picture" in caplog.text
    assert device.outbox.last_finished("cam1") == 1


def test_many_bad_parts_in_a_row_cost_pictures_not_alerts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A burst beyond the queue: each of 200 parts has its alerts in order, the rest is counted."""
    caplog.set_level(logging.CRITICAL)
    bytes_each = FRAME_HW[0] * FRAME_HW[1] * 3
    device = Device(tmp_path, max_waiting_bytes=10 * bytes_each)
    device.disk.is_free.clear()
    started_s = time.monotonic()
    for number in range(200):
        device.judges_bad(number)
    took_s = time.monotonic() - started_s
    device.passes_the_wait()
    device.publishes()
    device.disk.is_free.set()
    device.settles()
    wait_until(lambda: device.store.stats().count + device.store.stats().dropped == 200)
    wait_until(lambda: device.sink.pending == 0)
    device.publishes()
    news = [a for a in device.messages if a.event == "new"]
    assert [a.alarm_id for a in news] == [f"alarm-{n}" for n in range(200)]
    assert [a.seq for a in device.messages] == list(range(1, len(device.messages) + 1))
    stats = device.store.stats()
    assert stats.dropped >= 200 - 12
    assert sum(a.evidence is not None for a in device.messages) == stats.count
    assert took_s < 20, "no alert waited for the disk"
    device.close()


def test_several_parts_of_one_frame_share_its_memory(tmp_path: Path) -> None:
    """Ten bad parts in one large frame fit: their frame is in memory once."""
    device = Device(tmp_path, max_waiting_bytes=FRAME_HW[0] * FRAME_HW[1] * 3)
    device.disk.is_free.clear()
    one = frame(1)
    device.sink.deliver("cam1", [event(EventKind.NEW, 0, frame(0))], None)
    wait_until(lambda: device.worker._is_busy)
    device.sink.deliver("cam1", [event(EventKind.NEW, n, one) for n in range(1, 11)], None)
    device.disk.is_free.set()
    device.settles()
    assert device.store.stats().count == 11
    device.close()


def test_while_the_outbox_fails_pictures_are_written_all_the_same(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Alerts go out from memory at once; their picture follows when they could be stored."""
    caplog.set_level(logging.CRITICAL)

    def broken(*_: object) -> list[int]:
        raise OutboxError("disk gone")

    with monkeypatch.context() as patch:
        patch.setattr(device.outbox, "append", broken)
        device.judges_bad(1)
        device.settles()
    assert device.publishes() == [("new", "alarm-1", False), ("end", "alarm-1", False)]
    assert [a.is_from_memory for a in device.messages] == [True, True]
    device.sink.tick()
    device.settles()
    wait_until(lambda: device.sink.pending == 0)
    assert device.publishes() == [("update", "alarm-1", True)]
    assert device.outbox.last_finished("cam1") == 1
    assert device.outbox.depth() == 0


def test_a_part_that_was_not_inspected_waits_for_nothing(device: Device) -> None:
    """No view caused it, so there is no picture."""
    device.disk.is_free.clear()
    device.sink.deliver("cam1", [event(EventKind.NEW, 1), event(EventKind.END, 1)], 1)
    assert device.publishes() == [("new", "alarm-1", False), ("end", "alarm-1", False)]


def test_what_waits_at_the_end_is_written(device: Device, tmp_path: Path) -> None:
    """Stopping writes the pictures in the queue, and takes no further ones."""
    device.disk.is_free.clear()
    for number in range(5):
        device.judges_bad(number)
    device.disk.is_free.set()
    device.worker.stop()
    device.judges_bad(5)
    assert len(device.publishes()) == 12
    assert [a.evidence is not None for a in device.messages] == [True] * 10 + [False] * 2
    assert device.store.stats().dropped == 1


def test_a_hanging_disk_does_not_hold_up_the_end(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    """After its time `stop` gives up: what waits is dropped, counted, and its alerts go out."""
    caplog.set_level(logging.CRITICAL)
    device.disk.is_free.clear()
    device.judges_bad(1)
    wait_until(lambda: device.worker._is_busy)
    device.judges_bad(2)
    device.worker.stop(0.1)
    assert device.store.stats().dropped == 1
    device.passes_the_wait()
    assert [a for _, a, _ in device.publishes()] == ["alarm-1"] * 2 + ["alarm-2"] * 2


def test_old_pictures_go_in_small_steps(tmp_path: Path) -> None:
    """2,000 expired pictures are deleted by the worker, and a new one is written in between."""
    device = Device(tmp_path)
    at_s = [0.0]
    clock = AgeClock(lambda: 1.8e9 + at_s[0], lambda: at_s[0], lambda: True, 0)
    device.store._clock = device.store._index._clock = clock
    file = PictureFiles(b"x", (1, 1), None, None)
    assert all(device.store._store(f"old-{n}", "ng", file) is not None for n in range(2_000))
    at_s[0] = 25 * 3600
    device.judges_bad(1)
    device.settles()
    assert device.publishes() == [("new", "alarm-1", True), ("end", "alarm-1", True)]
    wait_until(lambda: device.store.stats().expired == 2_000)
    assert device.store.stats().count == 1
    device.close()


VICTIM = """
import os, signal, sys
from pathlib import Path
from edge_app.alerts import evidence
sys.path.insert(0, sys.argv[3])
from test_evidence_after_alert import Device

def die(path, data):
    if path.suffix == ".json":
        return evidence.write_whole(path, data)
    if sys.argv[2] == "half":
        path.with_name(f".{path.name}.part").write_bytes(data[:100])
    else:
        evidence.write_whole(path, data)
    os.kill(os.getpid(), signal.SIGKILL)

device = Device(Path(sys.argv[1]))
device.store._write = die
device.judges_bad(1)
device.settles()
"""


@pytest.mark.parametrize(("moment", "pictures"), [("half", 0), ("whole", 1)])
def test_killed_between_alert_and_picture(
    tmp_path: Path, moment: str, pictures: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The alert is there and goes out at once; a picture that no alert names is counted, pruned."""
    command = [sys.executable, "-c", VICTIM, str(tmp_path), moment, str(Path(__file__).parent)]
    died = subprocess.run(command, env=SCRIPT_ENVIRONMENT, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    with caplog.at_level(logging.WARNING):
        device = Device(tmp_path)
    assert "2 stored alerts go out without evidence" in caplog.text
    assert device.publishes() == [("new", "alarm-1", False), ("end", "alarm-1", False)]
    assert device.outbox.last_finished("cam1") == 1
    assert device.store.stats().count == pictures
    assert not list((tmp_path / "evidence").rglob("*.part"))
    assert len(list((tmp_path / "evidence").rglob("*.json"))) == pictures
    now_s = time.time()
    for kept in (tmp_path / "evidence").rglob("*.jpg"):
        os.utime(kept, (now_s - 25 * 3600, now_s - 25 * 3600))
    device.close()
    ages = AgeClock(is_synchronised=lambda: True, hold_s=0)
    again = EvidenceStore(tmp_path / "evidence", 24, 10**8, 85, "http://x", ages)
    assert again.stats().count == 0


@pytest.mark.needs("the extra demo")
def test_over_a_real_broker_the_late_picture_is_an_update(tmp_path: Path) -> None:
    """Publisher, broker and subscriber: half a second without, and the update when it is there."""
    disk = Disk()
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    store = EvidenceStore(tmp_path / "evidence", 24, 10**8, 85, "http://x", write=disk)
    worker = EvidenceWorker(store)
    with EmbeddedBroker() as broker, AlertListener(broker.port) as listener:
        publisher = Publisher(MqttSettings(HOST, broker.port), WHO, outbox)
        drafts = AlertDrafts(WHO, lambda: True)
        sink = AlarmSink(drafts, outbox, publisher, {"cam1": 1.0}, worker)
        publisher.start()
        worker.start()
        wait_until(lambda: publisher.state == "connected")
        disk.is_free.clear()
        stored_s = time.monotonic()
        sink.deliver("cam1", [event(EventKind.NEW, 1, frame(1)), event(EventKind.END, 1)], 1)
        wait_until(lambda: len(listener.heard) == 2)
        waited_s = listener.heard[0][0] - stored_s
        disk.is_free.set()
        wait_until(lambda: len(listener.heard) == 3 and outbox.depth() == 0)
        publisher.stop()
        worker.stop()
    outbox.close()
    told = [(a["event"], a["seq"], a["evidence"] is not None) for a in listener.alerts]
    assert told == [("new", 1, False), ("end", 2, False), ("update", 3, True)]
    assert EVIDENCE_WAIT_S - 0.02 < waited_s < EVIDENCE_WAIT_S + patient_s(1.0)


class Held:
    """Takes pictures and writes none: the test says what became of each."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def offer(self, picture: Picture) -> None:
        self.pictures.append(picture)


@pytest.mark.parametrize("first", ["before", "after"])
def test_an_earlier_views_picture_stands_in_for_one_that_was_dropped(
    tmp_path: Path, first: str
) -> None:
    """`new` went out without its picture, the `update`'s is dropped: both later alerts show it."""
    now_ns = 10**12
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0, monotonic_ns=lambda: now_ns)
    held = Held()
    sink = AlarmSink(AlertDrafts(WHO, lambda: True), outbox, None, {"cam1": 1.0}, held)
    kept = Evidence("http://x/evidence/1.jpg", "ab" * 32)
    sink.deliver("cam1", [event(EventKind.NEW, 1, frame(1))], 1)
    now_ns += round(EVIDENCE_WAIT_S * 1e9)
    assert len(outbox.next_batch(10)) == 1
    sink.deliver("cam1", [event(EventKind.UPDATE, 1, frame(2))], 2)
    done: list[Callable[[], object]] = [
        lambda: held.pictures[0].on_done(kept, ("ng",)),
        lambda: held.pictures[1].on_done(None, ()),
    ]
    for call in done if first == "before" else reversed(done):
        call()
    sink.deliver("cam1", [event(EventKind.END, 1)], 3)
    bodies = [json.loads(alert.body) for alert in outbox.next_batch(10)]
    assert [(b["event"], b["evidence"] is not None) for b in bodies] == [
        ("new", False),
        ("update", True),
        ("end", True),
    ]
    outbox.close()
