"""`edge-export check-data`: its options, and its table on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edge_app.cli.parser import set_examples
from edge_app.host.plain_text import indented_lines


def add_check_data(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    parser = commands.add_parser(
        "check-data",
        help="say what a folder of pictures holds and what a build would make of it",
        description="Say what a folder of pictures holds and what a build would make of it.",
        epilog="Exit code: 0 a build would start, 1 it would refuse, 2 wrong use.",
    )
    set_examples(
        parser, "edge-export check-data pictures", "edge-export check-data pictures --json"
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="data set, as for build --data")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="the contact sheet to write (default: NAME.check-data.png in the current folder)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object as the last line of output"
    )
    parser.set_defaults(run=_check_data)


def _check_data(args: argparse.Namespace) -> int:
    from export.check_data.run import check_data

    sheet = args.sheet or Path(f"{args.data.resolve().name}.check-data.png")
    found = check_data(args.data, sheet)
    for what, told in found.rows:
        print(indented_lines(f"{what:<16} {told}"))
    for warning in found.warnings:
        print(indented_lines(f"warning: {warning}"), file=sys.stderr)
    if found.sheet is not None:
        print(f"{'Contact sheet':<16} {found.sheet}")
    print(indented_lines(f"build would {found.would}"))
    if args.json:
        print(json.dumps(found.as_json()))
    return 0 if found.is_usable else 1
