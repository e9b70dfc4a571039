"""`edge-app demo`: its arguments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edge_app.cli.border import WRONG
from edge_app.cli.parser import ANY_PORT, YEAR_S, add_command, real, whole


def add_demo_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `edge-app`."""
    demo = add_command(
        commands,
        "demo",
        "run everything on a simulated line: camera, page, broker, alerts",
        "edge-app demo",
        "edge-app demo --headless --parts 200 --json",
    )
    demo.add_argument(
        "--product",
        default="tapered",
        choices=("tapered", "square", "round"),
        help="the simulated product (default: tapered)",
    )
    demo.add_argument(
        "--bundle", type=Path, metavar="FILE", help="the bundle (default: the shipped one)"
    )
    demo.add_argument(
        "--parts",
        type=whole(1, 1_000_000),
        metavar="N",
        help="stop after N parts (default: no limit)",
    )
    demo.add_argument(
        "--seconds",
        type=real(0, YEAR_S),
        default=0.0,
        metavar="S",
        help="stop after S seconds (default: 0, no limit)",
    )
    demo.add_argument(
        "--headless",
        action="store_true",
        help="without the page, faster than real time; needs --parts or --seconds",
    )
    demo.add_argument(
        "--json", action="store_true", help="print a JSON object as the last line of output"
    )
    demo.add_argument(
        "--port",
        type=whole(0, ANY_PORT),
        help="port of the live page; 0: any free one (default: 8080, or a free one if it is taken)",
    )
    demo.set_defaults(work=_demo)


def _demo(args: argparse.Namespace) -> int:
    if args.headless and args.parts is None and args.seconds <= 0:
        print("edge-app demo: --headless needs --parts or --seconds", file=sys.stderr)
        return WRONG
    from edge_app.demo.run import DemoOptions, demo_command

    return demo_command(
        DemoOptions(
            product=args.product,
            bundle=args.bundle,
            parts=args.parts,
            seconds=args.seconds,
            headless=args.headless,
            as_json=args.json,
            port=args.port,
        )
    )
