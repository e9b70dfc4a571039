"""How `watch` orders alerts of several numberings, and what it says of numbers that are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.alert_drafts import draft
from support.fed_watch import TOPIC, Fed, payload

from deploy.watch.run import _missing_text


@pytest.mark.parametrize(
    ("skipped_from", "words"),
    [
        (None, "seq 5..9 missing: the outbox was replaced?"),
        (5, "seq 5..9 left out by the device after a power cut"),
        (2, "seq 5..9 left out by the device after a power cut"),
        (8, "seq 5..7 missing; up to 9 left out after a power cut"),
    ],
)
def test_numbers_that_the_device_left_out_are_not_missing(
    skipped_from: int | None, words: str
) -> None:
    """A device names the first number that it left out after a power cut."""
    assert _missing_text(5, 9, skipped_from) == words


def test_an_alert_told_from_memory_and_stored_later_leaves_no_gap(tmp_path: Path) -> None:
    """It is shown once, at once; the number that the disk gave it is not said to be missing."""
    fed = Fed(tmp_path, as_json=True)
    fed.send(TOPIC, payload(draft(1), 1, store_id="disk"))
    second, told = draft(2), {"store_id": "memory", "seq": 1}
    fed.send(TOPIC, payload(second, 1, store_id="memory", is_from_memory=True))
    fed.send(TOPIC, payload(second, 2, store_id="disk", told_as=told))
    fed.send(TOPIC, payload(draft(3), 3, store_id="disk"))
    shown = [json.loads(line)["source_number"] for line in fed.out.getvalue().splitlines()]
    assert shown == [1, 2, 3]  # before anything waited too long
    fed.settle()
    fed.assert_all_counted()
    assert fed.notes.getvalue() == ""
