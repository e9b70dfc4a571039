"""`edge-deploy`: sign, serve and push bundles, and watch devices, from a workstation.

Everything heavy is imported by the command that needs it: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from deploy.cli.broker_options import add_broker_options, broker_settings
from deploy.cli.feedback import add_feedback_command
from deploy.cli.fleet import add_fleet_commands
from deploy.cli.keys import add_trust_commands
from deploy.cli.package import add_package_command
from deploy.cli.push import add_push_commands
from deploy.cli.select import add_select_command
from edge_app.cli.border import run_bordered
from edge_app.cli.package_owners import run_unshared
from edge_app.cli.parser import CommandParser, seconds, set_examples, text, top_parser, whole

MOST_ALERTS = 1_000_000_000


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 no or not possible now, 2 wrong use."""
    arguments = _parser().parse_args(argv)
    work = partial(run_unshared, __file__, lambda: arguments.work(arguments))
    return run_bordered(f"edge-deploy {arguments.command}", work)


def _parser() -> CommandParser:
    parser = top_parser(
        "edge-deploy",
        "Sign, serve and push bundles, and watch devices, from a workstation.",
        (
            "edge-deploy keygen --out keys",
            "edge-deploy sign part.bundle --key keys/bundle-signing.key --out part.signed.bundle",
            "edge-deploy rollout part.signed.bundle --broker plant:8883 --tls --url https://desk/ "
            "--group presses --groups groups.toml",
            "edge-deploy watch --broker plant:8883 --tls",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    watch = commands.add_parser(
        "watch",
        help="show alerts as they arrive at the broker",
        description="Show alerts as they arrive at the broker, each once and in order.",
    )
    set_examples(
        watch,
        "edge-deploy watch --broker localhost",
        "edge-deploy watch --broker plant:8883 --tls --line l2 --evidence pictures --json",
    )
    add_broker_options(watch)
    for name in ("site", "line", "device"):
        watch.add_argument(f"--{name}", default="+", help=f"only this {name} (default: all)")
    watch.add_argument("--json", action="store_true", help="print one JSON object per line")
    watch.add_argument(
        "--evidence", type=Path, metavar="DIR", help="download each alert's picture into DIR"
    )
    watch.add_argument(
        "--evidence-tokens",
        type=Path,
        metavar="FILE",
        help="file with the tokens of the devices' pages, one HOST[:PORT] TOKEN a line "
        "(default: none)",
    )
    watch.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is one token, for the hosts of --token-host (default: none)",
    )
    watch.add_argument(
        "--token-host",
        action="append",
        type=text(260),
        metavar="HOST[:PORT]",
        help="send the token of --token-file there, and nowhere else; may be repeated",
    )
    watch.add_argument(
        "--refused",
        type=Path,
        metavar="FILE",
        help="keep messages that are no alerts in FILE "
        "(default: ~/.local/state/cropliq-edge/watch-refused.jsonl)",
    )
    watch.add_argument(
        "--client-id",
        help="MQTT client id of the persistent session (default: edge-watch-HOSTNAME, with what "
        "--site, --line and --device choose)",
    )
    watch.add_argument(
        "--count",
        type=whole(1, MOST_ALERTS),
        metavar="N",
        help="stop after N alerts (default: no limit)",
    )
    watch.add_argument(
        "--timeout-s", type=seconds(), metavar="S", help="stop after S seconds (default: no limit)"
    )
    watch.set_defaults(work=_watch)
    add_trust_commands(commands)
    add_package_command(commands)
    add_fleet_commands(commands)
    add_push_commands(commands)
    add_select_command(commands)
    add_feedback_command(commands)
    return parser


def _watch(arguments: argparse.Namespace) -> int:
    from deploy.watch.options import WatchOptions, watch_client_id
    from deploy.watch.run import Watch
    from deploy.watch.tokens import read_token, read_tokens
    from edge_app.mqtt.topics import alert_filter

    topic = alert_filter(arguments.site, arguments.line, arguments.device)
    options = WatchOptions(
        settings=broker_settings(arguments),
        topic=topic,
        client_id=arguments.client_id or watch_client_id(socket.gethostname(), topic),
        as_json=arguments.json,
        evidence_folder=arguments.evidence,
        evidence_tokens={
            **(read_tokens(arguments.evidence_tokens) if arguments.evidence_tokens else {}),
            **read_token(arguments.token_file, arguments.token_host or ()),
        },
        count=arguments.count,
        timeout_s=arguments.timeout_s,
        dead_letters=arguments.refused,
    )
    watch = Watch(options)
    _stop_on_signals(watch.stop)
    code = watch.run()
    if code:
        print(
            f"edge-deploy watch: {watch.shown} of {arguments.count} alerts arrived in time",
            file=sys.stderr,
        )
    return code


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


if __name__ == "__main__":
    sys.exit(main())
