"""Alerts of golden parts: read by whoever knows only release 0.1.0's, and short enough."""

from __future__ import annotations

import json
from dataclasses import replace

from support.alert_drafts import bad_part

from edge_app.mqtt.messages import alert_from_event
from edge_app.mqtt.part_messages import Alert
from edge_app.mqtt.shorten import payload_within
from edge_app.mqtt.topics import DeviceName
from edge_app.records import AlarmEvent, EventKind, GoldenCheck, VerdictState
from edge_app.runtime.golden_parts import _alarm

LONG = "n" * 64
UUID = "01890a5d-ac96-774b-bcce-b302099a8057"


def alert(event: AlarmEvent) -> dict[str, object]:
    """Return an event as it is sent, by a device with the longest names."""
    draft = alert_from_event(
        event, DeviceName(LONG, LONG, LONG), message_id=UUID, clock_synchronised=True
    )
    numbered = Alert(
        **draft.model_dump(), seq=2**40, store_id=UUID, session=10**6,
        published_at="2026-11-30T06:00:00.000000000Z", replayed=True,
    )  # fmt: skip
    return json.loads(numbered.model_dump_json())  # type: ignore[no-any-return]


def check_event(count: int) -> AlarmEvent:
    """Return the alarm of a golden part in which so many classes were found."""
    classes = tuple(f"{number:02d}{'c' * 62}" for number in range(count))
    check = GoldenCheck(
        LONG, LONG, "wrong_class", 1_790_000_000 * 10**9, 1_790_000_000 * 10**9, "p" * 80,
        VerdictState.NOT_INSPECTED, -1.25e-300, LONG, classes,
    )  # fmt: skip
    event = _alarm(EventKind.NEW, UUID, check, bad_part(2**40))
    assert event.verdict is not None
    told = replace(event.verdict, part_id=f"{LONG}-123456-1234567890")
    return replace(event, verdict=told)


def shortest(body: dict[str, object]) -> bytes:
    """Return the shortest payload that can be made of an alert."""
    low, high = 1, 20_000
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if payload_within(body, middle) else (middle + 1, high)
    payload = payload_within(body, low)
    assert payload is not None
    return payload


def test_the_longest_alarm_of_a_golden_part_is_no_longer_than_a_parts() -> None:
    """Shortened as far as it goes; name, outcome and verdict stay, and what is cut is named."""
    part = replace(
        bad_part(2**40), camera=LONG, part_id=f"{LONG}-123456-1234567890", source_name="s" * 300,
        trigger_id="t" * 300, threshold_id="limit-" + "a" * 12,
    )  # fmt: skip
    payload = shortest(alert(check_event(40)))
    assert len(payload) <= len(shortest(alert(AlarmEvent(EventKind.NEW, LONG, UUID, part))))
    told = Alert.model_validate_json(payload)
    assert told.golden_check is not None
    assert (told.golden_check.name, told.golden_check.outcome) == (LONG, "wrong_class")
    assert (told.verdict, told.reason) == ("NOT_INSPECTED", "golden_wrong_class")
    assert told.golden is None, "it is about no part"
    assert told.shortened is not None
    assert "golden_check" in told.shortened.others


def test_the_alert_of_a_part_says_nothing_of_a_check() -> None:
    body = alert(AlarmEvent(EventKind.NEW, LONG, UUID, bad_part(1)))
    assert (body["golden"], body["golden_check"]) == (None, None)
