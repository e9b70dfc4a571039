"""What learning from marks costs in synthetic defects caught, and that it is not passed over."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.feedback_sets import FeedbackWriter

from edge_app.bundle.thresholds import Sensitivity
from export.cli.feedback import FromMarks
from export.feedback_build.marked_parts import read_marked_parts
from export.feedback_build.report import FeedbackReport
from export.feedback_build.sensitivity_change import SensitivityChange


def rows(**shares: float) -> tuple[Sensitivity, ...]:
    """Return 100 synthetic defects of each kind."""
    return tuple(Sensitivity(kind=k, size="large", count=100, recall=r) for k, r in shares.items())


@pytest.mark.parametrize(
    ("before", "after", "is_lost"),
    [
        (rows(crack=0.9, stain=0.8), rows(crack=0.9, stain=0.3), True),
        (rows(crack=0.9), rows(crack=0.86), False),  # within chance of 100
        (rows(crack=0.9), rows(crack=1.0), False),
        (rows(crack=1.0), rows(crack=0.0), True),
        (rows(crack=1.0), rows(crack=1.0), False),
        ((), rows(crack=0.1), False),  # a bundle that says nothing of itself
        (rows(crack=0.9), (), False),
    ],
)
def test_a_loss_is_told_from_chance(
    before: tuple[Sensitivity, ...], after: tuple[Sensitivity, ...], is_lost: bool
) -> None:
    change = SensitivityChange(before, after)
    assert change.is_lost is is_lost
    assert bool(change.sentence()) is bool(before and after)
    assert ("Remove the cause" in change.sentence()) is is_lost


def test_the_kinds_that_are_lost_are_named_the_worst_first() -> None:
    change = SensitivityChange(
        rows(crack=0.9, stain=0.8, colour=0.7), rows(crack=0.6, stain=0.2, colour=0.8)
    )
    assert "catches 53%; the bundle before caught 80%" in change.sentence()
    assert "Most: stain 80% to 20%, crack 90% to 60%." in change.sentence()


def test_it_comes_first_and_ends_with_exit_code_1_unless_accepted(tmp_path: Path) -> None:
    """Though every marked part came out as people said."""
    FeedbackWriter(tmp_path / "set").add(np.full((40, 60, 3), 90, np.uint8))
    report = FeedbackReport("k7 1", "k7 2", read_marked_parts(tmp_path / "set", "tiles"), ())
    report.sensitivity = SensitivityChange(rows(stain=0.8), rows(stain=0.2))
    assert report.sentences()[0].startswith("Of synthetic defects it catches 20%")
    for accepts in (False, True):
        asked = argparse.Namespace(feedback=tmp_path, before=tmp_path, accept=accepts)
        marks = FromMarks(asked)
        marks._done = SimpleNamespace(report=report, page="report.html")  # type: ignore[assignment]
        assert marks.tell() is not accepts
