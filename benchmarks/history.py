"""How fast a large history answers, and what recording costs the line.

    python -m benchmarks.history --rows 10000000 --folder /var/tmp
    python -m benchmarks.history --line 60
    python -m benchmarks.history --beside 120

The first fills a history (3 parts a second, 1 % bad, nine of ten of those marked by a person) and
times what people ask, each question anew from disk to answer, the median of several. The second
times the inspection thread's calls at 100 parts a second beside their whole interval, a recorded
second and one that is not taking turns. The third writes 100 parts a second, 1 % of them alarmed,
while eight readers ask a page a second each and an export runs without a pause, taking turns of
10 s with as many processes that use the CPU likewise and read nothing; it times the inspection
thread's calls and how long an alarm waits for its row. The last line printed is one JSON object.

Not measured: SD cards and eMMC, whose synchronised writes take 10 to 100 times as long; the alarmed
parts' rows wait for those in the history's own thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.rows import BINS_PER_LIMIT, HOUR_NS, score_bin
from edge_app.history.schema import open_for_writing
from edge_app.history.score_reader import ScoreQuestion, ScoreReader
from edge_app.history.writer import HistoryWriter
from edge_app.records import AlarmEvent, EventKind, ModelIdentity, PartVerdict, VerdictState
from edge_app.store.sqlite_files import transaction

START_NS = 1_780_000_000 * 10**9
EVERY_NS = 333_333_333
PIECE = 100_000
WEEK_NS = 7 * 24 * HOUR_NS
REPEATS = 7
TURN_S = 10.0
VIEWERS = 8
PARTS_A_SECOND = 100


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rows", type=int, metavar="N", help="fill a history with N parts")
    what.add_argument("--line", type=float, metavar="S", help="time the line's calls for S seconds")
    what.add_argument("--beside", type=float, metavar="S", help="write beside readers for S s")
    parser.add_argument("--folder", type=Path, help="for the file (default: the system's)")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="history-", dir=args.folder))
    try:
        if args.rows:
            found = large(folder, args.rows)
        else:
            found = line_cost(folder, args.line) if args.line else beside(folder, args.beside)
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
        "kept for bad ones": lambda: reader.parts(PartFilter(kept_for="ng")),
        "reviewed": lambda: reader.parts(PartFilter(reviewed=True)),
        "not reviewed": lambda: reader.parts(PartFilter(reviewed=False)),
        "NG not reviewed": lambda: reader.parts(PartFilter(states=("NG",), reviewed=False)),
        "marked missed": lambda: reader.parts(PartFilter(mark="missed")),
        "marked right of a camera": lambda: reader.parts(PartFilter(mark="right", camera="cam1")),
        "disputed": lambda: reader.parts(PartFilter(disputed=True)),
        "a number": lambda: reader.parts(PartFilter(serial=str(count // 2))),
        "to be taken out": lambda: reader.waiting(count=100),
        "to be taken out of a camera": lambda: reader.waiting("cam1", count=100),
        "latest decisions": lambda: reader.decisions(),
        "reviews of a week": lambda: reader.reviews(*week),
        "an old page": lambda: reader.parts(PartFilter(), before=count // 2),
        "counts of a week": lambda: reader.counts(*week),
        "histogram of a week": lambda: reader.histogram(*week),
        "scores of a week, first answer": lambda: ScoreReader(path).counts(_scores_of(*week)),
        "scores of a week, all answers": lambda: _every_score(path, *week),
    }  # fmt: skip
    before_mb = _peak_mb()
    return {
        "rows": count,
        "file_mb": round(path.stat().st_size / 1e6),
        "bytes_a_row": round(path.stat().st_size / count),
        "milliseconds": {name: _median_ms(ask) for name, ask in asked.items()},
        "peak_mb": {"before the questions": before_mb, "after": _peak_mb()},
    }


def _scores_of(from_ns: int, to_ns: int) -> ScoreQuestion:
    return ScoreQuestion(from_ns, to_ns, "ab" * 32, "fp32", None, 2.0, 0.02, 80, 120)


def _every_score(path: Path, from_ns: int, to_ns: int) -> int:
    """Count a time's scores as the page does, answer by answer; return how many answers."""
    reader, answers, before = ScoreReader(path), 0, None
    while answers == 0 or before is not None:
        before = reader.counts(_scores_of(from_ns, to_ns), before).next
        answers += 1
    return answers


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
            _fill_reviews(connection, range(first, min(first + PIECE, count)))
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


