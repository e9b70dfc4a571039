"""Messages that are no alerts: `watch` lives, counts, keeps and names them, shows the others."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import draft
from support.fed_watch import NOW, TOPIC, Fed, payload
from support.large_alerts import large_draft
from support.mutations import NASTY, RAW, mutated, mutated_topic

from deploy.watch.incoming import json_line, read_alert
from edge_app.errors import DataError
from edge_app.mqtt.dead_letters import DeadLetters


def assert_plain(text: str) -> None:
    """Nothing that a terminal obeys, but the ends of lines."""
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "rows"])
@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_alerts_cost_themselves_only(tmp_path: Path, count: int, as_json: bool) -> None:
    """Every good alert between them is shown; every message is acknowledged and counted once."""
    fed = Fed(tmp_path, as_json)
    good = 0
    for number in range(count):
        seq = 1 + number
        whole = payload(draft(seq) if number % 7 else large_draft(seq, 3, 9), seq)
        if number % 10 == 0:
            fed.send(TOPIC, whole)
            good += 1
        else:
            fed.send(mutated_topic(TOPIC, number), mutated(whole, number))
    fed.settle()
    fed.assert_all_counted()
    assert fed.watch.shown >= good
    assert fed.watch.refused > count // 4
    assert_plain(fed.out.getvalue())
    assert_plain(fed.notes.getvalue())
    lines = fed.out.getvalue().splitlines()
    assert len(lines) == fed.watch.shown
    if as_json:
        assert all(isinstance(json.loads(line), dict) for line in lines)


@pytest.mark.parametrize("value", NASTY, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", ["seq", "captured_at", "part_id", "camera", "score", "defects"])
def test_every_odd_value_in_a_field_is_refused_or_shown(
    tmp_path: Path, name: str, value: Any
) -> None:
    """One alert with an odd field, one good one behind it."""
    fed = Fed(tmp_path, as_json=False)
    fed.send(TOPIC, json.dumps(json.loads(payload(draft(1), 1)) | {name: value}).encode())
    fed.send(TOPIC, payload(draft(2), 2))
    fed.settle()
    fed.assert_all_counted()
    assert "cam1-18f3a2-000002" in fed.out.getvalue()
    assert_plain(fed.out.getvalue())


def test_what_is_refused_is_kept_with_its_reason(tmp_path: Path) -> None:
    """Topic, reason and bytes stand in the file; the note says where; a flood is one line."""
    fed = Fed(tmp_path, as_json=False)
    for body in RAW * 20:
        fed.send(TOPIC, body)
    kept = [json.loads(line) for line in (tmp_path / "refused").read_text().splitlines()]
    assert len(kept) == fed.watch.refused == 20 * len(RAW)
    assert [base64.b64decode(entry["payload_base64"]) for entry in kept[: len(RAW)]] == list(RAW)
    assert {entry["topic"] for entry in kept} == {TOPIC}
    assert all(entry["why"] for entry in kept)
    notes = fed.notes.getvalue().splitlines()
    assert 0 < len(notes) <= len(RAW)
    assert str(tmp_path / "refused") in notes[0]


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    """The 31st of February fits the pattern of a time."""
    fed = Fed(tmp_path, as_json=False)
    body = payload(draft(1), 1).replace(NOW.encode(), b"2026-02-31T10:00:00.000000000Z")
    fed.send(TOPIC, body)
    assert fed.watch.refused == 1
    assert "published_at" in fed.notes.getvalue()


def test_a_body_that_names_another_device_is_not_believed(tmp_path: Path) -> None:
    """Neither another device nor another camera; the topic is what the broker's ACL protects."""
    fed = Fed(tmp_path, as_json=False)
    other = payload(draft(1), 1).replace(b"press-3", b"press-4")
    fed.send(TOPIC, other)
    fed.send(TOPIC.replace("cam1", "cam2"), payload(draft(2), 2))
    assert (fed.watch.shown, fed.watch.refused) == (0, 2)
    assert "not believed" in fed.notes.getvalue()


def test_an_unwritable_file_for_what_is_refused_ends_nothing(tmp_path: Path) -> None:
    """It is said in the note; alerts are shown."""
    (tmp_path / "refused").mkdir()
    fed = Fed(tmp_path, as_json=False)
    fed.send(TOPIC, b"{")
    fed.send(TOPIC, payload(draft(1), 1))
    assert (fed.watch.shown, fed.watch.refused) == (1, 1)
    assert "cannot be written" in fed.notes.getvalue()


def test_the_file_for_what_is_refused_cannot_grow(tmp_path: Path) -> None:
    """It is renamed once it is full; there are two at most."""
    letters = DeadLetters(tmp_path / "refused", max_bytes=10_000)
    for _ in range(200):
        assert letters.keep("t\ud800", b"x" * 1000, "why\n", 0)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"refused", "refused.1"}
    assert max(sizes.values()) < 13_000


def test_a_terminal_without_umlauts_gets_them_escaped(tmp_path: Path) -> None:
    """LANG=C: the output's encoding has no letter for it."""
    fed = Fed(tmp_path, as_json=False)
    raw = io.BytesIO()
    fed.watch._out = io.TextIOWrapper(raw, encoding="ascii")
    body = json.loads(payload(draft(1), 1)) | {"part_id": "Stück-1"}
    fed.send(TOPIC, json.dumps(body).encode())
    assert b"St\\xfcck-1" in raw.getvalue()


def test_json_lines_hold_what_was_published() -> None:
    """One line, nothing that a terminal obeys, and equal for whoever parses it."""
    body = json.loads(payload(draft(1), 1)) | {"reason": "\x9b31m\u202e \U000e0001"}
    text = json.dumps(body, indent=2, ensure_ascii=False).encode()
    line = json_line(text)
    assert line.isprintable()
    assert json.loads(line) == body


@pytest.mark.parametrize("body", RAW, ids=lambda body: repr(body)[:20])
def test_reading_raises_data_errors_only(body: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(DataError):
        read_alert(TOPIC, body)


def test_nothing_of_it_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The notes are the watch's own; no library adds to them."""
    with caplog.at_level(logging.DEBUG):
        Fed(tmp_path, as_json=False).send(TOPIC, b"[" * 16_000)
    assert not [record for record in caplog.records if record.exc_info]


def test_each_numbering_of_a_device_is_ordered_by_itself(tmp_path: Path) -> None:
    """After the records are lost, or while the disk takes nothing, `seq` begins anew at 1."""
    fed = Fed(tmp_path, as_json=False)
    for seq, store in ((700, "a"), (701, "a"), (1, "b"), (702, "a"), (2, "b")):
        body = json.loads(payload(draft(seq), seq)) | {"store_id": store}
        fed.send(TOPIC, json.dumps(body).encode())
    assert fed.watch.shown == 5
    assert "missing" not in fed.notes.getvalue()
