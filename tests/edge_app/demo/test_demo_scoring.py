"""The demo's counts, on a belt whose truth is written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_app.demo.baseline import recall_at
from edge_app.demo.scoring import Scoreboard
from edge_app.records import (
    Anomaly,
    Defect,
    Detection,
    Frame,
    FrameReport,
    PartVerdict,
    PartView,
    VerdictState,
)
from edge_app.simulator.truth import RESERVED_KIND, DefectTruth, FrameTruth, PartTruth

FRAME = Frame("cam", 0, np.zeros((100, 1000, 3), np.uint8), 0)


def defect(kind: str, area: float, x: float) -> DefectTruth:
    box = (x - 5, 45.0, x + 5, 55.0)
    return DefectTruth(kind, ((x, 45.0), (x + 5, 55.0), (x - 5, 55.0)), box, 50, area, 20.0)


def part(number: int, x: float, what: DefectTruth | None = None) -> PartTruth:
    return PartTruth(number, "tapered", (x, 50.0, 80.0, 30.0, 0.0), True, what)


TRUTH = FrameTruth(
    0,
    (
        part(1, 100),
        part(2, 300, defect("scratch", 0.002, 300)),
        part(3, 500, defect(RESERVED_KIND, 0.02, 500)),
        part(4, 700),
        part(5, 900, defect("pit", 0.005, 900)),
    ),
)


def verdict(x: float, state: str, box: tuple[float, float, float, float]) -> PartVerdict:
    found = (Defect(((0, 0), (1, 0), (1, 1)), box, 1.0),) if state == "NG" else ()
    score = None if state == "NOT_INSPECTED" else 1.0
    return PartVerdict("cam", f"p{x}", VerdictState(state), "", score, 1.0, "t", 0, (100, 1000), 0,
                       None, defects=found)  # fmt: skip


def report(states: dict[float, str], hit: bool = True) -> FrameReport:
    views = tuple(
        PartView(f"p{x}", 0, Detection((x, 50.0, 80.0, 30.0, 0.0), 1.0), True) for x in states
    )
    boxes = {x: (x - 8, 40.0, x + 8, 60.0) if hit else (0.0, 0.0, 1.0, 1.0) for x in states}
    verdicts = {f"p{x}": verdict(x, s, boxes[x]) for x, s in states.items()}
    anomalies = {f"p{x}": Anomaly(1.0, np.zeros((1, 1), np.float32)) for x in states}
    return FrameReport(FRAME, views, anomalies, {}, verdicts, tuple(verdicts.values()), ())


def test_the_counts() -> None:
    """Two good parts (one alarmed), three bad (one caught, one missed, one not inspected)."""
    board = Scoreboard(lambda _: TRUTH)
    board.take(report({100: "OK", 300: "NG", 500: "OK", 700: "NG", 900: "NOT_INSPECTED"}))
    s = board.summary()
    assert (s["parts"], s["defective"], s["caught"]) == (5, 3, 1)
    assert (s["false_alarms"], s["not_inspected"], s["located"]) == (1, 1, 1)
    assert s["recall_by_kind"]["scratch"]["recall"] == 1.0
    assert RESERVED_KIND not in s["recall_by_kind"]
    assert s["reserved_kind"] == {"kind": RESERVED_KIND, "parts": 1, "caught": 0}
    assert s["recall_by_size"]["0.1-0.3%"] == {"parts": 1, "caught": 1, "recall": 1.0}


def test_suspect_parts_are_counted_apart() -> None:
    """OK for every figure; how many of them are defective is said beside it."""
    board = Scoreboard(lambda _: TRUTH)
    passed = report({100: "OK", 300: "OK", 500: "OK", 700: "OK", 900: "NG"})
    odd = tuple(replace(v, is_suspect=v.part_id in ("p100", "p300")) for v in passed.finished)
    board.take(replace(passed, finished=odd))
    s = board.summary()
    assert (s["suspect"], s["suspect_defective"]) == (2, 1)
    assert (s["caught"], s["false_alarms"]) == (1, 0)


def test_a_box_beside_the_defect_is_not_located() -> None:
    """An NG whose boxes miss the true defect counts as caught, not as located."""
    board = Scoreboard(lambda _: TRUTH)
    board.take(report({300: "NG"}, hit=False))
    assert (board.summary()["caught"], board.summary()["located"]) == (1, 0)


def test_an_alarm_about_nothing_is_a_false_alarm() -> None:
    """A detection where there is no part, called NG, is counted against us."""
    board = Scoreboard(lambda _: FrameTruth(0, (part(1, 100),)))
    board.take(report({100: "OK", 800: "NG"}))
    assert board.summary()["false_alarms"] == 1


def test_a_part_that_lost_its_id_counts_once() -> None:
    """Two ids of one true part are one part; it is caught if either is NG."""
    board = Scoreboard(lambda _: TRUTH)
    board.take(report({300: "OK"}))
    board.take(report({302: "NG"}))
    assert (board.summary()["parts"], board.summary()["caught"]) == (1, 1)


def test_recall_at_a_false_alarm_rate() -> None:
    """With one of ten good parts allowed above it, the threshold is the second largest score."""
    good = [float(v) for v in range(10)]
    assert recall_at(good, [8.5, 7.0, 9.5], 0.1) == 0.6667
    assert recall_at([], [1.0], 0.1) is None
