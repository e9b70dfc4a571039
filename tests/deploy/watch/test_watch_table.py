"""What a person reads."""

from __future__ import annotations

from datetime import timezone

from support.alert_drafts import as_draft, draft, gap_event

from deploy.watch.table import header, row
from edge_app.mqtt.messages import Alert, AlertDraft

LATER = {"seq": 1, "session": 1, "published_at": "2026-11-22T05:02:14.123456789Z"}


def numbered(alert: AlertDraft, replayed: bool = False) -> Alert:
    return Alert(**alert.model_dump(), **LATER, replayed=replayed)


def test_a_row_says_time_camera_part_event_verdict_kind_score_and_place() -> None:
    """One alert is one line under its header, in UTC when asked."""
    line = row(numbered(draft(42), replayed=True), timezone.utc)
    assert line.split() == [
        "14:13:20.123", "press-3", "cam1", "cam1-18f3a2-000042", "new", "NG", "unknown", "4.5/3",
        "x", "12..20", "y", "22..30", "px", "(replayed)",
    ]  # fmt: skip
    for title in ("CAMERA", "PART", "VERDICT", "WHERE"):
        assert line[header().index(title) - 1] == " "


def test_a_gap_row_names_the_lost_numbers() -> None:
    """A gap says how many parts, which, and why."""
    line = row(numbered(as_draft(gap_event(5, 7))), timezone.utc)
    assert line.split()[3:] == ["-", "gap", "-", "restart", "-", "3", "parts,", "numbers", "5..7"]


def test_a_score_that_is_no_number_shows_as_a_question_mark() -> None:
    """null in the message does not break the row."""
    alert = numbered(draft(1)).model_copy(update={"score": None, "defects": ()})
    assert "?/3" in row(alert, timezone.utc)
