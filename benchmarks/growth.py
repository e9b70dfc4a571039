"""How the cost of judging a frame grows: parts in a picture, cameras, pixels of the picture, crop's
side; the rest as in the demo, the shipped bundle on ONNX Runtime, one thread:

    python -m benchmarks.growth [--turns 7] [--sweeps parts picture crop cameras]
    python -m benchmarks.growth --draw

What grows and how it is made: `growth_cases.py`. CPU ms of `InspectionLine.inspect`, every part
judged in every picture; all cases take their turns, and the ratios are of one turn each, so that
what disturbs one disturbs the other. Of several cameras one picture of each is counted. Memory is
what a forked process grows by when it judges the case for the first time, less what it began with:
beside that stand the model and 3 bytes for each pixel of every picture that waits.

Written as JSON into benchmarks/results/growth.json; --draw makes docs/images/growth.svg of it, and
a run does both. Not measured: grabbing, decoding and looking at a picture's health (eight cameras
with all that, in real time: `benchmarks.eight_cameras`), evidence, history, MQTT and page; several
threads; other products, methods and backends.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from benchmarks.detector_sides import watched
from benchmarks.growth_cases import (
    CAMERAS,
    CROP_SIDES,
    PARTS,
    PICTURES_WH,
    REBUILT,
    SHIPPED,
    Case,
    case_of,
    frame_of,
)
from benchmarks.growth_chart import chart
from benchmarks.memory import resident_mb
from edge_app.errors import DataError
from edge_app.inspection.line import InspectionLine

ROOT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).parent / "results" / "growth.json"
CHART = ROOT / "docs" / "images" / "growth.svg"

VALUES: dict[str, tuple[float, ...]] = {
    "parts": PARTS,
    "picture": tuple(round(w * h / 1e6, 2) for w, h in PICTURES_WH),
    "crop": (SHIPPED, REBUILT, *CROP_SIDES),
    "cameras": CAMERAS,
}
BASE = {"parts": 1.0, "picture": 0.79, "crop": float(SHIPPED), "cameras": 1.0}
"""The demo's own value, which ratios are to."""

Clock = Callable[[], float]
"""Tells the CPU ms that a graph has taken so far."""


@dataclass
class Timed:
    """A case and what its turns took: CPU ms a picture (of each camera), all and outside graphs.

    Attributes:
        growth_mb: of a process that judges it for the first time.
    """

    case: Case
    lines: Sequence[InspectionLine]
    clocks: Sequence[Clock]
    growth_mb: float = 0.0
    total_ms: list[float] = field(default_factory=list)
    outside_ms: list[float] = field(default_factory=list)
    seen: int = 0


def main() -> None:
    """Measure and write, or only draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sweeps", nargs="+", choices=tuple(VALUES), default=list(VALUES))
    parser.add_argument("--draw", action="store_true", help="only draw the chart again")
    parser.add_argument("--work", type=Path, default=Path("growth_work"))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--chart", type=Path, default=CHART)
    args = parser.parse_args()
    if not args.draw:
        cv2.setNumThreads(1)
        known = json.loads(args.out.read_text()) if args.out.is_file() else {}
        for sweep in args.sweeps:
            points = points_of(sweep, args)
            known |= {"machine": platform.machine(), sweep: points}
            args.out.write_text(json.dumps(known, indent=1) + "\n")
            print(json.dumps({sweep: points}, indent=1))
    args.chart.write_text(chart(json.loads(args.out.read_text())), encoding="utf-8")


def points_of(sweep: str, args: argparse.Namespace) -> list[dict[str, float]]:
    """Return a sweep's figures."""
    cases = [case_of(sweep, value, args.work) for value in VALUES[sweep]]
    grown = [growth_mb(case) for case in cases]
    clocks = clocks_of(cases)
    timed = [
        Timed(case, case.new_lines(), own, mb)
        for case, own, mb in zip(cases, clocks, grown, strict=True)
    ]
    for _ in range(args.turns + 1):
        for one in timed:
            judge(one)
    base = next(t for t in timed if t.case.value == BASE[sweep])
    return [point(t, base) for t in timed]


def clocks_of(cases: Sequence[Case]) -> list[list[Clock]]:
    """Return each case's clocks; a graph that several have in common gets one."""
    known: dict[int, Clock] = {}
    for runner in (runner for case in cases for runner in case.runners):
        if id(runner) not in known:
            known[id(runner)] = watched(runner, "run")
    return [[known[id(runner)] for runner in case.runners] for case in cases]


def judge(one: Timed) -> None:
    """Judge the case's pictures once; the first time, in which memory grows, does not count.

    Raises:
        DataError: not every part was judged.
    """
    total = graphs = 0.0
    for first in range(len(one.case.pictures)):
        one.seen += 1
        shown = [frame_of(one.case.of_camera(first, n), one.seen) for n in range(len(one.lines))]
        before, started = sum(clock() for clock in one.clocks), time.process_time()
        reports = [line.inspect(f) for line, f in zip(one.lines, shown, strict=True)]
        total += (time.process_time() - started) * 1e3
        graphs += sum(clock() for clock in one.clocks) - before
        for report in reports:
            if len(report.anomalies) != one.case.parts:
                raise DataError(
                    f"{one.case.sweep} {one.case.value:g}: {len(report.anomalies)} parts were "
                    f"judged where there are {one.case.parts}; its time would be of less work."
                )
    count = len(one.case.pictures)
    if one.seen > count:
        one.total_ms.append(total / count)
        one.outside_ms.append((total - graphs) / count)


def growth_mb(case: Case) -> float:
    """Return how much a process grows that judges a case for the first time, MiB."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        before, one = resident_mb(), Timed(case, case.new_lines(), [])
        judge(one)
        os.write(write_end, str(resident_mb() - before).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        text = told.read()
    os.waitpid(child, 0)
    return float(text)


def point(one: Timed, base: Timed) -> dict[str, float]:
    """Return a case's figures, beside the demo's."""
    total = statistics.median(one.total_ms)
    return {
        "value": one.case.value,
        "total_ms": round(total, 2),
        "outside_ms": round(statistics.median(one.outside_ms), 2),
        "ratio": paired(one.total_ms, base.total_ms),
        "ratio_outside": paired(one.outside_ms, base.outside_ms),
        "core_full_at_per_s": round(1000 / total, 1),
        "growth_mb": round(one.growth_mb, 1),
    }


def paired(ones: Iterable[float], others: Iterable[float]) -> float:
    """Return the median of the turns' own ratios."""
    return round(statistics.median(a / b for a, b in zip(ones, others, strict=True)), 2)


if __name__ == "__main__":
    main()
