"""What the report says of marked parts: counts, names, honest and flattering evidence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.feedback_sets import FeedbackWriter

from edge_app.records import VerdictState
from edge_app.replay.judging import Judgement
from edge_app.replay.kept_parts import KeptPart
from export.feedback_build.contradictions import ODD_GOOD, Contradiction
from export.feedback_build.marked_parts import MarkedParts, read_marked_parts
from export.feedback_build.outcome import AsRecorded, outcomes
from export.feedback_build.report import OF_DEFECT, FeedbackReport, ReportFolder
from export.feedback_build.selection import KEPT_BACK, TRAINED, Selection

LIMIT = 100.0


class ByBrightness:
    """A model that alarms bright parts, as plainly as one can."""

    def judge(self, part: KeptPart) -> Judgement:
        score = float(part.pixels_hwc.mean())
        state = VerdictState.NG if score >= LIMIT else VerdictState.OK
        return Judgement(state, "", score, LIMIT, False, part.pixels_hwc)


def flat(level: int) -> np.ndarray:
    rng = np.random.default_rng(level)
    return np.clip(level + rng.normal(0, 25, (40, 60, 3)), 0, 255).astype(np.uint8)


def judged(folder: Path, marked: MarkedParts, dropped: int = 0) -> FeedbackReport:
    """Judge a set: parts whose hour is even are learnt from, with a fold's score of 10 more."""
    parts = marked.parts[dropped:]
    contradictions = [Contradiction(p, ODD_GOOD, "is odd") for p in marked.parts[:dropped]]
    report = FeedbackReport("k7 1", "k7 2", marked, contradictions)
    roles = {
        p.record.sha256: TRAINED if int(p.hour[-2:]) % 2 == 0 else KEPT_BACK
        for p in parts
        if p.is_good
    }
    pages = ReportFolder(folder)
    for found in outcomes(parts, AsRecorded(parts), ByBrightness()):
        role = roles.get(found.part.record.sha256, OF_DEFECT)
        report.take(found, role, (found.pair.new.score or 0) + 10, LIMIT)
        pages.picture(found, role)
    pages.write(report, "cd" * 32, Selection(roles))
    return report


def test_a_lost_defect_comes_first_and_is_named(tmp_path: Path) -> None:
    """It passes now and was alarmed by the device: first sentence, red, in page and JSON."""
    writer = FeedbackWriter(tmp_path / "set")
    lost = writer.add(flat(40), "defect", defect_class="<burr>")
    writer.add(flat(180), "defect")
    writer.add(flat(50), hour=7)
    report = judged(tmp_path / "out", read_marked_parts(tmp_path / "set", "tiles"))
    assert report.lost == [f"{lost.file} (part {lost.part_id})"]
    first = report.sentences()[0]
    assert first.startswith("1 defects that were caught before and would now pass")
    assert lost.file in first
    page = (tmp_path / "out/report.html").read_text()
    assert "class='lead bad'" in page
    assert "<burr>" not in page
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert found["counts"]["defect_lost"] == found["counts"]["defect_caught"] == 1
    assert found["parts"][0]["reviewers"] == ["anna"]


def test_flattering_evidence_is_told_apart_from_honest(tmp_path: Path) -> None:
    """Kept back: 1 of 2 gone. Learnt from: 2 of 2 gone, by folds 1 of 2 (one at 95 + 10)."""
    writer = FeedbackWriter(tmp_path / "set")
    writer.add(flat(50), hour=7)
    writer.add(flat(150), hour=9)
    writer.add(flat(60), hour=8)
    writer.add(flat(95), hour=8)
    writer.add(flat(55), hour=7, verdict="OK")
    report = judged(tmp_path / "out", read_marked_parts(tmp_path / "set", "tiles"))
    assert (report.unseen, report.trained, report.folds) == ([1, 2], [2, 2], [1, 2])
    said = report.evidence()
    assert said.startswith("Of 2 false alarms that the new model never saw, 1 are gone.")
    assert "which flatters it, 2 are gone, and 1 of 2 by models that had not" in said
    assert "3 false alarms that are gone." in report.sentences()
    assert "1 false alarms that remain." in report.sentences()


def test_where_nothing_was_kept_back_it_says_so(tmp_path: Path) -> None:
    """Two marks are all learnt from; no figure is called evidence then."""
    writer = FeedbackWriter(tmp_path / "set")
    writer.add(flat(50), hour=8)
    report = judged(tmp_path / "out", read_marked_parts(tmp_path / "set", "tiles"))
    assert report.evidence().startswith("No false alarm was kept back: nothing here is honest")


def test_contradictions_stand_in_page_and_json(tmp_path: Path) -> None:
    """With file, part and people; they are judged by nobody and counted nowhere else."""
    writer = FeedbackWriter(tmp_path / "set")
    for level in (50, 60, 70):
        writer.add(flat(level), who="<mallory>", is_accepted=False)
    marked = read_marked_parts(tmp_path / "set", "tiles")
    report = judged(tmp_path / "out", marked, dropped=1)
    assert sum(report.counts.values()) == 2
    found = json.loads((tmp_path / "out/report.json").read_text())
    (one,) = found["contradictions"]
    assert (one["file"], one["reviewers"]) == (marked.parts[0].record.file, ["<mallory>"])
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;mallory&gt;" in page
    assert "<mallory>" not in page
    told = "\n".join(report.sentences())
    assert "1 marks contradict" in told
    assert "3 marks were not accepted by an engineer." in told


@pytest.mark.parametrize("verdict", ["OK", "NG", "NOT_INSPECTED"])
def test_without_a_bundle_before_the_device_s_own_verdict_counts(
    tmp_path: Path, verdict: str
) -> None:
    """Its state, score and limit, as they were recorded."""
    FeedbackWriter(tmp_path).add(flat(50), verdict=verdict)
    parts = read_marked_parts(tmp_path, "tiles").parts
    (found,) = outcomes(parts, AsRecorded(parts), ByBrightness())
    assert found.pair.old.state.value == verdict
    assert (found.pair.old.score, found.pair.old.threshold) == (2.5, 2.0)
