"""How fast a large history answers, and what recording costs the line.

    python -m benchmarks.history --rows 10000000 --folder /var/tmp
    python -m benchmarks.history --line 60

The first fills a history (3 parts a second, 1 % bad) and times what people ask, each question anew
from disk to answer, the median of several. The second times the inspection thread's calls at 100
parts a second beside their whole interval, a recorded second and one that is not taking turns. The
last line printed is one JSON object.

Not measured: SD cards and eMMC, whose synchronised writes take 10 to 100 times as long; the alarmed
parts' rows wait for those in the history's own thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_app.history.reader import HistoryReader, PartFilter
from edge_app.history.retention import Retention
from edge_app.history.rows import BINS_PER_LIMIT, HOUR_NS, score_bin
from edge_app.history.schema import open_for_writing
from edge_app.history.writer import HistoryWriter
from edge_app.records import ModelIdentity, PartVerdict, VerdictState
from edge_app.store.sqlite_files import transaction

START_NS = 1_780_000_000 * 10**9
EVERY_NS = 333_333_333
PIECE = 100_000
WEEK_NS = 7 * 24 * HOUR_NS
REPEATS = 7
PARTS_A_SECOND = 100


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rows", type=int, metavar="N", help="fill a history with N parts")
    what.add_argument("--line", type=float, metavar="S", help="time the line's calls for S seconds")
    parser.add_argument("--folder", type=Path, help="for the file (default: the system's)")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="history-", dir=args.folder))
    try:
        found = large(folder, args.rows) if args.rows else line_cost(folder, args.line)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found))


def large(folder: Path, count: int) -> dict[str, Any]:
    """Fill a history and ask it."""
    path = folder / "history.sqlite"
    started_s = time.monotonic()
    for done in _fill(path, count):
        rate = done / (time.monotonic() - started_s)
        print(f"{done:,} parts, about {(count - done) / rate:.0f} s to go", flush=True)
    reader = HistoryReader(path)
    end_ns = START_NS + count * EVERY_NS
    week = (end_ns - WEEK_NS, end_ns)
    asked: dict[str, Callable[[], object]] = {
        "latest page": lambda: reader.parts(PartFilter()),
        "NG of a camera": lambda: reader.parts(PartFilter(camera="cam1", states=("NG",))),
        "NG of a class": lambda: reader.parts(PartFilter(defect_class="stain")),
        "of a time": lambda: reader.parts(
            PartFilter(from_ns=START_NS + count // 2 * EVERY_NS,
                       to_ns=START_NS + (count // 2 + 400) * EVERY_NS)),
        "one part": lambda: reader.parts(PartFilter(part=f"cam0-{count // 2}")),
        "kept at random": lambda: reader.parts(PartFilter(kept_for="random")),
        "kept for nothing that is": lambda: reader.parts(PartFilter(kept_for="near_miss")),
        "an old page": lambda: reader.parts(PartFilter(), before=count // 2),
        "counts of a week": lambda: reader.counts(*week),
        "histogram of a week": lambda: reader.histogram(*week),
    }  # fmt: skip
    before_mb = _peak_mb()
    return {
        "rows": count,
        "file_mb": round(path.stat().st_size / 1e6),
        "bytes_a_row": round(path.stat().st_size / count),
        "milliseconds": {name: _median_ms(ask) for name, ask in asked.items()},
        "peak_mb": {"before the questions": before_mb, "after": _peak_mb()},
    }


def _median_ms(ask: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        begun_s = time.perf_counter()
        ask()
        took.append(time.perf_counter() - begun_s)
    return round(statistics.median(took) * 1000, 1)


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _fill(path: Path, count: int) -> Iterator[int]:
    """Write rows as the writer does, without its thread; yield how many are there."""
    connection = open_for_writing(path)
    connection.execute("PRAGMA synchronous=OFF")
    with transaction(connection):
        for camera in (1, 2):
            connection.execute(
                "INSERT INTO cameras VALUES (?, ?, 'main')", (camera, f"cam{camera - 1}")
            )
        connection.execute("INSERT INTO models VALUES (1, 'demo', 1, ?, 'fp32')", ("ab" * 32,))
        connection.execute("INSERT INTO limits VALUES (1, 2.0, 'calibrated-1')")
    for first in range(0, count, PIECE):
        with transaction(connection):
            _fill_piece(connection, range(first, min(first + PIECE, count)))
        yield min(first + PIECE, count)
    connection.close()


def _fill_piece(connection: sqlite3.Connection, numbers: range) -> None:
    marks = ", ".join("?" * 22)
    connection.executemany(
        "INSERT INTO parts (camera, part_id, number, trigger_id, source_name, captured_ns,"
        " recorded_ns, state, reason, score, is_suspect, limit_id, model, views, latency_ms,"
        " corners, defects, alarm_id, evidence_url, evidence_sha256, is_final, kept_for)"
        f" VALUES ({marks})",
        (_row(number) for number in numbers),
    )
    connection.executemany(
        "INSERT INTO part_classes VALUES (?, ?)",
        ((_kind(n), n + 1) for n in numbers if _state(n) == "NG"),
    )
    connection.executemany(
        "INSERT INTO hours VALUES (?, ?, 1, ?, 0, ?, 1)"
        " ON CONFLICT DO UPDATE SET count = count + 1",
        ((_at(n) // HOUR_NS, n % 2 + 1, _state(n), score_bin(_score(n), 2.0)) for n in numbers),
    )


def _at(number: int) -> int:
    return START_NS + number * EVERY_NS


def _state(number: int) -> str:
    return "NG" if number % 100 == 7 else "OK"


def _kind(number: int) -> str:
    return "stain" if number % 5000 == 7 else "crack"


def _score(number: int) -> float:
    return number % BINS_PER_LIMIT / 12 + 2 * (number % 100 == 7)


def _row(number: int) -> tuple[object, ...]:
    is_bad = number % 100 == 7
    kept_for = "ng" if is_bad else "random" if number % 1000 == 3 else None
    corners = "[[100.1, 200.2], [300.3, 200.2], [300.3, 400.4], [100.1, 400.4]]"
    box = '"box": [120.0, 220.0, 140.0, 240.0], "peak": 3.1, "weak": false'
    defects = f'[{{"class": "{_kind(number)}", {box}}}]'
    url = f"http://d/evidence/{number}.jpg"
    return (
        number % 2 + 1, f"cam{number % 2}-{number}", number, None, None, _at(number), _at(number),
        _state(number), "", _score(number), 0, 1, 1, 3, 51.2, corners, defects if is_bad else None,
        f"alarm-{number}" if is_bad else None, url if kept_for else None,
        "cd" * 32 if kept_for else None, 1, kept_for,
    )  # fmt: skip


def line_cost(folder: Path, seconds: float) -> dict[str, Any]:
    """Time what the inspection thread does for the history, at PARTS_A_SECOND."""
    writer = HistoryWriter(folder / "history.sqlite", {"cam0": "main"}, Retention(90, 1024), {})
    writer.start()
    spent = {True: 0.0, False: 0.0}
    count = 0
    model = ModelIdentity("demo", 1, "ab" * 32, "fp32")
    for second in range(int(seconds)):
        is_recorded = second % 2 == 0
        for _ in range(PARTS_A_SECOND):
            count += 1
            part = PartVerdict(
                "cam0", f"cam0-{count}", VerdictState.OK, "", 1.0, 2.0, "calibrated-1", count,
                (768, 1024), time.time_ns(), model, ((1.0, 1.0),) * 4, source_number=count,
            )  # fmt: skip
            begun_s = time.thread_time()
            if is_recorded:
                writer.finished([part])
            spent[is_recorded] += time.thread_time() - begun_s
            time.sleep(1 / PARTS_A_SECOND)
    begun_s = time.process_time()
    writer.close(60)
    per_part_us = (spent[True] - spent[False]) / (count / 2) * 1e6
    return {
        "parts": count,
        "microseconds_a_part_in_the_inspection_thread": round(per_part_us, 1),
        "share_of_the_line_percent": round(per_part_us * PARTS_A_SECOND / 1e4, 3),
        "process_seconds_in_all": round(begun_s, 2),
        "rows": writer.health().parts,
    }


if __name__ == "__main__":
    main()
