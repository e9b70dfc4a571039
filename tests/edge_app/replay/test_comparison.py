"""What a change of verdict means beside what people said of the part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.records import VerdictState
from edge_app.replay.comparison import CHANGES, Comparison, Sample, change_of
from edge_app.replay.judging import cut_round
from edge_app.replay.kept_parts import Left, kept_parts, mark_of
from edge_app.replay.page import lead

OK, NG, NOT = VerdictState.OK, VerdictState.NG, VerdictState.NOT_INSPECTED


@pytest.mark.parametrize(
    ("mark", "old", "new", "change"),
    [
        ("defect", NG, OK, "defect_lost"),
        ("defect", NG, NOT, "defect_lost"),
        ("defect", OK, NG, "defect_found"),
        ("defect", NOT, NG, "defect_found"),
        ("defect", OK, NOT, "not_inspected"),
        ("good", NG, OK, "false_alarm_gone"),
        ("good", OK, NG, "good_alarmed"),
        ("good", NOT, NG, "good_alarmed"),
        ("good", NG, NOT, "not_inspected"),
        ("good", NOT, OK, "inspected"),
        ("", NG, OK, "now_passes"),
        ("disputed", OK, NG, "now_alarms"),
        ("", OK, NOT, "not_inspected"),
        ("", NOT, OK, "inspected"),
    ],
)
def test_a_change_means_what_people_said_makes_of_it(
    mark: str, old: VerdictState, new: VerdictState, change: str
) -> None:
    assert change_of(mark, old, new) == change
    assert change in CHANGES


def test_the_same_verdict_is_no_change_whatever_people_said() -> None:
    for state in VerdictState:
        for mark in ("", "good", "defect", "disputed"):
            assert change_of(mark, state, state) == ""


@pytest.mark.parametrize(
    ("state", "marks", "expected"),
    [
        ("NG", ["right"], "defect"),
        ("NG", ["false_alarm"], "good"),
        ("OK", ["missed"], "defect"),
        ("OK", ["right"], "good"),
        ("NG", ["right", "false_alarm"], "disputed"),
        ("NG", ["right", "unsure"], "defect"),
        ("NOT_INSPECTED", ["right"], ""),
        ("NG", [], ""),
    ],
)
def test_marks_speak_beside_the_lines_verdict(state: str, marks: list[str], expected: str) -> None:
    assert mark_of(state, [{"mark": mark} for mark in marks]) == expected


def test_an_engineers_word_decides_what_a_mark_counts() -> None:
    """An accepted one outweighs proposals, a declined one is none."""
    proposed = {"mark": "right", "acceptance": None}
    accepted = {"mark": "false_alarm", "acceptance": "accepted"}
    declined = {"mark": "right", "acceptance": "declined"}
    assert mark_of("NG", [proposed, accepted]) == "good"
    assert mark_of("NG", [declined, {"mark": "false_alarm"}]) == "good"
    assert mark_of("NG", [declined]) == ""


def test_the_lead_names_a_lost_defect_first_and_claims_nothing_without_one() -> None:
    lost = Comparison(parts=9)
    lost.counts["defect_lost"] = 2
    assert lead(lost).startswith("Do not use")
    assert not lost.is_safe
    unmarked = Comparison(parts=9)
    assert "none can be lost" in lead(unmarked)
    kept = Comparison(parts=9)
    kept.marked["defect"] = 4
    kept.counts["good_alarmed"] = 1
    assert lead(kept).startswith("No confirmed defect of 4")
    assert "1 parts confirmed good" in lead(kept)


def test_only_parts_drawn_at_random_give_a_rate() -> None:
    assert "nothing of how often" in Sample().words()
    said = Sample(200, 4, 1).words()
    assert "4 (2 %, 95 %: 0.55 to 5 %)" in said


def part(evidence: Path, number: int, pixels: np.ndarray) -> dict[str, Any]:
    data = bytes(cv2.imencode(".jpg", pixels)[1])
    (evidence / "2026-11-30").mkdir(parents=True, exist_ok=True)
    (evidence / "2026-11-30" / f"c-{number}.jpg").write_bytes(data)
    return {
        "id": number, "part_id": f"c-{number}", "camera": "c", "captured_at": "t", "state": "NG",
        "kept_for": "ng", "evidence_url": f"http://x/evidence/2026-11-30/c-{number}.jpg",
        "evidence_sha256": hashlib.sha256(data).hexdigest(), "corners": [],
    }  # fmt: skip


def test_pictures_that_have_gone_or_were_changed_are_left_out_and_counted(tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), 90, np.uint8)
    parts = [part(tmp_path, number, pixels) for number in range(4)]
    (tmp_path / "2026-11-30" / "c-1.jpg").unlink()
    (tmp_path / "2026-11-30" / "c-2.jpg").write_bytes(b"\xff\xd8")
    parts.append({**parts[0], "id": 9, "evidence_url": None})
    parts.append({**parts[0], "id": 10, "evidence_url": "http://x/evidence/../../etc/passwd"})
    left = Left()
    found = [p.row for p in kept_parts(parts, tmp_path, left)]
    assert found == [0, 3]
    assert (left.gone, left.damaged) == (2, 1)


def test_a_part_is_shown_with_a_margin_and_never_beyond_the_frame() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    assert cut_round(pixels, ((50, 20), (90, 20), (90, 40), (50, 40))).shape == (33, 53, 3)
    assert cut_round(pixels, ((-50, -20), (20, 10))).shape[:2] == (21, 31)
    assert cut_round(pixels, ()).shape == pixels.shape
    assert cut_round(pixels, ((500, 500), (600, 600))).shape == pixels.shape