def _fill_reviews(connection: sqlite3.Connection, numbers: range) -> None:
    """Mark nine of ten bad parts, one in a hundred of those by two people, and some good ones; all
    bad ones but the last of every ten are taken out."""
    bad = [n for n in numbers if _state(n) == "NG"]
    said = [(n, who, mark) for n in bad if n // 100 % 10 != 9 for who, mark in _marks(n)]
    said += [(n, "anna", "missed") for n in numbers if n % 20_000 == 11]
    connection.executemany(
        "INSERT INTO decisions (part, part_id, camera, captured_ns, state, decided_ns,"
        " mark, class, region, note, author_kind, author_name, author_role,"
        " pseudonym, order_id, is_current)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'crack', NULL, '', 'person', ?, 'operator', ?, ?, 1)",
        (
            (
                n + 1,
                f"cam{n % 2}-{n}",
                n % 2 + 1,
                _at(n),
                _state(n),
                _at(n),
                mark,
                who,
                f"reviewer-{who}",
                f"{who}-{n}",
            )
            for n, who, mark in said
        ),
    )
    connection.executemany(
        "INSERT INTO take_out VALUES (?, ?, ?, ?, ?, ?, '', '')",
        (
            (n + 1, n % 2 + 1, _at(n), _at(n), *((None, None) if n // 100 % 10 == 9 else
                                         (_at(n) + HOUR_NS, "taken_out")))
            for n in bad
        ),
    )  # fmt: skip


def _marks(number: int) -> tuple[tuple[str, str], ...]:
    if number // 100 % 100 == 5:
        return ("anna", "right"), ("ben", "false_alarm")
    return (("anna", "right" if number // 100 % 8 else "false_alarm"),)


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


def beside(folder: Path, seconds: float) -> dict[str, Any]:
    """Write while others read, and while others only use the CPU."""
    path = folder / "history.sqlite"
    for _ in _fill(path, 200_000):
        pass
    writer = HistoryWriter(path, {"cam0": "main"}, Retention(90, 1024), {})
    writer.start()
    took: dict[str, dict[str, list[float]]] = {
        name: {"call": [], "row": []} for name in ("readers", "load")
    }
    wal_mb = 0.0
    count = 0
    for turn in range(max(2, int(seconds // TURN_S))):
        name = ("readers", "load")[turn % 2]
        stop = multiprocessing.get_context("spawn").Event()
        others = _others(path, name, stop)
        end_s = time.monotonic() + TURN_S
        while time.monotonic() < end_s:
            count += 1
            _one_part(writer, count, took[name])
            wal_mb = max(wal_mb, path.with_name(path.name + "-wal").stat().st_size / 1e6)
        stop.set()
        for process in others:
            process.join(30)
    writer.close(60)
    return {
        "parts": count,
        "largest_wal_mb": round(wal_mb, 1),
        "milliseconds": {
            name: {what: _quantiles(values) for what, values in of.items()}
            for name, of in took.items()
        },
        "waiting": writer.health().waiting,
        "lost": writer.health().lost,
    }


def _one_part(writer: HistoryWriter, number: int, took: dict[str, list[float]]) -> None:
    """Record a part, every hundredth with an alarm; then wait for the next one's time."""
    next_s = time.monotonic() + 1 / PARTS_A_SECOND
    is_bad = number % 100 == 0
    part = PartVerdict(
        "cam0", f"live-{number}", VerdictState.NG if is_bad else VerdictState.OK, "", 1.0, 2.0,
        "calibrated-1", number, (768, 1024), time.time_ns(), None, ((1.0, 1.0),) * 4,
        source_number=1_000_000 + number,
    )  # fmt: skip
    begun_s = time.perf_counter()
    if is_bad:
        alarm = AlarmEvent(EventKind.NEW, "cam0", f"alarm-{number}", part)
        writer.expect([alarm])
        writer.alarmed([alarm])
    writer.finished([part])
    took["call"].append(time.perf_counter() - begun_s)
    while is_bad and writer.holds_alerts():
        time.sleep(0.0005)
    if is_bad:
        took["row"].append(time.perf_counter() - begun_s)
    time.sleep(max(0.0, next_s - time.monotonic()))


def _others(path: Path, name: str, stop: Any) -> list[Any]:
    """Start eight viewers and an export, or what uses as much CPU and reads nothing."""
    spawn = multiprocessing.get_context("spawn")
    viewer, export = (_view, _export_all) if name == "readers" else (_look_busy, _spin)
    work = [*[viewer] * VIEWERS, export]
    processes = [spawn.Process(target=each, args=(path, stop), daemon=True) for each in work]
    for process in processes:
        process.start()
    time.sleep(2.0)
    return processes


def _view(path: Path, stop: Any) -> None:
    reader = HistoryReader(path)
    while not stop.wait(1.0):
        reader.parts(PartFilter(states=("NG",)))
        reader.histogram(START_NS, START_NS + WEEK_NS)


def _look_busy(_: Path, stop: Any) -> None:
    while not stop.wait(1.0):
        json.dumps(list(range(60_000)))


def _export_all(path: Path, stop: Any) -> None:
    os.nice(10)
    reader = HistoryReader(path)
    while not stop.is_set():
        for part in reader.every_part(PartFilter()):
            json.dumps(part)
            if stop.is_set():
                return


def _spin(_: Path, stop: Any) -> None:
    os.nice(10)
    while not stop.is_set():
        json.dumps(list(range(5_000)))


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"median": 0.5, "99 %": 0.99, "largest": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 3)
        for name, q in at.items()
    }


if __name__ == "__main__":
    main()
