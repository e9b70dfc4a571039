"""The benchmark of a start measures a start."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.start import (
    FIRST,
    LAST,
    ROOT,
    Setting,
    libraries,
    medians,
    ratios,
    run,
    write_pictures,
)
from benchmarks.start_side import is_judged
from edge_app.records import VerdictState


def test_a_turn_reaches_its_first_verdict_stage_by_stage(tmp_path: Path) -> None:
    """One real start tells every stage in order; what it took only grows."""
    write_pictures(tmp_path / "pictures")
    setting = Setting(tmp_path, sys.executable, None, 0.1)

    turn = run(ROOT, setting)

    assert list(turn) == [
        "interpreter", "imports", "configuration", "bundle read", "model loaded", FIRST, LAST,
    ]  # fmt: skip
    spent = [figures["cpu_s"] for figures in turn.values()]
    assert spent == sorted(spent)
    assert spent[0] > 0
    assert all(f["private_mb"] <= f["rss_mb"] <= f["peak_mb"] + 1 for f in turn.values())
    assert libraries(setting)[FIRST]["rss_mb"] < turn[FIRST]["rss_mb"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [([], False), (["NOT_INSPECTED"], False), (["OK"], True), (["NOT_INSPECTED", "NG"], True)],
)
def test_a_verdict_is_of_a_part_that_was_judged(states: list[str], expected: bool) -> None:
    """A picture without a part, which may come first, has run no inspector."""
    parts = [SimpleNamespace(state=VerdictState[name]) for name in states]
    assert is_judged(SimpleNamespace(finished=parts)) == expected


def test_medians_are_taken_figure_by_figure() -> None:
    """The middle of three turns, whichever turn it is from."""
    figures = ("cpu_s", "rss_mb", "pss_mb", "private_mb", "peak_mb")
    turns = [{FIRST: dict.fromkeys(figures, v) | {"cpu_s": 9 - v}} for v in (1.0, 5.0, 2.0)]
    found = medians(turns)[FIRST]
    assert found["rss_mb"] == 2.0
    assert found["cpu_s"] == 7.0


def test_ratios_are_of_one_turn_each() -> None:
    """A turn in which the machine was twice as slow changes no ratio."""
    figures = ("cpu_s", "rss_mb", "pss_mb", "private_mb", "peak_mb")
    before = [{stage: dict.fromkeys(figures, v) for stage in (FIRST, LAST)} for v in (1.0, 2.0)]
    now = [{stage: dict.fromkeys(figures, v) for stage in (FIRST, LAST)} for v in (0.5, 1.0)]
    assert ratios(now, before)[FIRST]["cpu_s"] == 0.5


def test_a_start_that_fails_is_no_figure(tmp_path: Path) -> None:
    """Without pictures nothing is judged: the benchmark ends with what the command said."""
    setting = Setting(tmp_path, sys.executable, None, 0.1)
    with pytest.raises(SystemExit, match="ended with"):
        run(tmp_path, setting)
