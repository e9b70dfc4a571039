"""`edge-app`: everything a device does.

Heavy imports happen inside the command that needs them, so that `--help` answers at once, and a
service makes the parsers of services only: those of all commands took 2 % of its start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from edge_app.cli.border import run_bordered
from edge_app.cli.parser import CommandParser, top_parser
from edge_app.cli.services import SERVICES, add_service_commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done; 1 what the command looked for was found (a failed check, a stopped inspection);
        2 wrong use or bad input, with one clear message on stderr; 3 see `run`.
    """
    words = sys.argv[1:] if argv is None else argv
    is_service = bool(words) and words[0] in SERVICES
    args = (_service_parser() if is_service else _parser()).parse_args(argv)
    return run_bordered(f"edge-app {args.command}", lambda: args.work(args))


def _parser() -> CommandParser:
    from edge_app.cli.commands import add_other_commands

    parser, commands = _top()
    add_service_commands(commands)
    add_other_commands(commands)
    return parser


def _service_parser() -> CommandParser:
    parser, commands = _top()
    add_service_commands(commands)
    return parser


def _top() -> tuple[CommandParser, argparse._SubParsersAction[Any]]:
    """Return the parser without a command, and where commands are added."""
    parser = top_parser(
        "edge-app",
        "Inspect parts on a production line and report bad ones over MQTT.",
        (
            "edge-app demo --parts 50",
            "edge-app example-config > edge-app.toml",
            "edge-app run --config edge-app.toml",
            "edge-app inspect pictures/ --bundle part.bundle",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    return parser, commands


if __name__ == "__main__":
    raise SystemExit(main())
