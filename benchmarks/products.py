"""Bundles on real products, out of the box: one JSON per (set, seed, arm, code), one table.

    python -m benchmarks.products --arms ours whole-patchcore --seeds 0 1 2 --table products.md

Builds each arm on a set's good pictures with default options and judges its test pictures; every
look is written into benchmarks/results/looks.csv. A cell that is there is not made again; a stopped
run goes on where it was. With --training-goods no test picture is opened: a fixed third of the good
training pictures is kept out of the build, and judged as it is and with synthetic anomalies. With
--only-table nothing is built. docs/products.md says what is measured and what is not.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.products_anomalib import AnomalibArm, anomalib_python
from benchmarks.products_arms import (
    ABLATIONS,
    ANOMALIB,
    OURS,
    RELEASE,
    ROOT,
    WHOLE,
    Arm,
    BundleArm,
    Job,
    OutOfTimeError,
    release_code,
    this_code,
)
from benchmarks.products_cells import (
    DIGEST_CHARACTERS,
    TEST,
    TRAINING_GOODS,
    Key,
    cell_of,
    data_digest,
    is_done,
    read_cells,
    write_cell,
)
from benchmarks.products_data import (
    SETS,
    find_sets,
    pictures_of,
    test_counts,
    training_goods_trial,
)
from benchmarks.products_table import tables
from edge_app.errors import DataError, EdgeError
from edge_app.records import JsonObject
from export.methods.time_budget import duration_s, duration_text

ARMS = (OURS, RELEASE, *WHOLE, ANOMALIB)
RESULTS = ROOT / "benchmarks" / "results" / "products"
CACHE = Path.home() / ".cache" / "cropliq-edge" / "products"


@dataclass(frozen=True, slots=True)
class Plan:
    """One cell that is wanted.

    Attributes:
        digest: of the set's pictures.
        counts: good and defective pictures judged.
    """

    key: Key
    arm: Arm
    data: Path
    digest: str
    counts: tuple[int, int]


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is missing, write the table; return 0, or 1 where cells are still missing."""
    options = _options(argv)
    try:
        return _run(options)
    except EdgeError as error:
        print(f"benchmarks.products: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    trial = TRAINING_GOODS if options.training_goods else TEST
    options.work.mkdir(parents=True, exist_ok=True)
    arms = {} if options.only_table else _arms(options)
    is_whole = True
    if arms:
        plans = _plans(options, arms, trial)
        is_whole = make_missing(plans, options.results, options.work, options.budget)
    if options.table is not None:
        digests = _digests(options.digest, options.arms, arms, options.work)
        text = table_text(options.results, trial, options.sets, options.arms, digests)
        options.table.write_text(text, encoding="utf-8")
        print(options.table)
    return 0 if is_whole else 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET",
                        help=f"default: {' '.join(SETS)}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--arms", nargs="+", choices=(*ARMS, *ABLATIONS), default=list(ARMS),
                        metavar="ARM",
                        help=f"default: {' '.join(ARMS)}; also {' '.join(ABLATIONS)}")  # fmt: skip
    parser.add_argument(
        "--budget", type=_duration, default="8h", help="time for everything: 90s, 30m, 2h (8h)"
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "datasets",
                        help="folder of the sets (default: ../shared/datasets)")  # fmt: skip
    parser.add_argument("--training-goods", action="store_true", help="open no test picture")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write Markdown there")
    parser.add_argument("--only-table", action="store_true", help="build nothing")
    parser.add_argument("--digest", nargs="+", default=[], metavar="ARM=PREFIX",
                        help="code whose cells the table shows (default: of here)")  # fmt: skip
    parser.add_argument("--anomalib-python", type=Path, metavar="FILE",
                        help="an interpreter with anomalib (default: one is made)")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the cells")
    parser.add_argument("--work", type=Path, default=CACHE, help="cache: builds, 0.1.0's code")
    return parser.parse_args(argv)


