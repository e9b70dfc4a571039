"""`edge-export compare`: its options, and its table on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import DataError
from export.methods.names import NAMES

if TYPE_CHECKING:
    from export.compare.run import Comparison


def add_compare(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    parser = commands.add_parser(
        "compare", help="train several methods on one data set and measure them side by side"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="train/good, test/good, test/<kind>"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="report and all kept"
    )
    parser.add_argument(
        "--methods", default="all", help=f"all, or names with commas: {', '.join(NAMES)}"
    )
    parser.add_argument("--budget", default="30m", help="for everything: 90s, 30m, 2h")
    parser.add_argument(
        "--latency-ms", type=float, help="most a picture may take, for the recommendation"
    )
    parser.add_argument(
        "--known-defects",
        type=Path,
        metavar="DIR",
        help="real defects for the methods that learn from them (bgad), in no test; "
        "NAME_mask.png beside NAME.png marks the defect",
    )
    parser.add_argument("--product", help="product name; default: the data folder's name")
    parser.add_argument("--detector", default="auto", help="auto, none or a FILE")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:N or auto")
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="that train a method together"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, default=1000, help="most training steps; the budget may allow fewer"
    )
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.005, help="budget, share of good parts"
    )
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import BuildOptions
    from export.cli.progress import ConsoleProgress
    from export.compare.run import CompareOptions, compare, method_names
    from export.methods.multi_process.launcher import check_processes
    from export.methods.time_budget import duration_s
    from export.networks.precision import training_device

    try:
        budget_s = duration_s(args.budget)
    except ValueError as error:
        raise DataError(f"--budget: {error}") from error
    build = BuildOptions(
        data=args.data,
        out=args.out / "shared",
        product=args.product or args.data.resolve().name,
        detector=args.detector,
        seed=args.seed,
        device=training_device(args.device),
        steps=args.steps,
        processes=args.processes,
        false_alarm_rate=args.false_alarm_rate,
        known_defects=args.known_defects,
    )
    names = method_names(args.methods)
    check_processes(build.processes, build.device)
    with ConsoleProgress() as progress:
        options = CompareOptions(build, args.out, names, budget_s, args.latency_ms)
        found = compare(options, progress.show)
    _tell(found)
    return 0 if found.advice.method is not None else 1


def _tell(found: Comparison) -> None:
    from export.compare.report import table_row

    for row in found.rows:
        if "failed" in row:
            print(f"{row['method']:<18} no result: {row['failed']}")
        else:
            name, auroc, *_, crop_ms, picture_ms, memory_mb = table_row(row)
            told = f"{crop_ms} ms a crop, {picture_ms} ms a picture, {memory_mb} MB"
            print(f"{name:<18} image AUROC {auroc}, {told}")
    print(found.advice.text)
    print(found.page)
