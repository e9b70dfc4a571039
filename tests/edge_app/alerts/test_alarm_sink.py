"""Events become safe on disk; the level for lamps is debounced, the events are not."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.alerts.alarm_level import AlarmLevel
from edge_app.alerts.alarm_sink import AlarmSink
from edge_app.alerts.alert_drafts import AlertDrafts
from edge_app.errors import OutboxError
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.topics import DeviceName
from edge_app.records import AlarmEvent, EventKind, PartVerdict, VerdictState

WHO = DeviceName("s", "l", "d")


def event(kind: EventKind, alarm_id: str = "a1", score: float | None = 5.0) -> AlarmEvent:
    state = VerdictState.NG if score else VerdictState.NOT_INSPECTED
    verdict = PartVerdict(
        "cam", f"p-{alarm_id}", state, "", score, 3.0, "t-1", 1, (10, 10), 1_000, None
    )
    return AlarmEvent(kind, "cam", alarm_id, verdict)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_level_stays_on_for_the_debounce_time() -> None:
    """On with `new`, still on after `end`, off when the debounce time has passed."""
    clock = Clock()
    level = AlarmLevel(2.0, clock)
    assert level.change() is None
    level.take(event(EventKind.NEW))
    assert level.change() == (True, "p-a1")
    level.take(event(EventKind.END))
    clock.now_s += 1.9
    assert level.change() is None
    clock.now_s += 0.2
    assert level.change() == (False, None)


def test_a_second_bad_part_keeps_the_level_on() -> None:
    """While another bad part is in the picture the level does not go off."""
    clock = Clock()
    level = AlarmLevel(1.0, clock)
    level.take(event(EventKind.NEW, "a1"))
    level.take(event(EventKind.NEW, "a2"))
    level.take(event(EventKind.END, "a1"))
    clock.now_s += 60
    assert level.change() == (True, "p-a2")
    level.take(event(EventKind.END, "a2"))
    clock.now_s += 1
    assert level.change() == (False, None)


def test_a_part_that_was_not_inspected_lights_no_lamp() -> None:
    """NOT_INSPECTED is published, but the level means a defect."""
    level = AlarmLevel(1.0, Clock())
    level.take(event(EventKind.NEW, score=None))
    assert level.change() is None


def make_sink(tmp_path: Path) -> tuple[AlarmSink, Outbox]:
    outbox = Outbox(tmp_path / "outbox.sqlite", reserve_bytes=0)
    return AlarmSink(AlertDrafts(WHO, lambda: True), outbox, None, {"cam": 1.0}), outbox


def test_events_are_numbered_and_stored_with_the_progress(tmp_path: Path) -> None:
    """After `deliver` the alerts and the finished number are in the store."""
    sink, outbox = make_sink(tmp_path)
    sink.deliver("cam", [event(EventKind.NEW), event(EventKind.END)], 17)
    stored = outbox.next_batch(10)
    assert [s.seq for s in stored] == [1, 2]
    assert outbox.last_finished("cam") == 17
    outbox.close()


def test_a_failing_store_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store cannot be written events wait in memory; later they are stored in order."""
    sink, outbox = make_sink(tmp_path)
    caplog.set_level(logging.CRITICAL)
    real = outbox.append

    def broken(*_: object) -> list[int]:
        raise OutboxError("disk gone")

    monkeypatch.setattr(outbox, "append", broken)
    for number in (1, 2):
        sink.deliver("cam", [event(EventKind.NEW, f"a{number}")], number)
    assert sink.pending == 2
    monkeypatch.setattr(outbox, "append", real)
    sink.tick()
    assert sink.pending == 0
    bodies = [json.loads(s.body) for s in outbox.next_batch(10)]
    assert [b["alarm_id"] for b in bodies] == ["a1", "a2"]
    assert outbox.last_finished("cam") == 2
    outbox.close()


def test_a_level_without_debounce_is_seen(tmp_path: Path) -> None:
    """With a debounce time of 0 a part that is over at once still lights the lamp."""
    level = AlarmLevel(0.0, Clock())
    level.take(event(EventKind.NEW))
    level.take(event(EventKind.END))
    assert level.change() == (True, "p-a1")
    assert level.change() == (False, None)


def test_good_parts_do_not_displace_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store fails, the progress of good parts is one batch, however many there are."""
    sink, outbox = make_sink(tmp_path)
    caplog.set_level(logging.CRITICAL)

    def broken(*_: object) -> list[int]:
        raise OutboxError("disk gone")

    monkeypatch.setattr(outbox, "append", broken)
    for number in range(1, 50):
        sink.deliver("cam", [], number)
    sink.deliver("cam", [event(EventKind.NEW)], 50)
    assert sink.pending == 1
    monkeypatch.undo()
    sink.tick()
    assert (outbox.depth(), outbox.last_finished("cam")) == (1, 50)
    outbox.close()


def test_a_file_name_that_is_no_text_is_stored(tmp_path: Path) -> None:
    """A name with bytes that are not UTF-8 is told as well as it can be; nothing fails."""
    sink, outbox = make_sink(tmp_path)
    odd = event(EventKind.NEW)
    assert odd.verdict is not None
    named = replace(odd, verdict=replace(odd.verdict, source_name="b\udcffd.png"))
    sink.deliver("cam", [named], 1)
    assert json.loads(outbox.next_batch(1)[0].body)["source_name"] == "b?d.png"
    outbox.close()
