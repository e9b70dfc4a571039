"""`edge-export build-many`: its options, and what it prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_app.cli.parser import set_examples
from edge_app.host.extras import require_module
from export.output_room import check_out_folder

PASSED_ON = (
    "--method",
    "--auto-budget",
    "--detector",
    "--device",
    "--processes",
    "--seed",
    "--serial",
    "--steps",
    "--false-alarm-rate",
    "--format",
)
"""Options that every product's build gets as they are."""


Check = Callable[[Sequence[str]], None]
"""Refuses a build's arguments."""


def add_build_many(commands: Any, check: Check) -> None:
    """Add the command to `edge-export`'s sub-parsers; `check` is done before the first build."""
    parser = commands.add_parser(
        "build-many",
        help="build a bundle for every product in a folder, several at once",
        description="Build a bundle for every product in a folder, several at once.",
    )
    set_examples(parser, "edge-export build-many products --out bundles --jobs 2")
    parser.add_argument(
        "folder", type=Path, help="folder with one sub-folder per product: train/good or good"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the bundles and their logs, NAME.bundle and NAME.log",
    )
    parser.add_argument(
        "--jobs",
        type=_count,
        default=1,
        metavar="N",
        help="number of builds that run at once (default: 1)",
    )
    parser.add_argument(
        "--engine",
        choices=("processes", "ray"),
        default="processes",
        help="processes: on this machine; ray: as tasks of the Ray cluster in RAY_ADDRESS, or of "
        "one started here (default: processes)",
    )
    for name in PASSED_ON:
        parser.add_argument(name, help="passed to every build; see edge-export build --help")
    parser.add_argument(
        "--accept-weak",
        action="store_true",
        help="passed to every build: weak bundles do not make the exit code 1",
    )
    parser.set_defaults(run=_build_many, check=check)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _build_many(args: argparse.Namespace) -> int:
    from export.build_many.run import build_many, orders_for, product_folders
    from export.cli.progress import ConsoleProgress

    if args.engine == "processes":  # Ray's machines have their own
        require_module("torch")
    chosen = vars(args)
    given = [(name, chosen[name.lstrip("-").replace("-", "_")]) for name in PASSED_ON]
    passed = [text for name, value in given if value is not None for text in (name, value)]
    passed += ["--accept-weak"] if args.accept_weak else []
    orders = orders_for(product_folders(args.folder), args.out, passed, args.jobs)
    check_out_folder(args.out)
    if args.engine == "processes":  # Ray's machines have libraries and GPUs of their own
        args.check(orders[0].arguments)
    with ConsoleProgress() as progress:
        outcomes = build_many(orders, args.out, args.jobs, args.engine, progress.show)
    failed = [o for o in outcomes if not o.is_built]
    for outcome in failed:
        print(f"{outcome.product}: {outcome.message}", file=sys.stderr)
    weak = [o for o in outcomes if o.weakness]
    for outcome in weak:
        print(f"{outcome.product}: {outcome.weakness}", file=sys.stderr)
    told = f", {len(weak)} of them weak" if weak else ""
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} products built{told}: {args.out}")
    return 1 if failed or weak else 0
