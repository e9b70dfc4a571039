"""`edge-export compare`: its options, and its table on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import set_examples
from edge_app.errors import DataError
from export.cli.log_look import add_log_look, look_of
from export.cli.numbers import ANY_REAL, ANY_WHOLE
from export.methods.names import NAMES
from export.output_room import check_out_folder

if TYPE_CHECKING:
    from export.compare.run import Comparison


def add_compare(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    parser = commands.add_parser(
        "compare",
        help="train several methods on one data set and compare them",
        description="Train several methods on one data set and compare them.",
    )
    set_examples(parser, "edge-export compare --data pictures --out compared --budget 1h")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="data set with train/good, test/good and one folder test/<kind> per defect class",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for report and results"
    )
    parser.add_argument(
        "--methods",
        default="all",
        help=f"all: all of ours; or names separated by commas: {', '.join(NAMES)}, or a plug-in's "
        "(default: all)",
    )
    parser.add_argument(
        "--budget", default="30m", help="time for everything: 90s, 30m, 2h (default: 30m)"
    )
    parser.add_argument(
        "--latency-ms",
        type=ANY_REAL,
        help="recommend only methods that take at most this long per picture (default: no limit)",
    )
    parser.add_argument(
        "--known-defects",
        type=Path,
        metavar="DIR",
        help="real defects for methods that learn from them (bgad), never used for testing; "
        "NAME_mask.png beside NAME.png marks the defect",
    )
    parser.add_argument("--product", help="product name (default: the data folder's name)")
    parser.add_argument(
        "--detector", default="auto", help="auto, none or a FILE, as for build (default: auto)"
    )
    parser.add_argument(
        "--device", default="cpu", help="where to train: cpu, cuda:N or auto (default: cpu)"
    )
    parser.add_argument(
        "--processes",
        type=ANY_WHOLE,
        default=1,
        metavar="N",
        help="processes that train a method together (default: 1)",
    )
    parser.add_argument("--seed", type=ANY_WHOLE, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--steps",
        type=ANY_WHOLE,
        default=1000,
        help="maximum training steps; the budget may allow fewer (default: 1000)",
    )
    parser.add_argument(
        "--false-alarm-rate",
        type=ANY_REAL,
        default=0.02,
        help="nominal false-alarm rate, as a share of good parts (default: %(default)g)",
    )
    add_log_look(parser, "compare")
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from export.bundle_build.early_check import check_build
    from export.bundle_build.pipeline import BuildOptions
    from export.cli.progress import ConsoleProgress
    from export.compare.run import CompareOptions, compare, method_names
    from export.evaluation.data import scan_test_pictures
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
    check_out_folder(args.out)
    check_build(build)
    check_processes(build.processes, build.device)
    if budget_s <= 0 or not (args.latency_ms is None or args.latency_ms > 0):
        raise DataError("--budget and --latency-ms need times of more than 0.")
    scan_test_pictures(args.data, ())  # something to test on, before anything is trained
    with ConsoleProgress() as progress:
        options = CompareOptions(build, args.out, names, budget_s, args.latency_ms)
        found = compare(options, progress.show, on_look=look_of(args, "compare"))
    _tell(found)
    return 0 if found.advice.method is not None else 1


def _tell(found: Comparison) -> None:
    from export.compare.report import figures_at_limit, table_row
    from export.evaluation.answer import answer

    for row in found.rows:
        if "failed" in row:
            print(f"{row['method']:<18} no result: {row['failed']}")
        else:
            name, auroc, pb2, *_, crop_ms, picture_ms, memory_mb = table_row(row)
            cost = f"{crop_ms} ms a crop, {picture_ms} ms a picture, {memory_mb} MB"
            print(f"{name:<18} {answer(figures_at_limit(row))[0]}")
            print(f"{'':<18} image AUROC {auroc}, PB2 {pb2}, {cost}")
    print(found.advice.text)
    print(found.page)
