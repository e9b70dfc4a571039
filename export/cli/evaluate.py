"""`edge-export evaluate`: its options, and what it tells."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edge_app.cli.parser import set_examples
from export.cli.log_look import add_log_look
from export.cli.warn import warn
from export.output_room import check_out_folder


def add_evaluate(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    text = "measure a bundle on pictures it has not seen"
    check = commands.add_parser("evaluate", help=text, description=f"{text[0].upper()}{text[1:]}.")
    set_examples(check, "edge-export evaluate --bundle part.bundle --data pictures")
    check.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the bundle")
    check.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="data set with test/good and one folder test/<kind> per defect class",
    )
    check.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the report (default: NAME.evaluation beside the bundle)",
    )
    check.add_argument(
        "--json", action="store_true", help="print a JSON object as the last line of output"
    )
    add_log_look(check, "evaluate")
    check.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from export.cli.log_look import look_of
    from export.cli.progress import ConsoleProgress
    from export.evaluation.answer import answer
    from export.evaluation.report import fact_rows
    from export.evaluation.run import evaluate

    check_out_folder(args.out or args.bundle.with_name(args.bundle.stem + ".evaluation"))
    with ConsoleProgress() as progress:
        look = look_of(args, "evaluate")
        done = evaluate(args.bundle, args.data, args.out, progress.show, look)
    warn(done.figures["warnings"])
    for name in done.figures["excluded_pictures"]:
        print(f"excluded, used for training or calibration: {name}", file=sys.stderr)
    for sentence in answer(done.figures):
        print(sentence)
    for what, found in fact_rows(done.figures):
        print(f"{what:<32} {found}")
    print(done.page)
    if args.json:
        print(json.dumps(done.figures))
    return 0
