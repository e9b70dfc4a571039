"""`--log-look` of evaluate and compare: docs/evaluation.md, "Looks at public test pictures"."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.evaluation.run import OnLook


def add_log_look(parser: Any, command: str) -> None:
    """Add the option; `command` is what the log names where nothing else is given."""
    parser.add_argument(
        "--log-look",
        nargs="?",
        const=command,
        metavar="NAME",
        help="write into the checkout's benchmarks/results/looks.csv that these test pictures were "
        f"looked at, by NAME (default: {command}); for the public sets it is done anyway",
    )


def look_of(args: argparse.Namespace, command: str) -> OnLook:
    """Return what `evaluate` calls before the first test picture is judged."""
    from export.evaluation.looks import log_look

    asked = args.log_look is not None
    return lambda: log_look(args.data, args.log_look or command, asked)
