"""`edge-app install | slots`: arguments of what asks the agent (agent.py)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_app.cli.parser import add_command, text

SLOT = text(64)


def add_slot_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add both commands to `edge-app`."""
    install = add_command(
        commands,
        "install",
        "let the agent install a bundle from a file",
        "edge-app install part.signed.bundle --slot main",
    )
    install.add_argument("file", type=Path, metavar="FILE", help="the signed bundle")
    install.add_argument(
        "--slot", type=SLOT, default="main", metavar="S", help="the slot (default: main)"
    )
    _add_socket_config(install)
    install.set_defaults(work=_install)
    _add_slots(commands)


def _add_socket_config(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=default,
        metavar="FILE",
        help="the configuration with the agent's socket (default: the default socket)",
    )


def _add_slots(commands: argparse._SubParsersAction[Any]) -> None:
    slots = add_command(
        commands,
        "slots",
        "show each slot's bundles, or change the product of a slot",
        "edge-app slots",
        "edge-app slots select part-b --slot main",
    )
    _add_socket_config(slots)
    slots.set_defaults(work=_slots, verb="list")
    verbs = slots.add_subparsers(dest="verb", metavar="VERB")
    select = add_command(
        verbs,
        "select",
        "change a slot over to another installed product",
        "edge-app slots select part-b",
    )
    select.add_argument(
        "product", type=text(64), metavar="PRODUCT", help="name of the installed product"
    )
    promote = add_command(
        verbs, "promote", "accept a candidate after its shadow run", "edge-app slots promote"
    )
    reject = add_command(
        verbs, "reject", "refuse a candidate after its shadow run", "edge-app slots reject"
    )
    for verb in (select, promote, reject):
        # Before the verb or behind it: one that is not given leaves the other's value alone.
        _add_socket_config(verb, argparse.SUPPRESS)
        verb.add_argument(
            "--slot", type=SLOT, default="main", metavar="S", help="the slot (default: main)"
        )


def _install(args: argparse.Namespace) -> int:
    from edge_app.cli.agent import install, socket_of

    return install(socket_of(args.config), args.file, args.slot)


def _slots(args: argparse.Namespace) -> int:
    from edge_app.cli import agent as commands

    socket = commands.socket_of(args.config)
    if args.verb == "select":
        return commands.select(socket, args.slot, args.product)
    if args.verb in ("promote", "reject"):
        return commands.decide(socket, args.slot, args.verb == "promote")
    return commands.list_slots(socket)