def _duration(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _arms(options: argparse.Namespace) -> dict[str, Arm]:
    """Return the arms asked for; one that cannot be had is told in a sentence and left out."""
    found: dict[str, Arm] = {}
    for name in options.arms:
        try:
            found[name] = _arm(name, options)
        except DataError as error:
            print(f"{name}: {error}", file=sys.stderr)
    return found


def _arm(name: str, options: argparse.Namespace) -> Arm:
    if name == ANOMALIB:
        return AnomalibArm(anomalib_python(options.anomalib_python, options.work))
    if name == RELEASE:
        return BundleArm(name, release_code(options.work))
    if name in WHOLE:
        return BundleArm(name, this_code(), ("--detector", "none", "--method", WHOLE[name]))
    return BundleArm(name, this_code(), ABLATIONS.get(name, ()))


def _plans(options: argparse.Namespace, arms: Mapping[str, Arm], trial: str) -> list[Plan]:
    """Return the cells wanted, all arms of a set and seed after one another."""
    plans = []
    for name, folder in find_sets(options.data, options.sets).items():
        data = folder
        if trial == TRAINING_GOODS:
            data = training_goods_trial(folder, name, options.work)
        pictures = pictures_of(data, ["train/good", "test"])
        digest, counts = data_digest(pictures), test_counts(pictures)
        plans += [
            Plan(Key(name, seed, arm.name, arm.code_digest, trial), arm, data, digest, counts)
            for seed in options.seeds
            for arm in arms.values()
        ]
    return plans


def make_missing(plans: Sequence[Plan], results: Path, work: Path, budget_s: float) -> bool:
    """Make the cells that are not there; return whether all are there at the end.

    One that comes to no result is told and left empty; the others are still made.
    """
    until = time.monotonic() + budget_s
    missing = [p for p in plans if not is_done(p.key, p.digest, results)]
    print(f"{len(plans) - len(missing)} of {len(plans)} cells are there", flush=True)
    is_whole = True
    for number, plan in enumerate(missing):
        left = time_left(missing[number:], read_cells(results, plan.key.trial))
        place = f"[{number + 1} of {len(missing)}] {plan.key}"
        print(f"{place}; about {left} to go", flush=True)
        try:
            cell = make_cell(plan, work, until, place)
        except OutOfTimeError:
            print("The budget is used up: the same command goes on from here.", flush=True)
            return False
        except EdgeError as error:
            print(f"  no result: {error}", flush=True)
            is_whole = False
            continue
        write_cell(cell, plan.key.file(results))
        print(f"  {told(cell)}", flush=True)
    return is_whole


def make_cell(plan: Plan, work: Path, until: float, place: str) -> JsonObject:
    """Return one cell.

    Raises:
        OutOfTimeError: the budget ended before it.
    """
    key = plan.key
    digests = key.code_digest[:DIGEST_CHARACTERS], plan.digest[:DIGEST_CHARACTERS]
    folder = work / "cells" / key.trial / key.arm / f"{key.set}-seed{key.seed}-{'-'.join(digests)}"
    look = f"benchmarks.products {key.arm} seed {key.seed}" if key.trial == TEST else ""
    job = Job(plan.data.resolve(), key.seed, folder.resolve(), until, look)
    outcome = plan.arm.run(job, lambda text: _wait_line(f"{place}: {text}"))
    return cell_of(key, plan.digest, plan.counts, outcome)


def _wait_line(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def time_left(missing: Sequence[Plan], done: Sequence[JsonObject]) -> str:
    """Return how long the missing cells will take, by cells that were made before."""
    known = [s for plan in missing if (s := _expected_s(plan.key, done)) is not None]
    if not known:
        return "an unknown time"
    unknown = len(missing) - len(known)
    more = f" and {unknown} cells of unknown time" if unknown else ""
    return f"{duration_text(sum(known))}{more}"


def _expected_s(key: Key, done: Sequence[JsonObject]) -> float | None:
    """Return the mean time of the arm on this set, else on other sets; None for a new arm."""
    arm = [c for c in done if c["arm"] == key.arm]
    own = [c for c in arm if c["set"] == key.set]
    times = [c["build_s"] + c["evaluate_s"] for c in own or arm]
    return fmean(times) if times else None


def told(cell: JsonObject) -> str:
    """Return one line about a cell."""
    if cell["failed"]:
        return f"no bundle: {cell['failed']}"
    f = cell["figures"]
    share = "none" if f["efficiency"] is None else f"{f['efficiency']:.2f}"
    return (
        f"AUROC {f['image_auroc']:.3f}, {f['caught']} of {cell['bad']} caught, "
        f"{f['false_alarms']} of {cell['good']} alarmed, efficiency {share}, built in "
        f"{cell['build_s']:.0f} s"
    )


def _digests(
    asked: Sequence[str], names: Sequence[str], arms: Mapping[str, Arm], work: Path
) -> dict[str, str]:
    """Return the prefix of the code digest that each arm of the table is to show."""
    prefixes = dict(one.partition("=")[::2] for one in asked)
    unknown = [name for name in prefixes if name not in (*ARMS, *ABLATIONS)]
    if unknown:
        raise DataError(f"--digest wants ARM=PREFIX with an arm of {', '.join(ARMS)}: {unknown}.")
    for name in names:
        if name not in prefixes:
            prefixes[name] = arms[name].code_digest if name in arms else _code_digest(name, work)
    return prefixes


def _code_digest(name: str, work: Path) -> str:
    if name == ANOMALIB:
        return AnomalibArm(Path()).code_digest
    return (release_code(work) if name == RELEASE else this_code()).digest


def table_text(
    results: Path,
    trial: str,
    sets: Sequence[str],
    arms: Sequence[str],
    digests: Mapping[str, str],
) -> str:
    """Return the Markdown over the cells of these digests."""
    found: dict[tuple[str, str], list[JsonObject]] = {}
    for cell in read_cells(results, trial):
        if cell["code_digest"].startswith(digests.get(cell["arm"], " ")):
            found.setdefault((cell["set"], cell["arm"]), []).append(cell)
    for seeds in found.values():
        seeds.sort(key=lambda cell: int(cell["seed"]))
    codes = ", ".join(f"{arm} {digests[arm][:DIGEST_CHARACTERS]}" for arm in arms)
    wanted = sum(len(found.get((s, a), ())) for s in sets for a in arms)
    head = (
        f"# Products: {trial}\n\n{wanted} cells. Code: {codes}. Commit: {_commit()}. "
        "docs/products.md explains every column.\n\n"
    )
    return head + tables(found, sets, arms)


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "none"


def end_builds_when_terminated() -> None:
    """Have SIGTERM end this process as an error does: the build that it waits for ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


if __name__ == "__main__":
    end_builds_when_terminated()
    raise SystemExit(main())
